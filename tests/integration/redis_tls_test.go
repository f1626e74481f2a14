package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"

	"github.com/go-api-gateway-pro/gateway/limiter"
	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.pem = a.sign(t, a.cert, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, cert *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// server returns the certificate of a server and its key.
func (a *authority) server(t *testing.T) (cert, key []byte) {
	t.Helper()
	k := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, k), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// file writes the authority's certificate.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, a.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newEncrypted starts two servers: the first speaks TLS only, the second none.
func newEncrypted(t *testing.T, a *authority) *fleet {
	t.Helper()
	ports := harness.Ports(t, 2)
	cert, key := a.server(t)
	file := func(name string, text []byte) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{Reader: bytes.NewReader(text), ContainerFilePath: "/tmp/" + name, FileMode: 0o644}
	}
	const common = "redis-server --save '' --protected-mode no "
	f := newFleet(t, ports, []string{
		common + fmt.Sprintf("--port 0 --tls-port %d --tls-auth-clients no --tls-cert-file /tmp/redis.crt --tls-key-file /tmp/redis.key --tls-ca-cert-file /tmp/ca.crt", ports[0]),
		common + fmt.Sprintf("--port %d", ports[1]),
	}, file("redis.crt", cert), file("redis.key", key), file("ca.crt", a.pem))
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	roots.AppendCertsFromPEM(a.pem)
	f.connect(func(o *redis.Options) {
		if o.Addr == address(ports[0]) {
			o.TLSConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
	})
	return f
}

// The limiter speaks TLS to whom its authority vouches for, and to nobody else:
// then it limits by itself and says why. It never falls back to plain text.
func TestRedisOverTLS(t *testing.T) {
	const burst = 10
	own, foreign := newAuthority(t), newAuthority(t)
	servers := newEncrypted(t, own)
	at := func(t *testing.T, server int, a *authority) *node {
		c := limiter.DefaultConfig()
		c.Addrs, c.BudgetMS = servers.addrs(server, server+1), patientBudget
		c.TLS = limiter.TLSConfig{Enabled: true, CAFile: a.file(t)}
		return newNode(t, c, nil)
	}
	t.Run("own authority", func(t *testing.T) {
		n := at(t, 0, own)
		n.settled()
		b := limiter.Bucket{Limit: slow("encrypted", burst), Key: "ann"}
		if got := n.admit(2*burst, b); got != burst || left(t, servers.clients[0], b) != 0 {
			t.Errorf("admitted %d and left %d in Redis, want %d and none", got, left(t, servers.clients[0], b), burst)
		}
	})
	refused := func(name string, server int, a *authority) *node {
		n := at(t, server, a)
		b := limiter.Bucket{Limit: slow(name, burst), Key: "ann"}
		if got := n.admit(2*burst, b); got != burst {
			t.Errorf("%s: admitted %d, want %d: by itself", name, got, burst)
		}
		harness.Eventually(t, 10*time.Second, name+": a line that tells of it", func() bool { return n.log.count("limiter: redis lost") == 1 })
		if got, err := servers.clients[server].Exists(t.Context(), "rate:"+bucketKey(b)).Result(); err != nil || got != 0 {
			t.Errorf("%s: Redis was charged (%v)", name, err)
		}
		return n
	}
	n := refused("foreign", 0, foreign)
	harness.Eventually(t, 10*time.Second, "the cause", func() bool { return n.log.count("certificate signed by unknown authority") == 1 })
	refused("plain", 1, own) // waits for a line to end, and so says nothing
	if got := scripts(t, servers.clients[1]); got != 0 {
		t.Errorf("%d scripts were sent in plain text", got)
	}
}
