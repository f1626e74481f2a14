package harness

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	loadWorkers = 32
	loadLimit   = 10 * time.Second // for one request
)

// Load is a stream of requests at a steady rate, whatever the answers do.
type Load struct {
	Method string   // GET if empty; others carry a short body
	URLs   []string // in turn
	Count  int      // how many requests
	Rate   int      // per second
	Token  string   // bearer token, optional
}

// Shot is the outcome of one request.
type Shot struct {
	URL    string
	At     time.Time // when it was sent
	Took   time.Duration
	Status int   // 0 if there was no answer
	Err    error // why not
}

// Outcomes are what became of a load, every request of it.
type Outcomes []Shot

// Run sends the load and returns when every request has its outcome; ctx cuts
// it short.
func (l Load) Run(ctx context.Context) Outcomes {
	client := &http.Client{Timeout: loadLimit, Transport: &http.Transport{MaxIdleConnsPerHost: loadWorkers}}
	defer client.CloseIdleConnections()
	turns := make(chan int)
	shots := make(Outcomes, l.Count)
	var workers sync.WaitGroup
	for range loadWorkers {
		workers.Go(func() {
			for i := range turns {
				shots[i] = l.shoot(client, l.URLs[i%len(l.URLs)])
			}
		})
	}
	sent := l.pace(ctx, turns)
	close(turns)
	workers.Wait()
	return shots[:sent]
}

// pace hands out the turns at their times and returns how many it was.
func (l Load) pace(ctx context.Context, turns chan<- int) int {
	start := time.Now()
	for i := range l.Count {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(l.Rate))
		select {
		case <-ctx.Done():
			return i
		case <-time.After(time.Until(due)):
		}
		turns <- i
	}
	return l.Count
}

func (l Load) shoot(client *http.Client, url string) Shot {
	shot := Shot{URL: url, At: time.Now()}
	req, err := l.request(url)
	if err != nil {
		shot.Err = err
		return shot
	}
	resp, err := client.Do(req)
	if err != nil {
		shot.Err, shot.Took = err, time.Since(shot.At)
		return shot
	}
	defer resp.Body.Close()
	if _, shot.Err = io.Copy(io.Discard, resp.Body); shot.Err == nil {
		shot.Status = resp.StatusCode
	}
	shot.Took = time.Since(shot.At)
	return shot
}

func (l Load) request(url string) (*http.Request, error) {
	var body io.Reader
	if l.Method != "" && l.Method != http.MethodGet {
		body = strings.NewReader("a body")
	}
	req, err := http.NewRequest(l.Method, url, body)
	if err == nil && l.Token != "" {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	return req, err
}

// Count returns how many were answered with the status.
func (o Outcomes) Count(status int) int {
	n := 0
	for _, s := range o {
		if s.Status == status {
			n++
		}
	}
	return n
}

// Failed returns those without an answer and those answered with a 5xx.
func (o Outcomes) Failed() Outcomes {
	return slices.DeleteFunc(slices.Clone(o), func(s Shot) bool { return s.Err == nil && s.Status < 500 })
}

// Slowest returns the one that took longest.
func (o Outcomes) Slowest() Shot {
	return slices.MaxFunc(o, func(a, b Shot) int { return int(a.Took - b.Took) })
}

// Span is the time from the first request to the last answer.
func (o Outcomes) Span() time.Duration {
	end := o[0].At
	for _, s := range o {
		if done := s.At.Add(s.Took); done.After(end) {
			end = done
		}
	}
	return end.Sub(o[0].At)
}
