package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/cluster"
)

const (
	unnoticed  = 6 * time.Second        // until a dead or unreachable member is no longer one
	dialLimit  = 3 * time.Second        // until a message to an unreachable one fails
	exchange   = 15 * time.Second       // between two exchanges of full states
	introduced = 200 * time.Millisecond // until everybody knows a newcomer
	rebootTime = 2 * time.Second
)

// world is a cluster of simulated processes in one bubble of virtual time. What
// happens in it is counted in steps: every message that arrives, and every
// stage of a member's own work. A test stops it at any of them.
type world struct {
	t     *testing.T
	ctx   context.Context
	log   io.Writer
	deaf  bool // announcements are lost
	tasks sync.WaitGroup

	mu     sync.Mutex // guards the fields below and all hosts and processes
	hosts  []*host
	procs  []*proc // every process there ever was
	steps  int
	at     map[int]func()
	cutAt  map[int]time.Time // hosts that reach nobody
	healed map[int]time.Time
	slow   map[int]time.Duration // what messages from and to a host take longer
}

// host is what survives a process: its disk, and what ran on it.
type host struct {
	file    string
	temp    *Leftover // found by the next process
	ran     []string
	current *proc

	readOnly bool
	protocol int // what its binary speaks; 0: ours
}

// proc is one process.
type proc struct {
	w     *world
	host  int
	name  string
	runs  string
	held  bool
	dead  bool
	left  bool
	born  time.Time
	died  time.Time
	stop  context.CancelFunc
	push  *Pusher
	state map[string]cluster.State
	mail  map[string]func([]byte)
}

func newWorld(t *testing.T, hosts int) *world {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{
		t: t, ctx: ctx, log: io.Discard, at: map[int]func(){}, cutAt: map[int]time.Time{}, healed: map[int]time.Time{},
		slow: map[int]time.Duration{},
	}
	t.Cleanup(func() {
		cancel()
		w.tasks.Wait()
	})
	for range hosts {
		w.addHost()
	}
	time.Sleep(introduced)
	w.tasks.Go(w.exchangeAlways)
	return w
}

func (w *world) addHost() int {
	w.mu.Lock()
	w.hosts = append(w.hosts, &host{file: "old"})
	i := len(w.hosts) - 1
	w.mu.Unlock()
	w.boot(i)
	return i
}

// boot starts a process on a host; it knows the states of all it reaches.
func (w *world) boot(i int) *proc {
	w.mu.Lock()
	h := w.hosts[i]
	generation := 0
	for _, p := range w.procs {
		if p.host == i {
			generation++
		}
	}
	p := &proc{
		w: w, host: i, name: fmt.Sprintf("n%d.%d", i, generation), born: time.Now(), runs: h.file,
		state: map[string]cluster.State{}, mail: map[string]func([]byte){},
	}
	h.ran = append(h.ran, h.file)
	left := h.temp
	if left != nil {
		again := *left
		again.Candidate = &candidate{p: p, plan: left.Candidate.(*candidate).plan}
		left = &again
	}
	w.mu.Unlock()

	var err error
	p.push, err = New(Options{Peer: p, Config: p, Leftover: left, Log: zerolog.New(w.log).With().Str("node", p.name).Timestamp().Logger()})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.ctx)
	p.stop = stop
	w.mu.Lock()
	h.current = p
	w.procs = append(w.procs, p)
	w.mu.Unlock()
	w.tasks.Go(func() { p.push.Run(ctx) })
	w.exchangeWith(p)
	return p
}

// step counts, and lets happen what a test wants to happen here.
func (w *world) step() {
	w.mu.Lock()
	w.steps++
	happens := w.at[w.steps]
	w.mu.Unlock()
	if happens != nil {
		happens()
	}
}

// calm lets nothing happen any more; it reports whether something was still to.
func (w *world) calm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for step := range w.at {
		if step > w.steps {
			clear(w.at)
			return true
		}
	}
	return false
}

func (w *world) on(i int) *proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[i].current
}

func (w *world) kill(i int) {
	w.mu.Lock()
	p := w.hosts[i].current
	p.dead, p.died = true, time.Now()
	w.mu.Unlock()
	p.stop()
}

