package faults

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	answerLimit = 30 * time.Second // beyond any stall that is promised
	clientConns = 4096
)

// shot is a request and what came of it.
type shot struct {
	number     string
	kind       string
	sent, done time.Duration // since the run began
	status     int           // 0 if there was no whole answer
	why        string        // there was none
}

// good reports whether the client got what it came for: success, or the word that
// its limit is used up.
func (s shot) good() bool {
	return s.status >= 200 && s.status < 300 || s.kind == kindTaken && s.status == http.StatusTooManyRequests
}

// load sends requests at a constant rate, whatever the answers do, each on time:
// a stalled cluster gets as many as one in good health.
type load struct {
	front  string
	tokens []string // of the users, in turn
	gets   int      // per second
	posts  int
	taken  int
	clock  func() time.Duration

	client *http.Client
	mu     sync.Mutex // guards shots
	shots  []shot
	flight sync.WaitGroup
}

func newLoad(front string, tokens []string, clock func() time.Duration) *load {
	return &load{
		front: front, tokens: tokens, gets: 200, posts: 100, taken: 3 * limitRate, clock: clock,
		client: &http.Client{
			Timeout:   answerLimit,
			Transport: &http.Transport{MaxIdleConns: clientConns, MaxIdleConnsPerHost: clientConns},
		},
	}
}

// run sends until ctx is done and returns when every request has its outcome.
func (l *load) run(ctx context.Context) []shot {
	var kinds sync.WaitGroup
	kinds.Go(func() { l.pace(ctx, kindGet, l.gets) })
	kinds.Go(func() { l.pace(ctx, kindPost, l.posts) })
	kinds.Go(func() { l.pace(ctx, kindTaken, l.taken) })
	kinds.Wait()
	l.flight.Wait()
	l.client.CloseIdleConnections()
	return l.shots
}

// pace starts each request at its time; those that a pause of the machine made
// late leave at once.
func (l *load) pace(ctx context.Context, kind string, rate int) {
	begin := time.Now()
	for i := 0; ; i++ {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		l.flight.Go(func() { l.shoot(kind, i) })
	}
}

func (l *load) shoot(kind string, i int) {
	s := shot{number: kind + strconv.Itoa(i), kind: kind, sent: l.clock()}
	defer func() {
		s.done = l.clock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.shots = append(l.shots, s)
	}()
	resp, err := l.client.Do(l.request(s, i))
	if err != nil {
		s.why = err.Error()
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.why = err.Error()
		return
	}
	s.status = resp.StatusCode
	if !s.good() {
		s.why = strings.TrimSpace(string(text))
	}
}

func (l *load) request(s shot, i int) *http.Request {
	method, path, body := http.MethodGet, "/free/", ""
	switch s.kind {
	case kindPost:
		method, body = http.MethodPost, "a body"
	case kindTaken:
		path = "/limited/"
	}
	req, err := http.NewRequest(method, "http://"+l.front+path, strings.NewReader(body))
	if err != nil {
		panic(err) // of a constant URL
	}
	// Go's client would send a POST again by itself if it knew how.
	req.GetBody = nil
	req.Header.Set(numberHeader, s.number)
	req.Header.Set("Authorization", "Bearer "+l.tokens[i%len(l.tokens)])
	return req
}
