package node

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate writes a pair for 127.0.0.1 and returns its roots.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, text := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}

// secureNode starts a node that speaks TLS.
func secureNode(t *testing.T) (n *testNode, certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	roots = writeCertificate(t, certFile, keyFile)
	n = startIn(t.Context(), t, streamRoutes, fmt.Sprintf("drain_delay_ms: 0, max_connections_per_client: 5, tls: {cert_file: %q, key_file: %q}", certFile, keyFile))
	return n, certFile, keyFile, roots
}

func (n *testNode) dialTLS(config *tls.Config) (*tls.Conn, error) {
	config.ServerName = "127.0.0.1"
	conn, err := tls.Dial("tcp", n.Addr(), config)
	if err == nil {
		n.t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, err
}

func TestTLS(t *testing.T) {
	n, certFile, keyFile, roots := secureNode(t)
	get := func(conn net.Conn) {
		t.Helper()
		fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
		if seen := n.seen.Load(); seen.Header.Get("X-Forwarded-Proto") != "https" || seen.Header.Get("X-Forwarded-Port") != "443" {
			t.Errorf("the upstream was told %v", seen.Header)
		}
	}
	old, err := n.dialTLS(&tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := old.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("ALPN chose %q", got)
	}
	get(old)
	if _, err := n.dialTLS(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if _, err := n.dialTLS(&tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client that insists on HTTP/2 is let in")
	}

	// A renewed pair is used by the next handshakes; open connections stay.
	renewed := writeCertificate(t, certFile, keyFile)
	later := time.Now().Add(time.Minute)
	_ = os.Chtimes(keyFile, later, later)
	eventually(t, "the new certificate", func() bool {
		conn, err := n.dialTLS(&tls.Config{RootCAs: renewed})
		if err == nil {
			get(conn)
		}
		return err == nil
	})
	get(old)
	n.logs.wait(t, "new certificate in use")
}

func TestTunnelThroughTLS(t *testing.T) {
	n, _, _, roots := secureNode(t)
	n.with(agree(echoBytes))
	conn, err := n.dialTLS(&tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /open/x%s\r\n", handshake)
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("got %v, %v", resp, err)
	}
	_, _ = io.WriteString(conn, "over TLS")
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(r); string(got) != "over TLS" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TLS's own goodbye does not hide that a client has gone.
func TestClientOfTLSThatGoesAwayFreesTheUpstream(t *testing.T) {
	n, _, _, roots := secureNode(t)
	asked, freed := make(chan struct{}), make(chan struct{})
	n.with(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(freed)
	})
	conn, err := n.dialTLS(&tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
	within(t, "the request", asked)
	_ = conn.Close()
	within(t, "the upstream being let go", freed)
}
