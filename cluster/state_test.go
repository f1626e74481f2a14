package cluster

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A state that fails, and one that only the other side has, must not keep the
// rest from being repaired.
func TestSnapshotSurvivesBadStates(t *testing.T) {
	a, b := start(t, Options{Name: "a"}), start(t, Options{Name: "b"})
	a.Share("1-broken", &blob{fail: errors.New("boom")})
	a.Share("2-unknown-to-b", &blob{})
	a.Share("3-good", &blob{})
	a.Share("4-refused", &blob{})
	good := &blob{}
	b.Share("1-broken", &blob{})
	b.Share("4-refused", &blob{fail: errors.New("boom")})
	b.Share("3-good", good)
	b.mergeSnapshot(a.snapshot())
	if diff := cmp.Diff([]string{"full"}, good.got); diff != "" {
		t.Errorf("merged differs (-want +got):\n%s", diff)
	}
}

func TestShareMistakesPanic(t *testing.T) {
	p := start(t, Options{Name: "a"})
	p.Share("taken", &blob{})
	for _, key := range []string{"", "taken", string(make([]byte, 256))} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Share(%q) did not panic", key)
				}
			}()
			p.Share(key, &blob{})
		}()
	}
}

// The receive loop reuses its buffer and must not wait for a slow state.
func TestDeliverCopiesAndNeverBlocks(t *testing.T) {
	p := start(t, options("a"))
	slow := &blob{hold: make(chan struct{})}
	p.Share("k", slow)
	d := delegate{p: p}

	msg := appendPart([]byte{wireVersion}, part{key: "k", data: []byte("first")})
	d.NotifyMsg(msg)
	clear(msg)
	for range 2 * inboxSize {
		d.NotifyMsg([]byte{wireVersion})
	}
	if got := count(t, p.metrics.dropped); got < inboxSize-1 {
		t.Errorf("got %v dropped, want at least %d", got, inboxSize-1)
	}
	close(slow.hold)
	eventually(t, "the first message arrives unharmed", func() bool { return slow.has("first") })
}

// However many and large the messages of a hostile member, memory stays bounded
// and each refusal is counted.
func TestInboxIsBounded(t *testing.T) {
	p := start(t, options("a"))
	slow := &blob{hold: make(chan struct{})}
	p.Share("k", slow)
	d := delegate{p: p}
	d.NotifyMsg(make([]byte, maxMessage+1))
	if got := count(t, p.metrics.refused.WithLabelValues("size")); got != 1 {
		t.Errorf("got %v refused for their size, want 1", got)
	}
	large := appendPart([]byte{wireVersion}, part{key: "k", data: make([]byte, maxMessage-100)})
	for range 20 {
		d.NotifyMsg(large)
	}
	if got := p.mail.waiting.Load(); got > inboxBytes {
		t.Errorf("%d bytes wait, want at most %d", got, inboxBytes)
	}
	if got := count(t, p.metrics.dropped); got < 16 {
		t.Errorf("got %v dropped, want most of 20", got)
	}
	close(slow.hold)
	eventually(t, "room again", func() bool { return p.mail.waiting.Load() == 0 })
	d.NotifyMsg([]byte{wireVersion + 1})
	eventually(t, "malformed state is counted", func() bool { return count(t, p.metrics.refused.WithLabelValues("state")) == 1 })
}

func TestPostNeverBlocks(t *testing.T) {
	p := newPeer(Options{Name: "a"}) // nobody sends
	defer p.stop()
	p.table.record(0, node("b"))
	send := p.Share("k", &blob{})
	for range outboxSize + 5 {
		send([]byte("small"))
		send(bytes.Repeat([]byte("L"), maxPacket))
	}
	if got := count(t, p.metrics.dropped); got != 10 {
		t.Errorf("got %v dropped, want 5 of each size", got)
	}
}

func TestDecodeParts(t *testing.T) {
	f := func(in []byte, want []part, wantErr string) {
		t.Helper()
		got, err := decodeParts(in)
		if text := errText(err); text != wantErr {
			t.Errorf("%x: got error %q, want %q", in, text, wantErr)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(part{})); diff != "" {
			t.Errorf("%x: parts differ (-want +got):\n%s", in, diff)
		}
	}
	two := []part{{"a", []byte("1")}, {"b", []byte{}}}
	whole := appendPart(appendPart([]byte{wireVersion}, two[0]), two[1])
	f(nil, nil, "")
	f([]byte{wireVersion}, nil, "")
	f(whole, two, "")
	f(whole[:len(whole)-1], nil, "message is cut short")
	f([]byte{9, 1}, nil, "message has version 9, want 1")
	f([]byte{wireVersion, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0}, nil, "message is cut short")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzDecodeParts(f *testing.F) {
	f.Add(appendPart([]byte{wireVersion}, part{key: "k", data: []byte("data")}))
	f.Fuzz(func(t *testing.T, in []byte) {
		parts, err := decodeParts(in)
		if err != nil || len(parts) == 0 {
			return
		}
		out := []byte{wireVersion}
		for _, p := range parts {
			out = appendPart(out, p)
		}
		again, err := decodeParts(out)
		if diff := cmp.Diff(parts, again, cmp.AllowUnexported(part{})); err != nil || diff != "" {
			t.Errorf("not the same after a round trip: %v\n%s", err, diff)
		}
	})
}
