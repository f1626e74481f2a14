package cluster

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestKey(t *testing.T) {
	f := func(secret string, wantLen int, wantRaw []byte) {
		t.Helper()
		got, err := aesKey(secret)
		if err != nil || len(got) != wantLen || wantRaw != nil && !bytes.Equal(got, wantRaw) {
			t.Errorf("%q: got %d bytes %x, error %v, want %d", secret, len(got), got, err, wantLen)
		}
	}
	for _, n := range []int{16, 24, 32} {
		raw := bytes.Repeat([]byte{0xA5}, n)
		f(base64.StdEncoding.EncodeToString(raw), n, raw)
	}
	f(base64.StdEncoding.EncodeToString(make([]byte, 20)), 32, nil)
	f("sixteen bytes !!", 32, nil)
}

// Whatever the ring held, it ends with the wanted keys alone, the first in
// front, while receivers read it all along.
func TestRotate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	key := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 32) }
	some := func() [][]byte {
		var out [][]byte
		for _, i := range rng.Perm(6)[:1+rng.IntN(5)] {
			out = append(out, key(i))
		}
		return out
	}
	first := some()
	ring, err := memberlist.NewKeyring(first, first[0])
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var receiver sync.WaitGroup
	receiver.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			for _, k := range ring.GetKeys() {
				if len(k) != 32 {
					t.Errorf("a receiver reads a key of %d bytes", len(k))
				}
			}
		}
	})
	for range 2000 {
		wanted := some()
		if err := rotate(ring, wanted); err != nil {
			t.Fatal(err)
		}
		got := ring.GetKeys()
		if len(got) != len(wanted) || !bytes.Equal(got[0], wanted[0]) ||
			slices.ContainsFunc(wanted, func(k []byte) bool { return !contains(got, k) }) {
			t.Fatalf("got keys %x, want %x", got, wanted)
		}
	}
	close(done)
	receiver.Wait()
}

// The documented steps lose nobody and end with a key that keeps the old one out.
func TestKeysAreReplacedWhileTheClusterRuns(t *testing.T) {
	const next = "the key that comes after, long enough"
	peers, rows, send := trio(t)
	say := func(what string) {
		t.Helper()
		send[0](rows[0].Set([]byte(what)))
		eventually(t, what+" is heard", func() bool {
			return payloads(rows[1]) == "node-0="+what && payloads(rows[2]) == "node-0="+what
		})
	}
	for _, keys := range []Keys{{testKey, next}, {next, testKey}, {next}} {
		for i, p := range peers {
			if err := p.UseKeys(keys); err != nil {
				t.Fatal(err)
			}
			say(string(rune('a'+i)) + " of " + string(rune('0'+len(keys))))
		}
	}
	if got := count(t, peers[0].metrics.refused.WithLabelValues("key")); got != 0 {
		t.Errorf("%v messages were refused on the way", got)
	}
	old := start(t, options("old", peers[0].Addr()))
	old.Join(t.Context())
	o := options("new", peers[0].Addr())
	o.Config.SecretKey = Keys{next}
	start(t, o).Join(t.Context())
	eventually(t, "the new key lets in", func() bool { return names(peers[1]) == "new node-0 node-1 node-2" })
	if old.Size() != 1 {
		t.Errorf("the old key still lets in: %s", names(old))
	}
}

func TestUseKeysErrors(t *testing.T) {
	f := func(running, next Keys, want error) {
		t.Helper()
		o := options("one")
		o.Config.SecretKey = running
		if got := start(t, o).UseKeys(next); !errors.Is(got, want) {
			t.Errorf("from %d to %d keys: got %v, want %v", len(running), len(next), got, want)
		}
	}
	f(nil, Keys{testKey}, ErrNoKeyring)
	f(Keys{testKey}, nil, ErrNoKeyring)
	f(nil, nil, nil)
	f(Keys{testKey}, Keys{testKey}, nil)
	if err := start(t, Options{Name: "alone"}).UseKeys(Keys{testKey}); err != nil {
		t.Errorf("without sockets: %v", err)
	}
}
