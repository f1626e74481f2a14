package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a self-signed certificate for name and its key.
func writePair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// secureUpstream serves https as "server", to holders of "client" alone.
func secureUpstream(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	certFile, keyFile := writePair(t, dir, "server")
	clientCert, _ := writePair(t, dir, "client")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := readRoots(clientCert)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.TLS.NegotiatedProtocol)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestUpstreamTLS(t *testing.T) {
	dir := t.TempDir()
	up := secureUpstream(t, dir)
	other, otherKey := writePair(t, dir, "other")
	path := func(name string) string { return filepath.Join(dir, name) }
	f := func(what string, secure TLSConfig, want string) {
		t.Helper()
		u := newTestBackends(t, Options{}).Upstream(configFor(up.URL, func(c *UpstreamConfig) { c.TLS = secure }))
		x := newExchange(t, get("/"))
		_, err := u.Forward(t.Context(), x)
		if got := string(x.Response.Body()); got != want || (want == "") != errors.Is(err, ErrUpstream) {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
		}
	}
	whole := TLSConfig{CAFile: path("server.crt"), CertFile: path("client.crt"), KeyFile: path("client.key")}
	f("all in order", whole, "client http/1.1")
	named := whole
	named.ServerName = "server"
	f("by another name", named, "client http/1.1")
	named.ServerName = "elsewhere"
	f("for another name", named, "")
	f("roots of the machine", TLSConfig{CertFile: whole.CertFile, KeyFile: whole.KeyFile}, "")
	f("no certificate", TLSConfig{CAFile: whole.CAFile}, "")
	f("another certificate", TLSConfig{CAFile: whole.CAFile, CertFile: other, KeyFile: otherKey}, "")
	f("a lost file", TLSConfig{CAFile: path("absent")}, "")
}

func TestTLSConfigReportsAllProblems(t *testing.T) {
	dir := t.TempDir()
	cert, _ := writePair(t, dir, "one")
	_, key := writePair(t, dir, "two")
	noPEM := filepath.Join(dir, "text")
	if err := os.WriteFile(noPEM, []byte("secret text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(c TLSConfig, want ...string) {
		t.Helper()
		config := configFor("https://a")
		config.TLS = c
		err := config.Validate()
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%+v: got %v, want %q", c, err, part)
			}
		}
		if len(want) == 0 && err != nil {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	f(TLSConfig{})
	f(TLSConfig{CAFile: cert})
	f(TLSConfig{CAFile: noPEM}, "upstream_tls.ca_file: must hold a certificate in PEM")
	f(TLSConfig{CAFile: "/absent", CertFile: cert}, "upstream_tls.ca_file: cannot read", "upstream_tls.cert_file: must stand with key_file")
	f(TLSConfig{CertFile: cert, KeyFile: key}, "upstream_tls.cert_file: cannot use the certificate")
}

func TestRoutesAgreeOnTheTLSOfAnUpstream(t *testing.T) {
	one, two := configFor("https://a"), configFor("https://a")
	two.TLS.ServerName = "b"
	err := CheckShared([]UpstreamConfig{one, two})
	if err == nil || err.Error() != "routes[1].upstream_tls: must equal that of routes[0], which has the same upstream https://a" {
		t.Errorf("got %v", err)
	}
	if err := CheckShared([]UpstreamConfig{one, one, configFor("http://a")}); err != nil {
		t.Errorf("got %v", err)
	}
}

// touch makes a change of files visible at once, whatever the clock's grain.
func touch(t *testing.T, p *KeyPair, files ...string) {
	t.Helper()
	for i, name := range files {
		when := time.Now().Add(time.Duration(i+1) * time.Minute)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	p.looked = time.Time{}
}

func TestKeyPairFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "one")
	var reports []error
	p, err := NewKeyPair(cert, key, func(err error) { reports = append(reports, err) })
	if err != nil {
		t.Fatal(err)
	}
	name := func() string { return p.Certificate().Leaf.Subject.CommonName }
	newCert, newKey := writePair(t, dir, "two")
	if err := os.Rename(newCert, cert); err != nil {
		t.Fatal(err)
	}
	touch(t, p, cert)
	if got := name(); got != "one" || len(reports) != 1 || reports[0] == nil {
		t.Errorf("half replaced: %s in use, reports %v", got, reports)
	}
	p.looked = time.Time{}
	if name(); len(reports) != 1 {
		t.Errorf("the same fault is reported again: %v", reports)
	}
	if err := os.Rename(newKey, key); err != nil {
		t.Fatal(err)
	}
	touch(t, p, key)
	if got := name(); got != "two" || len(reports) != 2 || reports[1] != nil {
		t.Errorf("replaced: %s in use, reports %v", got, reports)
	}
	if _, err := NewKeyPair(cert, "/absent", nil); err == nil {
		t.Error("a pair without a key is taken")
	}
}

func TestUpstreamsOfOtherSettingsShareNoConnection(t *testing.T) {
	dir := t.TempDir()
	up := secureUpstream(t, dir)
	b := newTestBackends(t, Options{})
	secure := TLSConfig{CAFile: filepath.Join(dir, "server.crt"), CertFile: filepath.Join(dir, "client.crt"), KeyFile: filepath.Join(dir, "client.key")}
	x := newExchange(t, get("/"))
	forward(t, b.Upstream(configFor(up.URL, func(c *UpstreamConfig) { c.TLS = secure })), x)
	if _, err := b.Upstream(configFor(up.URL)).Forward(t.Context(), newExchange(t, get("/"))); err == nil {
		t.Error("a route without a certificate used the connection of one that has it")
	}
}
