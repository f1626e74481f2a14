package node

import (
	"bytes"
	"fmt"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
	"github.com/go-api-gateway-pro/gateway/node/config"
)

var (
	_ push.Config    = pushTarget{}
	_ push.Candidate = (*prepared)(nil)
)

// pushTarget is this node's configuration as a push sees it.
type pushTarget struct{ n *Node }

// Running returns the hash of what this node runs.
func (t pushTarget) Running() string { return t.n.snapshot.Load().config.Hash() }

// Prepare builds what is pushed and writes it beside the configuration file.
// File reloads wait from here on.
func (t pushTarget) Prepare(plan push.Plan) (push.Candidate, error) {
	r := t.n.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	if running := t.Running(); running != plan.Base {
		return nil, fmt.Errorf("runs %s, the push is based on %s", running, plan.Base)
	}
	c := &prepared{n: t.n, pushed: plan.Text, base: plan.Base}
	if err := c.build(); err != nil {
		return nil, err
	}
	temp, err := writeBeside(t.n.path, tempName{push: plan.Push, base: plan.Base}, c.text)
	if err != nil {
		c.forget()
		return nil, err
	}
	c.temp, r.held = temp, c
	return c, nil
}

// prepared is a pushed configuration that only needs to be switched to. Its
// fields are guarded by the reloader's lock.
type prepared struct {
	n      *Node
	pushed []byte    // its shared sections are what counts
	base   string    // hash of what must run for it to take effect
	hash   string    // of what will run then
	from   []byte    // this node's file when it was built
	text   []byte    // the same with the pushed sections
	next   *snapshot // nil once released: what it needs may be forgotten meanwhile
	temp   string    // where text waits on disk
}

// Hash identifies what will run.
func (c *prepared) Hash() string { return c.hash }

// build does everything that can fail: it puts the pushed sections into the file
// as it is now, and compiles that.
func (c *prepared) build() error {
	own, err := config.Read(c.n.path)
	if err != nil {
		return err
	}
	text, err := config.Splice(own, c.pushed)
	if err != nil {
		return err
	}
	next, err := c.n.accept(text)
	if err != nil {
		return config.At(err, c.pushed)
	}
	c.from, c.text, c.next, c.hash = own, text, next, next.config.Hash()
	return nil
}

// Commit replaces the file, then lets it take effect. On a volume that nodes
// share, another one's file may have arrived before: then it has.
func (c *prepared) Commit() error {
	r := c.n.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	switch running := c.n.snapshot.Load().config.Hash(); {
	case running == c.hash && c.hash != c.base:
		removeTemp(c.temp)
		c.endHold()
		return nil
	case running != c.base:
		return push.ErrMoved
	}
	if err := c.refresh(); err != nil {
		return err
	}
	if err := c.n.useKeys(c.next); err != nil {
		return err
	}
	if err := replaceFile(c.n.path, c.temp, c.text); err != nil {
		return err
	}
	r.text, r.due = c.text, false
	c.n.apply(c.next)
	c.next = nil // it runs: no longer this one's to forget
	c.n.recordReload(nil)
	c.endHold()
	return nil
}

// refresh follows what happened to the file since it was prepared: the node's
// own sections are its. A file that cannot be followed is overwritten with what
// was prepared; the push is decided.
func (c *prepared) refresh() error {
	if own, err := config.Read(c.n.path); err == nil && c.next != nil && bytes.Equal(own, c.from) {
		return nil
	}
	before := c.text
	err := c.build()
	if err == nil && bytes.Equal(before, c.text) {
		return nil
	}
	if err != nil {
		c.n.logger.Warn().Err(err).Str("file", c.n.path).Msg("the file was changed while a push was prepared, its change is overwritten")
		c.text = before
		if c.next, err = c.n.accept(before); err != nil {
			return err
		}
	}
	removeTemp(c.temp) // replaceFile writes the text anew
	return nil
}

// Release lets file reloads go on.
func (c *prepared) Release() {
	c.n.reloads.mu.Lock()
	defer c.n.reloads.mu.Unlock()
	c.forget()
	c.endHold()
}

// Drop forgets it.
func (c *prepared) Drop() {
	c.n.reloads.mu.Lock()
	defer c.n.reloads.mu.Unlock()
	removeTemp(c.temp)
	c.forget()
	c.endHold()
}

// forget lets go of what only this snapshot names.
func (c *prepared) forget() {
	if c.next != nil {
		c.n.retain(c.n.snapshot.Load())
		c.next = nil
	}
}

// endHold does the file reload that waited, if there is one.
func (c *prepared) endHold() {
	r := c.n.reloads
	if r.held != c {
		return
	}
	r.held = nil
	if r.due {
		_ = c.n.reloadFile() // logged and counted there
	}
}

// leftover finds what an earlier process had prepared for a push whose decision
// it did not live to hear: the newest that fits what runs. Files whose decision
// nobody can look up any more are removed.
func (n *Node) leftover() (found *push.Leftover) {
	running := n.snapshot.Load().config.Hash()
	for _, f := range tempFiles(n.path) {
		if n.now().Sub(f.written) > leftoverLife {
			removeTemp(f.path)
			continue
		}
		if found != nil || f.base != running {
			continue // perhaps another node's, on a shared volume
		}
		c, err := n.takeUp(f)
		if err != nil {
			n.logger.Warn().Err(err).Str("file", f.path).Msg("cannot use what was prepared for a push")
			continue
		}
		found = &push.Leftover{Push: f.push, Base: f.base, Prepared: f.written, Candidate: c}
	}
	return found
}

func (n *Node) takeUp(f tempFile) (*prepared, error) {
	text, err := config.Read(f.path)
	if err != nil {
		return nil, err
	}
	pushed, err := config.Shared(text)
	if err != nil {
		return nil, err
	}
	cfg, err := n.parse(text)
	if err != nil {
		return nil, err
	}
	return &prepared{n: n, pushed: pushed, base: f.base, hash: cfg.Hash(), text: text, temp: f.path}, nil
}

// arrived reports whether a file holds exactly what is prepared: on a volume
// that nodes share, that is another node's commit.
func (c *prepared) arrived(text []byte) bool {
	cfg, err := c.n.parse(text)
	return err == nil && cfg.Hash() == c.hash && c.hash != c.base
}

// exposedPush says why a push must not leave this node, or "".
func exposedPush(cfg *config.Config) string {
	if cfg.Cluster.Exposed() {
		return "cluster.secret_key: must be set before a configuration is pushed: the network would see it"
	}
	return ""
}
