package harness

import (
	"bufio"
	"net"
	"slices"
	"testing"
	"time"
)

// echoing answers every line with itself until the test ends.
func echoing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewReader(c); ; {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(line))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// talk sends a line on a new connection and returns the answer, what came of it.
func talk(t *testing.T, addr string, patience time.Duration) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestRelayHarms(t *testing.T) {
	r := NewRelay(t, Ports(t, 1)[0], echoing(t), func() bool { return true })
	f := func(what, want string, failing bool) {
		t.Helper()
		patience := 10 * time.Second
		if failing {
			patience = 200 * time.Millisecond
		}
		got, err := talk(t, r.Addr, patience)
		if got != want || (err != nil) != failing {
			t.Errorf("%s: got %q, %v; want %q, an error: %t", what, got, err, want, failing)
		}
	}
	f("no fault", "hello\n", false)
	r.Play(MidReply, 1)
	f("broken off", "hel", true)
	r.Play(Hang, 1)
	f("hanging", "", true)
	r.Play(Sound, 0)
	f("healed", "hello\n", false)
	r.Refuse()
	f("refusing", "", true)
}

func TestRelayDelays(t *testing.T) {
	r := NewRelay(t, Ports(t, 1)[0], echoing(t), func() bool { return true })
	r.Play(Slow, 1)
	start := time.Now()
	if got, err := talk(t, r.Addr, 5*time.Second); got != "hello\n" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if took := time.Since(start); took < replyDelay {
		t.Errorf("a slow reply took %s, want at least %s", took, replyDelay)
	}
}

func TestRelayBreaksConnectionsThatStand(t *testing.T) {
	r := NewRelay(t, Ports(t, 1)[0], echoing(t), func() bool { return true })
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := bufio.NewReader(c)
	_, _ = c.Write([]byte("hello\n"))
	if got, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	r.Refuse()
	if got, err := lines.ReadString('\n'); err == nil {
		t.Errorf("got %q on a connection that should be broken", got)
	}
}

// A node that is cut off neither hears nor is heard, over datagrams and
// connections; the others hear each other's datagrams.
func TestGossipCutsOneNode(t *testing.T) {
	ports := Ports(t, 6)
	binds := Addresses(ports[:3])
	var nodes []net.PacketConn
	for _, addr := range binds {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		nodes = append(nodes, c)
	}
	g := NewGossip(t, binds, ports[3:])
	// hear sends from every node to node i and returns which senders it hears: it
	// is patient until n have come, and then waits a little for one too many.
	hear := func(i, n int) []byte {
		t.Helper()
		to, err := net.ResolveUDPAddr("udp", g.Addrs[i])
		if err != nil {
			t.Fatal(err)
		}
		for from, c := range nodes {
			if _, err := c.WriteTo([]byte{byte(from)}, to); err != nil {
				t.Fatal(err)
			}
		}
		var heard []byte
		for buf := make([]byte, 1); ; {
			patience := 10 * time.Second
			if len(heard) >= n {
				patience = 100 * time.Millisecond
			}
			_ = nodes[i].SetReadDeadline(time.Now().Add(patience))
			if _, _, err := nodes[i].ReadFrom(buf); err != nil {
				slices.Sort(heard)
				return heard
			}
			heard = append(heard, buf[0])
		}
	}
	f := func(i int, want ...byte) {
		t.Helper()
		if got := hear(i, len(want)); !slices.Equal(got, want) {
			t.Errorf("node %d hears %v, want %v", i, got, want)
		}
	}
	f(0, 0, 1, 2)
	g.Cut.Store(2)
	f(0, 0, 1)
	f(1, 0, 1)
	f(2)
	if _, err := talk(t, g.Addrs[0], time.Second); err == nil {
		t.Error("a connection passes while a node is cut off")
	}
	g.Cut.Store(Nobody)
	f(2, 0, 1, 2)
}
