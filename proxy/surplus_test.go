package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// talkative is an upstream that gives one answer on its first connection and then,
// once the test says so, more that nobody asked for. On others it is sound.
func talkative(t *testing.T, l net.Listener, answer, surplus string) (say func()) {
	t.Helper()
	first := make(chan net.Conn, 1)
	var all sync.WaitGroup
	all.Go(func() {
		for next := answer; ; next = ok {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case first <- c:
			default:
			}
			all.Go(func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					if _, err := readHead(r); err != nil {
						return
					}
					_, _ = c.Write([]byte(next))
				}
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	return func() {
		if _, err := (<-first).Write([]byte(surplus)); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond) // for it to cross the loopback
	}
}

// What an upstream sends on an idle connection answers no request: the body of a
// HEAD that comes after all, or the 408 by which servers end a connection.
func TestUnaskedBytesAreNotTheNextAnswer(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir, "server")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	f := func(secure bool, method, answer, surplus string) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		config := configFor("http://" + l.Addr().String())
		if secure {
			config = configFor("https://" + l.Addr().String())
			config.TLS.CAFile = filepath.Join(dir, "server.crt")
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
		}
		b := NewBackends(Options{})
		say := talkative(t, l, answer, surplus)
		t.Cleanup(b.Close) // first, so that the upstream's connections end
		u := b.Upstream(config)
		forward(t, u, newExchange(t, request(method, "/first")))
		say()
		x := newExchange(t, get("/second"))
		res := forward(t, u, x)
		if string(x.Response.Body()) != "ok" || res.Tries != 1 {
			t.Errorf("%s, TLS %v: got %d in %d tries: %q", method, secure, x.Response.StatusCode(), res.Tries, &x.Response.Header)
		}
	}
	const forged = "HTTP/1.1 200 OK\r\nX-Forged: yes\r\nContent-Length: 0\r\n\r\n"
	const bye = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for _, secure := range []bool{false, true} {
		f(secure, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n", forged)
		f(secure, "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 53\r\n\r\n", forged)
		f(secure, "GET", ok, bye)
	}
}

// gathered is a connection that sends what it was given before it waits for more,
// all at once.
type gathered struct {
	net.Conn
	out bytes.Buffer
}

func (g *gathered) Write(b []byte) (int, error) { return g.out.Write(b) }

func (g *gathered) Read(b []byte) (int, error) {
	if _, err := g.out.WriteTo(g.Conn); err != nil {
		return 0, err
	}
	return g.Conn.Read(b)
}

// A TLS record that came along with the answer's is in nobody's buffer but TLS's.
func TestUnaskedRecordIsNotTheNextAnswer(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir(), "server")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	upstream := tls.Server(&gathered{Conn: far}, &tls.Config{Certificates: []tls.Certificate{pair}})
	roots, err := readRoots(certFile)
	if err != nil {
		t.Fatal(err)
	}
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "server"})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer upstream.Close()
		for _, part := range []string{"ok", "more"} {
			if _, err := upstream.Write([]byte(part)); err != nil {
				t.Error(err)
			}
		}
		_, _ = upstream.Read(make([]byte, 1))
	})
	c := newConn(client, near)
	c.served = true
	if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if c.ready(time.Now().Add(time.Second)) {
		t.Error("the connection counts as ready, with an answer in it that nobody asked for")
	}
	_ = near.Close()
	wg.Wait()
}
