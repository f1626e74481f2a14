package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// front is an nginx before the nodes with the configuration that is deployed.
type front struct {
	addr string
	tb   testing.TB
	dir  string
	cmd  *exec.Cmd
}

const frontLimit = 10 * time.Second // to start

// newFront runs nginx until the test ends.
func newFront(tb testing.TB, addr string, nodes []string) *front {
	tb.Helper()
	f := &front{addr: addr, tb: tb, dir: tb.TempDir()}
	f.write(nodes)
	f.cmd = exec.Command("nginx", "-p", f.dir, "-c", "nginx.conf", "-e", filepath.Join(f.dir, "error.log"))
	if err := f.cmd.Start(); err != nil {
		tb.Fatalf("cannot start nginx: %v", err)
	}
	tb.Cleanup(func() {
		_ = f.cmd.Process.Signal(syscall.SIGTERM) // its workers go with it
		_ = f.cmd.Wait()
		if text, err := os.ReadFile(filepath.Join(f.dir, "error.log")); tb.Failed() && err == nil {
			tb.Logf("the end of nginx's log:\n%s", text[max(0, len(text)-3000):])
		}
	})
	harness.Eventually(tb, frontLimit, "nginx listens on "+addr, func() bool { return listening(addr) })
	return f
}

// list gives nginx another list of nodes, without losing a connection.
func (f *front) list(nodes []string) {
	f.tb.Helper()
	f.write(nodes)
	if err := f.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		f.tb.Fatalf("cannot reload nginx: %v", err)
	}
}

func (f *front) write(nodes []string) {
	f.tb.Helper()
	text := frontFrame + shipped(f.tb, f.addr, nodes) + "}\n"
	if err := os.WriteFile(filepath.Join(f.dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		f.tb.Fatal(err)
	}
}

const frontFrame = `
worker_processes 1; daemon off; pid nginx.pid; error_log error.log warn; worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
`

// shipped is the configuration that is deployed, with a list of nodes, in which none
// is ever set aside, instead of a name, and the node that was asked in the answer.
func shipped(tb testing.TB, addr string, nodes []string) string {
	tb.Helper()
	file, err := os.ReadFile("../../../deploy/nginx/default.conf")
	if err != nil {
		tb.Fatal(err)
	}
	text := string(file)
	for _, change := range [][2]string{
		{"resolver 127.0.0.11 valid=2s ipv6=off;", ""},
		{"listen 80 default_server", "listen " + addr},
		{"include /etc/nginx/extra/*.conf;", ""},
		{"set $gateway gateway:8080;", "set $gateway gateway; add_header X-Asked $upstream_addr always;"},
	} {
		if strings.Count(text, change[0]) != 1 {
			tb.Fatalf("deploy/nginx/default.conf does not hold %q once", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	var servers strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&servers, "server %s max_fails=0; ", n)
	}
	return "upstream gateway { " + servers.String() + "}\n" + text
}