func (w *world) restart(i int) {
	w.kill(i)
	w.later(rebootTime, func() { w.boot(i) })
}

// leave ends a process in order: the others know at once.
func (w *world) leave(i int) {
	w.mu.Lock()
	w.hosts[i].current.left = true
	w.mu.Unlock()
	w.kill(i)
}

func (w *world) cut(i int, long time.Duration) {
	w.mu.Lock()
	w.cutAt[i] = time.Now()
	w.mu.Unlock()
	w.later(long, func() {
		w.mu.Lock()
		if time.Since(w.cutAt[i]) > unnoticed {
			w.healed[i] = time.Now()
		}
		delete(w.cutAt, i)
		w.mu.Unlock()
		w.later(time.Second, func() { w.exchangeWith(w.on(i)) })
	})
}

func (w *world) slowDown(i int, by, long time.Duration) {
	w.mu.Lock()
	w.slow[i] = by
	w.mu.Unlock()
	w.later(long, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.slow, i)
	})
}

func (w *world) later(d time.Duration, do func()) {
	w.tasks.Go(func() {
		if w.sleep(d) {
			do()
		}
	})
}

// sleep reports whether the world still stands afterwards.
func (w *world) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// reach reports whether two processes can talk.
func (w *world) reach(a, b *proc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, cutA := w.cutAt[a.host]
	_, cutB := w.cutAt[b.host]
	return !a.dead && !b.dead && !cutA && !cutB
}

func (w *world) delay(a, b *proc) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Millisecond + time.Duration(7*a.host+3*b.host)*10*time.Microsecond + w.slow[a.host] + w.slow[b.host]
}

func (w *world) exchangeAlways() {
	for w.sleep(exchange) {
		w.mu.Lock()
		hosts := len(w.hosts)
		w.mu.Unlock()
		for i := range hosts {
			w.exchangeWith(w.on(i))
		}
	}
}

// exchangeWith is what members do on joining and now and then: each merges the
// other's full state.
func (w *world) exchangeWith(p *proc) {
	w.mu.Lock()
	others := slices.Clone(w.procs)
	w.mu.Unlock()
	for _, o := range others {
		if o == p || !w.reach(p, o) {
			continue
		}
		for key, s := range p.state {
			mine, _ := s.MarshalBinary()
			theirs, _ := o.state[key].MarshalBinary()
			_, _ = s.Merge(theirs), o.state[key].Merge(mine)
		}
	}
}

// The Peer.

func (p *proc) Name() string { return p.name }

func (p *proc) Members() []cluster.Member {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	var out []cluster.Member
	for _, o := range p.w.procs {
		if o == p || p.seesLocked(o) {
			out = append(out, cluster.Member{Name: o.name})
		}
	}
	return out
}

func (p *proc) seesLocked(o *proc) bool {
	now := time.Now()
	if now.Sub(o.born) < introduced || o.left || o.dead && now.Sub(o.died) >= unnoticed {
		return false
	}
	for _, h := range []int{p.host, o.host} {
		if at, cut := p.w.cutAt[h]; cut && now.Sub(at) >= unnoticed {
			return false
		}
		if at, was := p.w.healed[h]; was && now.Sub(at) < time.Second {
			return false
		}
	}
	return true
}

func (p *proc) Share(key string, s cluster.State) func([]byte) {
	p.state[key] = s
	return func(msg []byte) {
		p.w.mu.Lock()
		others := slices.Clone(p.w.procs)
		p.w.mu.Unlock()
		for _, o := range others {
			if o == p || p.w.deaf {
				continue
			}
			p.w.later(p.w.delay(p, o), func() {
				p.w.step()
				if p.w.reach(p, o) {
					_ = o.state[key].Merge(msg)
				}
			})
		}
	}
}

func (p *proc) Mailbox(key string, take func([]byte)) func(string, []byte, func(error)) {
	p.mail[key] = take
	return func(to string, msg []byte, failed func(error)) {
		if p.isDead() {
			return
		}
		o := p.w.named(to)
		if o == nil {
			failed(errors.New("not a member"))
			return
		}
		p.w.later(p.w.delay(p, o), func() {
			p.w.step()
			switch {
			case p.w.reach(p, o):
				o.mail[key](p.w.spoken(o, p, msg))
			case o.isDead():
				failed(errors.New("connection refused"))
			default:
				p.w.later(dialLimit, func() { failed(errors.New("i/o timeout")) })
			}
		})
	}
}

