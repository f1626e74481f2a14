package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const handshake = " HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// agree accepts the upgrade and gives the connection to use.
func agree(use func(conn net.Conn, r *bufio.Reader)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Connection") != "Upgrade" || r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, fmt.Sprintf("no upgrade: %v", r.Header), http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		use(conn, rw.Reader)
	}
}

func echoBytes(conn net.Conn, r *bufio.Reader) { _, _ = io.Copy(conn, r) }

// upgrade opens a tunnel.
func (n *testNode) upgrade(path string, headers ...string) (net.Conn, *bufio.Reader, *http.Response) {
	n.t.Helper()
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET %s%s%s\r\n", path, handshake, strings.Join(append(headers, ""), "\r\n"))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return conn, r, resp
}

func TestTunnelPassesBothWays(t *testing.T) {
	n := large(t, "write_timeout_ms: 300")
	n.with(agree(echoBytes))
	conn, r, resp := n.upgrade("/open/x", "X-Request-ID: tunnelled")
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" ||
		resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("X-Request-Id") != "tunnelled" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	for i := range 4 {
		time.Sleep(200 * time.Millisecond) // longer than read_timeout_ms in all
		want := strings.Repeat(fmt.Sprint(i), 10_000)
		go func() { _, _ = io.WriteString(conn, want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("round %d: got %.20q, %v", i, got, err)
		}
	}
	if !strings.Contains(string(must(n.metrics("")).body), "gateway_tunnels_open 1") {
		t.Error("the tunnel is not counted")
	}
	_ = conn.Close()
	line := n.logs.wait(t, "tunnelled")
	if !strings.Contains(line, `"status":101`) || !strings.Contains(line, `"bytes_in":40000,"bytes_out":40000`) {
		t.Errorf("the line is %s", line)
	}
	if !strings.Contains(string(must(n.metrics("")).body), "gateway_tunnels_open 0") {
		t.Error("the tunnel is counted on")
	}
}

func must(p page, err error) page {
	if err != nil {
		panic(err)
	}
	return p
}

// Bytes sent along with the handshake, or with its answer, are part of the tunnel.
func TestTunnelLosesNoEarlyBytes(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	n.with(agree(func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, "early ")
		echoBytes(conn, r)
	}))
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET /open/x%s\r\n%s", handshake, "first")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("early first"))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "early first" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTunnelHalfClose(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	n.with(agree(func(conn net.Conn, r *bufio.Reader) {
		all, _ := io.ReadAll(r)
		fmt.Fprintf(conn, "got %s", all)
	}))
	conn, r, _ := n.upgrade("/open/x")
	_, _ = io.WriteString(conn, "all there is")
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(r); string(got) != "got all there is" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTunnelIsRefusedBeforeItBegins(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	n.with(agree(echoBytes))
	f := func(status int, path string) {
		t.Helper()
		if _, _, resp := n.upgrade(path); resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
	f(401, "/users/x")
	f(404, "/nowhere")
	if n.hits.Load() != 0 {
		t.Errorf("%d handshakes reached the upstream", n.hits.Load())
	}
}

// An upstream that does not agree answers, and the connection stays what it was.
func TestUpstreamDeclinesTheUpgrade(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	n.with(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not here", http.StatusUpgradeRequired) })
	conn, r, resp := n.upgrade("/open/x")
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 426 || string(body) != "not here\n" || err != nil {
		t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
	}
	fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the next request got %v, %v", resp, err)
	}
}

func TestSilentTunnelEnds(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	ended := make(chan struct{})
	n.with(agree(func(conn net.Conn, r *bufio.Reader) {
		defer close(ended)
		echoBytes(conn, r)
	}))
	conn, r, _ := n.upgrade("/idle/x")
	begun := time.Now()
	for range 4 { // what passes keeps it open
		_, _ = io.WriteString(conn, "x")
		if _, err := r.ReadByte(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if time.Since(begun) < 300*time.Millisecond {
		t.Error("no test of idle_timeout_ms")
	}
	if got, err := io.ReadAll(r); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v, want the end", got, err)
	}
	within(t, "the upstream's end", ended)
}

// A gateway that stops says goodbye between two frames, not within one, and the
// client's answer reaches the upstream.
func TestTunnelsEndWithACloseFrame(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, streamRoutes, "drain_delay_ms: 0, drain_timeout_ms: 8000")
	half, rest := make(chan struct{}), make(chan struct{})
	heard := make(chan string, 2)
	n.with(agree(func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, "\x81\x05hel")
		close(half)
		<-rest
		_, _ = io.WriteString(conn, "lo"+"\x81\x04late")
		all, _ := io.ReadAll(r)
		heard <- string(all)
	}))
	conn, r, _ := n.upgrade("/open/x")
	within(t, "half a frame", half)
	got := make([]byte, 5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "\x81\x05hel" {
		t.Fatalf("got %q, %v", got, err)
	}
	stop()
	eventually(t, "the stop", func() bool { return strings.Contains(n.logs.String(), "stopping") })
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	var timeout net.Error
	if b, err := r.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %q, %v within a frame", b, err)
	}
	close(rest)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	got = make([]byte, 6)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "lo\x88\x02\x03\xe9" {
		t.Fatalf("got %q, %v, want the end of the frame and a close frame with 1001", got, err)
	}
	const reply = "\x88\x82\x00\x00\x00\x00\x03\xe9"
	_, _ = io.WriteString(conn, reply)
	_ = conn.Close()
	if all := <-heard; all != reply {
		t.Errorf("the upstream heard %q, want the client's close frame", all)
	}
}

// A client that does not answer the close frame does not hold up the end.
func TestDeafTunnelIsCutOff(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	n := startIn(ctx, t, streamRoutes, "drain_delay_ms: 0, drain_timeout_ms: 1000")
	n.with(agree(echoBytes))
	_, r, _ := n.upgrade("/open/x")
	stop()
	if got, _ := io.ReadAll(r); string(got) != "\x88\x02\x03\xe9" {
		t.Errorf("got %q", got)
	}
}
