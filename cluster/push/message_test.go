package push

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

// What no member says must not stop one that listens.
func TestStrangeMessagesAreHarmless(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(0).push
		for _, raw := range []string{
			"", "{", "null", `{"push":"x"}`, `{"from":"x"}`, `{"push":"x","from":"n1.0"}`,
			`{"protocol":1,"kind":"prepare","push":"x","from":"n1.0","base":"old"}`,
			`{"protocol":1,"kind":"decision","push":"x","from":"n1.0","row":"AAAA"}`,
			`{"protocol":1,"kind":"answer","push":"x","from":"n1.0","result":"prepared"}`,
			`{"protocol":1,"kind":"abort","push":"y","from":"nobody"}`,
			`{"protocol":99,"kind":"later","push":"z","from":"n1.0"}`,
			`{"push":"x","from":"n1.0","text":"` + strings.Repeat("A", maxMessage) + `"}`,
		} {
			p.take([]byte(raw))
			synctest.Wait()
		}
		for range 2 * inbox {
			p.take([]byte("{")) // more than fit are lost, and nobody waits
		}
		synctest.Wait()
		if r := p.Push(w.ctx, []byte("new")); r.Outcome != Committed {
			t.Errorf("the next push: %+v", r)
		}
	})
}

// The largest text passes between real members, whose sockets have limits of
// their own.
func TestLargestTextPassesTheNetwork(t *testing.T) {
	var peers []*cluster.Peer
	var join []string
	for _, name := range []string{"a", "b"} {
		p, err := cluster.New(cluster.Options{
			Name: name, Log: zerolog.Nop(),
			Config: cluster.Config{Bind: "127.0.0.1:0", Label: "test", SecretKey: cluster.Keys{"a passphrase for this test"}, Join: join},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Leave(context.Background()) }()
		peers, join = append(peers, p), append(join, p.Addr())
	}
	arrived := make(chan []byte, 1)
	send := peers[1].Mailbox(mailKey, func([]byte) {})
	peers[0].Mailbox(mailKey, func(m []byte) { arrived <- m })
	peers[1].Join(t.Context())
	whole := message{
		Protocol: protocol, Kind: kindPrepare, Push: strings.Repeat("x", 255), From: strings.Repeat("x", 255),
		Base: strings.Repeat("x", 255), Text: make([]byte, MaxText),
	}.encode()
	send("a", whole, func(err error) { t.Error(err); close(arrived) })
	if m, err := decode(<-arrived); err != nil || len(m.Text) != MaxText {
		t.Errorf("arrived with %d bytes of text: %v", len(m.Text), err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "y", Base: "b", Text: []byte("text")}.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decode(raw)
		if err != nil {
			return
		}
		if again, err := decode(m.encode()); err != nil || string(again.encode()) != string(m.encode()) {
			t.Errorf("not the same after a round trip: %v", err)
		}
	})
}
