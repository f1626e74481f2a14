package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testTTL = time.Minute

// clock is a time that stands until it is moved.
type clock struct{ at time.Time }

func (c *clock) now() time.Time         { return c.at }
func (c *clock) pass(d time.Duration)   { c.at = c.at.Add(d) }
func (c *clock) rows(self string) *Rows { return NewRows(self, testTTL, c.now) }
func newClock() *clock                  { return &clock{at: time.Unix(1_000_000, 0)} }
func mustMerge(t *testing.T, r *Rows, msg []byte) {
	t.Helper()
	if err := r.Merge(msg); err != nil {
		t.Fatalf("cannot merge: %v", err)
	}
}

func state(t *testing.T, r *Rows) []byte {
	t.Helper()
	out, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRowsHighestVersionWins(t *testing.T) {
	c := newClock()
	a, b := c.rows("a"), c.rows("b")
	first, second := a.Set([]byte("1")), a.Set([]byte("2"))
	mustMerge(t, b, second)
	mustMerge(t, b, first)
	want := []Row{{Owner: "a", Version: 2, Payload: []byte("2"), Remaining: testTTL}}
	if diff := cmp.Diff(want, b.All()); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
}

func TestRowsExpire(t *testing.T) {
	c := newClock()
	a, b, late := c.rows("a"), c.rows("b"), c.rows("late")
	old := a.Set([]byte("1"))
	mustMerge(t, b, old)
	c.pass(40 * time.Second)
	mustMerge(t, b, old) // the same version: no longer life
	mustMerge(t, late, state(t, b))
	if got := late.All(); len(got) != 1 || got[0].Remaining != 20*time.Second {
		t.Errorf("got %v, want one row with 20s left: the remaining lifetime travels", got)
	}
	c.pass(20 * time.Second)
	if got := len(a.All()) + len(b.All()) + len(late.All()); got != 0 {
		t.Errorf("got %d rows after the TTL, want 0", got)
	}
	mustMerge(t, b, a.Set([]byte("2")))
	if got := payloads(b); got != "a=2" {
		t.Errorf("after a renewal: got %q", got)
	}
	c.pass(testTTL)
	mustMerge(t, b, old) // must not take the place of what expired after it
	if got := payloads(b); got != "" {
		t.Errorf("an older version came back: %q", got)
	}
}

func TestRowsOwnRowIsOnesOwn(t *testing.T) {
	c := newClock()
	a, b := c.rows("a"), c.rows("b")
	b.Set([]byte("mine"))
	mustMerge(t, b, encodeRows([]Row{{Owner: "b", Version: 99, Payload: []byte("forged"), Remaining: time.Hour}}))
	mustMerge(t, b, a.Set([]byte("theirs")))
	if got := payloads(b); got != "a=theirs b=mine" {
		t.Errorf("got %q", got)
	}
	b.Retain(func(owner string) bool { return false })
	if got := payloads(b); got != "b=mine" {
		t.Errorf("after Retain: got %q, want the own row alone", got)
	}
}

func TestRowsBounds(t *testing.T) {
	c := newClock()
	r := c.rows("self")
	r.Set([]byte("before"))
	if msg := r.Set(make([]byte, maxPayload+1)); msg != nil || payloads(r) != "self=before" {
		t.Errorf("oversized Set: got a message of %d bytes and %q, want none and no change", len(msg), payloads(r))
	}

	r = c.rows("self")
	var errs int
	for i := range 2 * maxOwners {
		err := r.Merge(encodeRows([]Row{{Owner: fmt.Sprint(i), Version: 1, Remaining: time.Hour}}))
		if errors.Is(err, ErrTooManyOwners) {
			errs++
		}
	}
	r.Set([]byte("own"))
	if got := len(r.All()); got != maxOwners || errs != maxOwners+1 {
		t.Errorf("got %d rows, %d refused, want %d and %d: one place is the own row's", got, errs, maxOwners, maxOwners+1)
	}
	if left := r.All()[0].Remaining; left != testTTL {
		t.Errorf("got %s left, want a foreign lifetime cut to the TTL %s", left, testTTL)
	}
	c.pass(2 * testTTL)
	mustMerge(t, r, encodeRows([]Row{{Owner: "new", Version: 1, Remaining: time.Hour}}))
	if got := payloads(r); got != "new=" {
		t.Errorf("got %q, want room where rows have expired", got)
	}
}

func TestRowsMalformedChangesNothing(t *testing.T) {
	good := Row{Owner: "a", Version: 1, Remaining: time.Second}
	f := func(msg []byte, want string) {
		t.Helper()
		r := newClock().rows("self")
		if got := errText(r.Merge(msg)); got != "cannot decode rows: "+want {
			t.Errorf("got error %q, want %q", got, want)
		}
		if got := len(r.All()); got != 0 {
			t.Errorf("%s: got %d rows, want 0", want, got)
		}
	}
	whole := encodeRows([]Row{good, {Owner: "b", Version: 1, Remaining: time.Second, Payload: []byte("x")}})
	f(nil, "message is cut short")
	f([]byte{7}, "rows have version 7, want 1")
	f(whole[:len(whole)-1], "message is cut short")
	f(append(whole, 0), "message has 1 bytes after its rows")
	f(encodeRows(make([]Row, maxOwners+1)), "message has 257 rows, limit is 256")
	f(encodeRows([]Row{good, {Owner: ""}}), "owner must be 1 to 255 bytes, got 0")
	f(encodeRows([]Row{good, {Owner: string(make([]byte, 256))}}), "owner must be 1 to 255 bytes, got 256")
	f(encodeRows([]Row{good, {Owner: "b", Payload: make([]byte, maxPayload+1)}}), "payload must be at most 65536 bytes, got 65537")
}

// randomState is what some node might hold, hostile ones among them: the same
// version with another payload or another lifetime.
func randomState(rng *rand.Rand) []byte {
	var rows []Row
	for owner := range 4 {
		if rng.IntN(3) == 0 {
			continue
		}
		rows = append(rows, Row{
			Owner:     fmt.Sprintf("n%d", owner),
			Version:   uint64(rng.IntN(3)),
			Payload:   []byte{'a' + byte(rng.IntN(3))},
			Remaining: time.Duration(rng.IntN(90)) * time.Second,
		})
	}
	return encodeRows(rows)
}

func merged(t *testing.T, c *clock, states ...[]byte) []byte {
	t.Helper()
	r := c.rows("observer")
	for _, s := range states {
		mustMerge(t, r, s)
	}
	return state(t, r)
}

func TestRowsMergeLaws(t *testing.T) {
	c := newClock()
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		x, y, z := randomState(rng), randomState(rng), randomState(rng)
		equal := func(law string, got, want []byte) {
			t.Helper()
			if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: merge is not %s:\n%q\n%q", seed, law, got, want)
			}
		}
		equal("idempotent", merged(t, c, x, x), merged(t, c, x))
		equal("idempotent over its own state", merged(t, c, x, merged(t, c, x)), merged(t, c, x))
		equal("commutative", merged(t, c, x, y), merged(t, c, y, x))
		equal("associative", merged(t, c, merged(t, c, x, y), z), merged(t, c, x, merged(t, c, y, z)))
	}
}

