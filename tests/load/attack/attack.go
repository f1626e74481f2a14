// Package attack offers a gateway the loads of tests/load/scenarios.json, with
// vegeta's library, and judges what was answered. A load is open: requests leave at
// their times whatever the answers do, unless its target says workers.
package attack

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const (
	answerLimit = 10 * time.Second
	maxWorkers  = 500             // requests of one target at once
	idleLimit   = 2 * time.Second // of a connection: what a stall opened is not kept
)

// Attack is a scenario about to be played.
type Attack struct {
	File     *File
	Scenario Scenario
	Gateways []string // base URLs, asked in turn
	// Token returns the token of a user; users count from 0. It may be called
	// concurrently.
	Token func(user int) (string, error)
	// Dress adds headers to the turn-th request of a target; nil: none.
	Dress func(turn int, h http.Header)
}

// Run plays the scenario until it is over or ctx ends, and returns what came of
// each target, in order.
func (a *Attack) Run(ctx context.Context) ([]Tally, error) {
	tallies := make([]Tally, len(a.Scenario.Targets))
	errs := make([]error, len(tallies))
	var running sync.WaitGroup
	for i, t := range a.Scenario.Targets {
		running.Go(func() { tallies[i], errs[i] = a.shoot(ctx, t) })
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", a.Scenario.Targets[i].Name, err)
		}
	}
	return tallies, nil
}

// shoot sends one target's requests.
func (a *Attack) shoot(ctx context.Context, t Target) (Tally, error) {
	lasts := time.Duration(a.Scenario.Seconds * float64(time.Second))
	rate := a.File.rate(t)
	pacer := vegeta.Pacer(vegeta.Rate{Freq: int(rate * 1000), Per: 1000 * time.Second})
	workers := []func(*vegeta.Attacker){vegeta.Workers(20), vegeta.MaxWorkers(maxWorkers)}
	if t.Workers > 0 {
		n := uint64(t.Workers)
		pacer, workers = vegeta.Rate{}, []func(*vegeta.Attacker){vegeta.Workers(n), vegeta.MaxWorkers(n)}
	}
	client := &http.Client{
		Timeout:       answerLimit,
		Transport:     &http.Transport{MaxIdleConnsPerHost: maxWorkers, IdleConnTimeout: idleLimit},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	attacker := vegeta.NewAttacker(append(workers, vegeta.MaxBody(0), vegeta.Client(client))...)
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	source := &source{attack: a, target: t}
	tally := Tally{Target: t, wanted: rate * lasts.Seconds()}
	for result := range attacker.Attack(source.next, pacer, lasts, "") {
		tally.add(result)
	}
	return tally, source.failure()
}

// source makes the requests of one target.
type source struct {
	attack *Attack
	target Target

	mu   sync.Mutex // guards turn and err
	turn int
	err  error // why it could not go on
}

// next is a [vegeta.Targeter].
func (s *source) next(out *vegeta.Target) error {
	s.mu.Lock()
	turn := s.turn
	s.turn++
	s.mu.Unlock()
	gateways := s.attack.Gateways
	out.Method, out.URL = s.target.Method, gateways[turn%len(gateways)]+s.target.Path
	out.Header = http.Header{}
	if s.attack.Dress != nil {
		s.attack.Dress(turn, out.Header)
	}
	if s.target.Users == 0 {
		return nil
	}
	token, err := s.attack.Token(s.target.user(turn))
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
		return err
	}
	out.Header.Set("Authorization", "Bearer "+token)
	return nil
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// user is who sends the turn-th request. After churn requests each, all give way to
// new ones.
func (t Target) user(turn int) int {
	if t.Churn == 0 {
		return turn % t.Users
	}
	return turn/(t.Users*t.Churn)*t.Users + turn%t.Users
}
