package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

const testKey = "a passphrase for the tests alone"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick shortens what the tests would wait for.
func quick(conf *memberlist.Config) {
	conf.GossipInterval = 20 * time.Millisecond
	conf.ProbeInterval = 200 * time.Millisecond
	conf.ProbeTimeout = 150 * time.Millisecond
	conf.SuspicionMaxTimeoutMult = 1
}

func options(name string, join ...string) Options {
	return Options{
		Config:  Config{Bind: "127.0.0.1:0", Label: "test", SecretKey: Keys{testKey}, Join: join},
		Name:    name,
		Version: "v-" + name,
		Log:     zerolog.Nop(),
		tune:    quick,
		rejoin:  100 * time.Millisecond,
	}
}

func start(t *testing.T, o Options) *Peer {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatalf("cannot start peer %s: %v", o.Name, err)
	}
	t.Cleanup(func() { _ = p.Leave(context.Background()) })
	return p
}

// trio starts three peers; each shares rows under the same key.
func trio(t *testing.T) (peers []*Peer, rows []*Rows, send []func([]byte)) {
	t.Helper()
	var join []string
	for i := range 3 {
		p := start(t, options(fmt.Sprintf("node-%d", i), join...))
		r := NewRows(p.Name(), time.Minute, time.Now)
		peers, rows, send = append(peers, p), append(rows, r), append(send, p.Share("rows", r))
		join = append(join, p.Addr())
	}
	for _, p := range peers {
		p.Join(t.Context())
	}
	eventually(t, "three members everywhere", func() bool {
		return peers[0].Size() == 3 && peers[1].Size() == 3 && peers[2].Size() == 3
	})
	return peers, rows, send
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// crash ends a peer without a word to the others.
func crash(p *Peer) {
	p.leave.Do(func() {
		p.stop()
		_ = p.place.Load().list.Shutdown()
		p.workers.Wait()
	})
}

func names(p *Peer) string {
	var out []string
	for _, m := range p.Members() {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func payloads(r *Rows) string {
	var out []string
	for _, row := range r.All() {
		out = append(out, fmt.Sprintf("%s=%.10s", row.Owner, row.Payload))
	}
	return strings.Join(out, " ")
}

func TestAlone(t *testing.T) {
	reg := prometheus.NewRegistry()
	born := time.Unix(1_000_000, 0)
	p := start(t, Options{Name: "one", Version: "v1", Log: zerolog.Nop(), Registerer: reg, Now: func() time.Time { return born }})
	send := p.Share("rows", NewRows("one", time.Minute, time.Now))
	p.Join(t.Context())
	send([]byte("to nobody"))

	want := []Member{{Name: "one", Version: "v1", Self: true, Since: born}}
	if diff := cmp.Diff(want, p.Members()); diff != "" {
		t.Errorf("members differ (-want +got):\n%s", diff)
	}
	if p.Size() != 1 || p.HealthScore() != 0 || p.Name() != "one" || p.Addr() != "" {
		t.Errorf("got size %d, health %d, name %q, address %q", p.Size(), p.HealthScore(), p.Name(), p.Addr())
	}
	if err := p.Leave(t.Context()); err != nil {
		t.Errorf("leave: %v", err)
	}
	p.Join(t.Context()) // must return at once
}

func TestThreePeers(t *testing.T) {
	peers, rows, send := trio(t)
	want := []Member{
		{Name: "node-0", Address: peers[0].Addr(), Version: "v-node-0"},
		{Name: "node-1", Address: peers[1].Addr(), Version: "v-node-1", Self: true},
		{Name: "node-2", Address: peers[2].Addr(), Version: "v-node-2"},
	}
	got := peers[1].Members()
	for i := range got {
		if got[i].Since.IsZero() {
			t.Errorf("member %s has no time of arrival", got[i].Name)
		}
		got[i].Since = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members differ (-want +got):\n%s", diff)
	}

	send[0](rows[0].Set([]byte("small")))
	send[1](rows[1].Set(bytes.Repeat([]byte("L"), 20_000))) // by connection
	send[2](rows[2].Set([]byte("old")))
	send[2](rows[2].Set([]byte("new")))
	eventually(t, "the same rows everywhere", func() bool {
		want := "node-0=small node-1=LLLLLLLLLL node-2=new"
		return payloads(rows[0]) == want && payloads(rows[1]) == want && payloads(rows[2]) == want
	})
}

// What was said before a member came reaches it with the exchange of joining.
func TestLateJoinerGetsState(t *testing.T) {
	peers, rows, _ := trio(t)
	rows[0].Set([]byte("never broadcast"))
	late := start(t, options("late", peers[0].Addr()))
	got := NewRows("late", time.Minute, time.Now)
	late.Share("rows", got)
	late.Join(t.Context())
	if payloads(got) != "node-0=never broa" {
		t.Errorf("after Join: got rows %q", payloads(got))
	}
}

func TestLeaveIsNoticed(t *testing.T) {
	peers, rows, send := trio(t)
	send[2](rows[2].Set([]byte("last words")))
	if err := peers[2].Leave(t.Context()); err != nil {
		t.Fatalf("leave: %v", err)
	}
	if err := peers[2].Leave(t.Context()); err != nil {
		t.Errorf("second leave: %v", err)
	}
	eventually(t, "two members left", func() bool {
		return names(peers[0]) == "node-0 node-1" && names(peers[1]) == "node-0 node-1"
	})
	eventually(t, "last words heard", func() bool {
		return payloads(rows[0]) == "node-2=last words" && payloads(rows[1]) == "node-2=last words"
	})
	peers[2].Join(t.Context())
	send[2]([]byte("from beyond")) // must do nothing
}

func TestCrashIsNoticedAndPeerReturns(t *testing.T) {
	peers, _, _ := trio(t)
	crash(peers[0])
	eventually(t, "two members left", func() bool {
		return names(peers[1]) == "node-1 node-2" && names(peers[2]) == "node-1 node-2"
	})
	o := options("node-0-again")
	o.Config.Bind = peers[0].Addr() // the others know this address from their join lists
	back := start(t, o)
	eventually(t, "the others find it by themselves", func() bool {
		return back.Size() == 3 && names(peers[1]) == "node-0-again node-1 node-2"
	})
}

// A node that gets another address is the same member there, with its rows.
func TestMemberMoves(t *testing.T) {
	peers, rows, _ := trio(t)
	o := options("mover", peers[0].Addr())
	o.Config.Bind = "0.0.0.0:0"
	mover := start(t, o)
	own := NewRows("mover", time.Minute, time.Now)
	send := mover.Share("rows", own)
	mover.Join(t.Context())
	eventually(t, "four members", func() bool { return peers[2].Size() == 4 && mover.Size() == 4 })
	for _, to := range []string{"127.0.0.2", "127.0.0.3"} {
		if err := mover.move(netip.MustParseAddr(to)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the member at "+to, func() bool {
			for _, p := range peers {
				at := slices.IndexFunc(p.Members(), func(m Member) bool { return m.Name == "mover" })
				if p.Size() != 4 || at < 0 || !strings.HasPrefix(p.Members()[at].Address, to+":") {
					return false
				}
			}
			return mover.Size() == 4 && strings.HasPrefix(mover.Addr(), to+":")
		})
		send(own.Set([]byte(to)))
		eventually(t, "its row", func() bool { return payloads(rows[0]) == "mover="+to })
	}
	if err := mover.Leave(t.Context()); err != nil {
		t.Errorf("leave: %v", err)
	}
}

// A port that is taken meanwhile is no end: the node leaves cleanly, or moves once
// it can.
func TestMoveThatFails(t *testing.T) {
	o := options("mover")
	o.Config.Bind = "0.0.0.0:0"
	mover := start(t, o)
	nowhere := netip.MustParseAddr("127.0.0.2")
	bind := mover.place.Load().local.bind
	squat := *mover.place.Load()
	squat.port = -1
	mover.place.Store(&squat)
	if err := mover.move(nowhere); err == nil || !mover.place.Load().left {
		t.Fatalf("moving to port -1: got error %v", err)
	}
	back := *mover.place.Load()
	back.port = int(bind.Port())
	mover.place.Store(&back)
	if err := mover.move(nowhere); err != nil || mover.place.Load().left {
		t.Errorf("moving once it can: %v", err)
	}
	mover.vacate(mover.place.Load())
	if err := mover.Leave(t.Context()); err != nil {
		t.Errorf("leave on the way: %v", err)
	}
}

// A cluster must not grow by those who were not meant.
func TestStrangersAreRefused(t *testing.T) {
	f := func(what, reason string, change func(*Config)) {
		t.Helper()
		home := start(t, options("home"))
		reg := prometheus.NewRegistry()
		o := options("stranger", home.Addr())
		o.Registerer = reg
		change(&o.Config)
		stranger := start(t, o)
		stranger.Join(t.Context())
		if home.Size() != 1 || stranger.Size() != 1 {
			t.Errorf("%s: sizes are %d and %d, want 1 and 1", what, home.Size(), stranger.Size())
		}
		if got := count(t, stranger.metrics.joinFailures); got < 1 {
			t.Errorf("%s: got %v join failures, want at least 1", what, got)
		}
		eventually(t, "the refusal is counted", func() bool {
			return count(t, home.metrics.refused.WithLabelValues(reason)) > 0
		})
	}
	f("other key", "key", func(c *Config) { c.SecretKey = Keys{"another passphrase, also long"} })
	f("no key", "key", func(c *Config) { c.SecretKey = nil })
	f("other label", "label", func(c *Config) { c.Label = "foreign" })
}

func TestJoinIsBounded(t *testing.T) {
	p := start(t, options("one", "127.0.0.1:1", "", "no-such-host.invalid:7946"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Join(ctx) // must not wait
	eventually(t, "failures are counted", func() bool { return count(t, p.metrics.joinFailures) >= 2 })
	if p.Size() != 1 {
		t.Errorf("got size %d, want 1", p.Size())
	}
}

// To meet oneself behind a name is neither a member nor a failure.
func TestJoinSelf(t *testing.T) {
	o := options("one")
	p := start(t, o)
	p.join = []string{p.Addr()}
	p.Join(t.Context())
	if got := count(t, p.metrics.joinFailures); p.Size() != 1 || got != 0 {
		t.Errorf("got size %d, %v join failures, want 1 and 0", p.Size(), got)
	}
}

// A node that finds nobody knows how many it ought to find.
func TestExpectedCountsWhoOughtToBeThere(t *testing.T) {
	f := func(want int, join func(self string) []string) {
		t.Helper()
		p := start(t, options("one"))
		p.join = join(p.Addr())
		p.Join(t.Context())
		if got := p.Expected(); p.Size() != 1 || got != want {
			t.Errorf("join %v: size %d, expected %d; want 1 and %d", p.join, p.Size(), got, want)
		}
	}
	f(3, func(string) []string { return []string{"127.0.0.1:1", "127.0.0.1:2"} })
	f(3, func(self string) []string { return []string{self, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:2"} })
	f(2, func(string) []string { return []string{"127.0.0.1:1", "no-such-host.invalid:7946"} })
	f(1, func(self string) []string { return []string{self} })
	f(1, func(string) []string { return nil })
}

func TestLeaveWithoutTime(t *testing.T) {
	peers, _, _ := trio(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := peers[0].Leave(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an error that says there was no time", err)
	}
	eventually(t, "the others find out", func() bool { return peers[1].Size() == 2 && peers[2].Size() == 2 })
}

func TestTransport(t *testing.T) {
	with := func(name string) Options {
		transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{"127.0.0.1"}, Logger: log.New(io.Discard, "", 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		o := options(name)
		o.Transport, o.Config.Bind = transport, ""
		return o
	}
	a, b := start(t, with("a")), start(t, with("b"))
	b.join = []string{a.Addr(), b.Addr()}
	b.Join(t.Context())
	if names(b) != "a b" {
		t.Errorf("after Join: got members %q", names(b))
	}
	eventually(t, "the other side knows too", func() bool { return names(a) == "a b" })
}

func TestNewErrors(t *testing.T) {
	taken := start(t, options("taken"))
	f := func(change func(*Options), want string) {
		t.Helper()
		o := options("one")
		change(&o)
		p, err := New(o)
		if err == nil {
			_ = p.Leave(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
	}
	f(func(o *Options) { o.Name = "" }, "cannot name member: must be 1 to 255 bytes, got 0")
	f(func(o *Options) { o.Version = strings.Repeat("v", 129) }, "cannot announce version: must be at most 128 bytes, got 129")
	f(func(o *Options) { o.Config.Bind = "localhost" }, "invalid cluster config: bind: must be ip:port")
	f(func(o *Options) { o.Config.Bind = taken.Addr() }, "cannot gossip on "+taken.Addr())
	f(func(o *Options) { o.Registerer = busyRegistry(t) }, "cannot register cluster metrics")
}

func busyRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := newMetrics().register(reg, nil); err != nil {
		t.Fatal(err)
	}
	return reg
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := start(t, options("a"))
	o := options("b", a.Addr())
	o.Registerer = reg
	b := start(t, o)
	a.Share("x", &blob{})
	send := b.Share("x", &blob{})
	b.Join(t.Context())
	send([]byte("hello"))
	eventually(t, "a message is counted", func() bool { return count(t, b.metrics.sent) == 1 })
	want := map[string]int{
		"gateway_cluster_members":             1,
		"gateway_cluster_health_score":        1,
		"gateway_cluster_messages_total":      2,
		"gateway_cluster_refused_total":       5,
		"gateway_cluster_dropped_total":       1,
		"gateway_cluster_join_failures_total": 1,
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, f := range families {
		got[f.GetName()] = len(f.GetMetric())
		if f.GetName() == "gateway_cluster_members" && f.GetMetric()[0].GetGauge().GetValue() != 2 {
			t.Errorf("got %v, want 2 members", f)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series by name differ (-want +got):\n%s", diff)
	}
}

func count(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// blob is a State that remembers what it was given.
type blob struct {
	mu   sync.Mutex
	got  []string
	fail error
	hold chan struct{} // where set, Merge waits for it
}

func (b *blob) MarshalBinary() ([]byte, error) { return []byte("full"), b.fail }

func (b *blob) Merge(data []byte) error {
	if b.hold != nil {
		<-b.hold
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, string(data))
	return b.fail
}

func (b *blob) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.got, text)
}