// However copies of one version travel, none lives longer than the shortest that
// was seen: a silent owner's row dies on time.
func TestRowsLifeIsNeverExtended(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c := newClock()
		owner := c.rows("owner")
		message := owner.Set([]byte("x"))
		dies := c.at.Add(testTTL)
		holders := []*Rows{c.rows("a"), c.rows("b"), c.rows("c"), c.rows("d")}
		mustMerge(t, holders[0], message)
		for range 40 {
			c.pass(time.Duration(rng.IntN(4000)) * time.Millisecond)
			from, to := holders[rng.IntN(len(holders))], holders[rng.IntN(len(holders))]
			mustMerge(t, to, state(t, from))
			for _, r := range holders {
				for _, row := range r.All() {
					if end := c.at.Add(row.Remaining); end.After(dies) {
						t.Fatalf("seed %d: the row lives until %s, %s after its end", seed, end, end.Sub(dies))
					}
				}
			}
		}
	}
}

func FuzzRowsMerge(f *testing.F) {
	c := newClock()
	f.Add(c.rows("a").Set([]byte("payload")))
	f.Add(randomState(rand.New(rand.NewPCG(1, 2))))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r := c.rows("self")
		if r.Merge(msg) != nil {
			return
		}
		once := state(t, r)
		mustMerge(t, r, msg)
		if twice := state(t, r); !bytes.Equal(once, twice) {
			t.Errorf("merging twice differs:\n%q\n%q", once, twice)
		}
		for _, row := range r.All() {
			if row.Remaining > testTTL || row.Owner == "self" || len(row.Payload) > maxPayload {
				t.Errorf("kept a row out of bounds: %v", row)
			}
		}
	})
}

func BenchmarkRowsMerge(b *testing.B) {
	c := newClock()
	msg := c.rows("other").Set(bytes.Repeat([]byte("x"), 300))
	r := c.rows("self")
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Merge(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRowsSet(b *testing.B) {
	r := newClock().rows("self")
	payload := bytes.Repeat([]byte("x"), 300)
	b.ReportAllocs()
	for b.Loop() {
		r.Set(payload)
	}
}
