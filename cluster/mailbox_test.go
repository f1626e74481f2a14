package cluster

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// letters opens the same mailbox on every peer and collects what arrives.
func letters(peers []*Peer) (in []chan string, send []func(string, []byte, func(error))) {
	for _, p := range peers {
		arrived := make(chan string, 8)
		in = append(in, arrived)
		send = append(send, p.Mailbox("mail", func(m []byte) { arrived <- string(m) }))
	}
	return in, send
}

func TestMailboxReachesOneMember(t *testing.T) {
	peers, _, _ := trio(t)
	in, send := letters(peers)
	large := strings.Repeat("L", 1<<20)
	lost := func(err error) { t.Errorf("lost: %v", err) }
	send[0]("node-1", []byte("small"), lost)
	if got := <-in[1]; got != "small" {
		t.Errorf("got %q", got)
	}
	send[0]("node-1", []byte(large), lost)
	if got := <-in[1]; got != large {
		t.Errorf("got %d bytes, want %d", len(got), len(large))
	}
	peers[2].mergeSnapshot(peers[0].snapshot()) // the exchange of full states is no message
	if len(in[2]) != 0 || len(in[0]) != 0 {
		t.Error("a message reached somebody else")
	}
}

func TestMailboxTellsWhatIsNotHandedOver(t *testing.T) {
	peers, _, _ := trio(t)
	_, send := letters(peers)
	f := func(to, want string) {
		t.Helper()
		failed := make(chan error, 1)
		send[0](to, bytes.Repeat([]byte("x"), 1000), func(err error) { failed <- err })
		if err := <-failed; !strings.Contains(err.Error(), want) {
			t.Errorf("sending to %s: got %v, want %q", to, err, want)
		}
	}
	f("nobody", "cannot send to nobody: not a member")
	f("node-0", "not a member") // one does not write to oneself
	crash(peers[1])
	f("node-1", "cannot send to node-1: ")
	for range maxDialling {
		peers[0].mail.direct <- struct{}{}
	}
	f("node-2", "32 messages are under way")
	for range maxDialling {
		<-peers[0].mail.direct
	}
	if err := peers[0].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	f("node-2", "this node has left the cluster")
}

// A member that takes connections and reads nothing must not hold a message for
// ever.
func TestMailboxGivesUpOnWhoReadsNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := options("me")
	o.tune = func(conf *memberlist.Config) { quick(conf); conf.TCPTimeout = 300 * time.Millisecond }
	p := start(t, o)
	at := ln.Addr().(*net.TCPAddr)
	p.table.record(p.table.round, &memberlist.Node{Name: "stuck", Addr: at.IP, Port: uint16(at.Port)})
	failed := make(chan error, 1)
	p.Mailbox("mail", func([]byte) {})("stuck", make([]byte, 16<<20), func(err error) { failed <- err })
	if err := <-failed; !strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v, want a timeout", err)
	}
}