func (w *world) named(name string) *proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.procs {
		if p.name == name {
			return p
		}
	}
	return nil
}

// spoken turns the version of a message into that of the other binary.
func (w *world) spoken(to, from *proc, msg []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	ours := fmt.Sprintf(`"protocol":%d`, protocol)
	for _, p := range []*proc{to, from} {
		if v := w.hosts[p.host].protocol; v != 0 {
			return []byte(strings.Replace(string(msg), ours, fmt.Sprintf(`"protocol":%d`, v), 1))
		}
	}
	return msg
}

func (p *proc) isDead() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.dead
}

// The Config. A short text is its own hash.

func (p *proc) Running() string {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return hashOf(p.runs)
}

func hashOf(text string) string { return text[:min(len(text), 32)] }

func (p *proc) Prepare(plan Plan) (Candidate, error) {
	p.w.step()
	time.Sleep(3 * time.Millisecond)
	p.w.mu.Lock()
	h := p.w.hosts[p.host]
	c := &candidate{p: p, plan: plan}
	if strings.Contains(string(plan.Text), "broken") {
		p.w.mu.Unlock()
		return nil, errors.New("routes[0].rate_limit.rps: must be at least 1, got 0")
	}
	if h.readOnly {
		p.w.mu.Unlock()
		return nil, errors.New("cannot write the configuration: read-only")
	}
	if !p.dead {
		h.temp = &Leftover{Push: plan.Push, Base: plan.Base, Prepared: time.Now(), Candidate: c}
		p.held = true
	}
	p.w.mu.Unlock()
	p.w.step()
	return c, nil
}

type candidate struct {
	p    *proc
	plan Plan
}

func (c *candidate) Hash() string { return hashOf(string(c.plan.Text)) }

func (c *candidate) Commit() error {
	w, p := c.p.w, c.p
	w.step()
	w.mu.Lock()
	if hashOf(p.runs) != c.plan.Base {
		w.mu.Unlock()
		return ErrMoved
	}
	if !p.dead {
		w.hosts[p.host].file, w.hosts[p.host].temp = string(c.plan.Text), nil
	}
	w.mu.Unlock()
	w.step()
	w.mu.Lock()
	if !p.dead {
		p.runs, p.held = string(c.plan.Text), false
		w.hosts[p.host].ran = append(w.hosts[p.host].ran, p.runs)
	}
	w.mu.Unlock()
	w.step()
	return nil
}

func (c *candidate) Release() {
	c.p.w.mu.Lock()
	defer c.p.w.mu.Unlock()
	c.p.held = false
}

func (c *candidate) Drop() {
	c.p.w.mu.Lock()
	defer c.p.w.mu.Unlock()
	c.p.held = false
	if !c.p.dead {
		c.p.w.hosts[c.p.host].temp = nil
	}
}

// running tells what each living host runs, by host.
func (w *world) running() map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]string{}
	for i, h := range w.hosts {
		if !h.current.dead {
			out[i] = h.current.runs
		}
	}
	return out
}

// same is what all living hosts run, "" if they differ.
func (w *world) same() string {
	all := slices.Compact(slices.Sorted(maps.Values(w.running())))
	if len(all) != 1 {
		return ""
	}
	return all[0]
}

// held lists the hosts that hold other changes back.
func (w *world) held() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int
	for i, h := range w.hosts {
		if !h.current.dead && h.current.held {
			out = append(out, i)
		}
	}
	return out
}

// everRan lists the hosts that ever ran a text.
func (w *world) everRan(text string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int
	for i, h := range w.hosts {
		if slices.Contains(h.ran, text) {
			out = append(out, i)
		}
	}
	return out
}

// kept names the push that a host keeps something prepared for, "" for none.
func (w *world) kept(i int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hosts[i].temp == nil {
		return ""
	}
	return w.hosts[i].temp.Push
}
