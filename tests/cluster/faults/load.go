package faults

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const answerLimit = 25 * time.Second // beyond any stall that is promised

// kind is one of the requests that the load sends, as often as each is listed.
type kind struct {
	method, path, user string
}

// mix is the load: of six requests three in the long run are GETs and one a POST that nothing
// limits, two are users' who ask for more than they may.
func mix() []kind {
	return []kind{
		{http.MethodGet, "/free/", ""},
		{http.MethodPost, "/free/", ""},
		{http.MethodGet, "/free/", ""},
		{http.MethodGet, "/limited/", "ann"},
		{http.MethodGet, "/free/", ""},
		{http.MethodGet, "/limited/", "bob"},
	}
}

// load sends requests at a steady rate, whatever the answers do.
type load struct {
	url    string
	rate   int // a second
	kinds  []kind
	tokens map[string]string // by user
	clock  clock

	client  http.Client
	sending sync.WaitGroup

	mu       sync.Mutex // guards requests
	requests []request
}

// newLoad opens a connection for each request: a client that keeps connections
// sends a request again when one breaks, and nobody may but the gateway.
func newLoad(st *stage, rate int) *load {
	return &load{
		url: "http://" + st.front.addr, rate: rate, kinds: mix(), tokens: st.tokens, clock: st.clock,
		client: http.Client{Timeout: answerLimit, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// run sends until ctx ends and returns when every request has its outcome.
func (l *load) run(ctx context.Context, ids *int) []request {
	gap := time.Second / time.Duration(l.rate)
	turns := rand.New(rand.NewPCG(uint64(l.rate), 1)) // nginx goes in turn: a load that did too would send each kind to one node
	for due := l.clock.now(); ctx.Err() == nil; due += gap {
		time.Sleep(due - l.clock.now())
		*ids++
		id, k := "r"+strconv.Itoa(*ids), l.kinds[turns.IntN(len(l.kinds))]
		l.sending.Go(func() {
			r := l.send(id, k, due)
			l.mu.Lock()
			l.requests = append(l.requests, r)
			l.mu.Unlock()
		})
	}
	l.sending.Wait()
	return l.requests
}

func (l *load) send(id string, k kind, due time.Duration) request {
	r := request{id: id, method: k.method, user: k.user, sent: l.clock.now()}
	r.late = r.sent - due
	r.err = l.ask(&r, k)
	r.done = l.clock.now()
	if r.err != nil {
		r.status = 0
	}
	return r
}

func (l *load) ask(r *request, k kind) error {
	var body io.Reader
	if k.method == http.MethodPost {
		body = strings.NewReader("order " + r.id)
	}
	req, err := http.NewRequest(k.method, l.url+k.path+r.id, body)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-ID", r.id)
	if k.user != "" {
		req.Header.Set("Authorization", "Bearer "+l.tokens[k.user])
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r.status, r.own = resp.StatusCode, string(text) == r.id
	r.node, _, _ = strings.Cut(resp.Header.Get("X-Asked"), ",")
	if resp.Header.Get("X-Request-ID") != r.id && r.status < 500 {
		return errors.Join(err, errors.New("the answer carries another request's id"))
	}
	return err
}
