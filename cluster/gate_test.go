package cluster

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// A stranger's bytes are not buffered without end, whatever length it announces.
func TestGateBoundsAConnection(t *testing.T) {
	p := start(t, options("a"))
	conn := knock(t, p)
	if _, err := conn.Write([]byte("\xf4\x04test\x0a\x01\x40\x00\x00")); err != nil { // the label, and 20 MiB under some key to come
		t.Fatal(err)
	}
	part, sent := bytes.Repeat([]byte("x"), 1<<20), 0
	for sent < 18 {
		if _, err := conn.Write(part); err != nil {
			break
		}
		sent++
	}
	if sent == 18 {
		t.Error("18 MiB were taken from a stranger")
	}
	eventually(t, "the refusal is counted", func() bool { return count(t, p.metrics.refused.WithLabelValues("size")) == 1 })
}

// Connections that say nothing are refused beyond a number.
func TestGateBoundsConnections(t *testing.T) {
	p := start(t, options("a"))
	busy := p.metrics.refused.WithLabelValues("busy")
	var silent []net.Conn
	eventually(t, "one too many is refused", func() bool {
		silent = append(silent, knock(t, p))
		return count(t, busy) > 0
	})
	for _, conn := range silent {
		_ = conn.Close()
	}
	b := start(t, options("b", p.Addr()))
	b.Join(t.Context())
	eventually(t, "a member is let in once they are gone", func() bool { return p.Size() == 2 && b.Size() == 2 })
}

func knock(t *testing.T, p *Peer) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
