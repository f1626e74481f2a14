package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	c := newClock()
	table := newTable(Member{Name: "self", Self: true}, c.now)
	table.record(node("self"))
	table.record(node("b"))
	c.pass(time.Hour)
	again := node("b")
	again.Meta = []byte("v2")
	table.record(again)
	table.record(node("a"))
	table.remove("self")
	table.remove("nobody")

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
		table.record(node(fmt.Sprint(i % 8)))
		table.remove(fmt.Sprint(i % 8))
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
