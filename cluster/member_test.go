package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestTable(t *testing.T) {
	c := newClock()
	table := newTable(Member{Name: "self", Self: true}, c.now)
	table.record(0, node("self"))
	table.record(0, node("b"))
	c.pass(time.Hour)
	again := node("b")
	again.Meta = meta{version: "v2"}.encode()
	table.record(0, again)
	table.record(0, node("a"))
	table.remove(0, "self")
	table.remove(0, "nobody")

	got := fmt.Sprint(table.members())
	want := fmt.Sprint([]Member{
		{Name: "a", Address: "10.0.0.1:7946", Since: c.at},
		{Name: "b", Address: "10.0.0.1:7946", Version: "v2", Since: c.at.Add(-time.Hour)},
		{Name: "self", Address: "10.0.0.1:7946", Self: true},
	})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(table.others()) != 2 || !table.knows("10.0.0.1:7946") {
		t.Errorf("got %d others", len(table.others()))
	}
}

// Several names at one address are lives of one node: the last one counts, in
// whatever order they become known.
func TestTableShowsTheLatestLife(t *testing.T) {
	life := func(name string, started int64) *memberlist.Node {
		n := node(name)
		n.Meta = meta{started: started, version: "v"}.encode()
		return n
	}
	for _, order := range [][]*memberlist.Node{
		{life("old", 1), life("new", 2)},
		{life("new", 2), life("old", 1)},
	} {
		table := newTable(Member{Name: "self", Self: true}, time.Now)
		for _, n := range order {
			table.record(0, n)
		}
		if got := table.members(); table.size() != 2 || got[0].Name != "new" || len(table.others()) != 1 {
			t.Errorf("got %v, want new and self", got)
		}
		table.remove(0, "new")
		if got := table.members(); table.size() != 2 || got[0].Name != "old" {
			t.Errorf("got %v, want old again and self", got)
		}
	}
}

func TestTableRemembersTheLost(t *testing.T) {
	c := newClock()
	table := newTable(Member{Name: "self", Self: true}, c.now)
	f := func(what string, want int) {
		t.Helper()
		if got := table.missing(); len(got) != want {
			t.Errorf("%s: missing are %v, want %d", what, got, want)
		}
	}
	table.record(0, node("a"))
	f("alive", 0)
	table.remove(0, "a")
	f("found dead", 1)
	table.record(0, node("a"))
	f("back", 0)
	table.farewell("a")
	table.remove(0, "a")
	f("said farewell", 0)
	table.record(0, node("b"))
	table.remove(0, "b")
	table.farewell("b")
	f("heard of its farewell late", 0)
	table.record(0, node("c"))
	round := table.reset()
	f("left behind by a move", 1)
	table.record(0, node("d"))
	table.remove(0, "c")
	if table.size() != 1 {
		t.Error("an event of an earlier round counts")
	}
	table.record(round, node("d"))
	c.pass(lostFor + 1)
	f("an hour later", 0)
	for i := range 2 * maxLost {
		table.record(round, node(fmt.Sprint(i)))
		table.remove(round, fmt.Sprint(i))
	}
	f("too many", maxLost)
}

func TestMeta(t *testing.T) {
	want := meta{started: 1234567890123456789, version: "v1.2.3"}
	if got := decodeMeta(want.encode()); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := decodeMeta([]byte("v1")); got != (meta{}) {
		t.Errorf("of a strange program: got %v", got)
	}
}

// Events come under the library's lock: nobody reading the log must not matter.
func TestTableNeverBlocks(t *testing.T) {
	table := newTable(Member{Name: "self", Self: true}, time.Now)
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 1000 {
				if n := table.size(); n < 1 || len(table.members()) < 1 {
					t.Errorf("got size %d", n)
					return
				}
			}
		})
	}
	for i := range 3 * changeBuffer {
		table.record(0, node(fmt.Sprint(i%8)))
		table.remove(0, fmt.Sprint(i%8))
	}
	readers.Wait()
	if table.size() != 1 {
		t.Errorf("got size %d, want 1", table.size())
	}
}

func BenchmarkSize(b *testing.B) {
	table := newTable(Member{Name: "self", Self: true}, time.Now)
	for b.Loop() {
		table.size()
	}
}
