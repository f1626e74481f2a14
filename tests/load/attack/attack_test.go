package attack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// fake answers as a gateway would that misbehaves so.
type fake struct {
	failEvery int
	status    int
	delay     time.Duration

	requests atomic.Int64
}

func (f *fake) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(f.delay)
	status := max(f.status, http.StatusOK)
	if f.failEvery > 0 && f.requests.Add(1)%int64(f.failEvery) == 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(status)
}

var testLimit = Limit{RPS: 200, Burst: 100}

// play plays a scenario of one target on f for a second.
func play(t *testing.T, f http.Handler, target Target, l Thresholds) ([]Tally, []Verdict) {
	t.Helper()
	server := httptest.NewServer(f)
	defer server.Close()
	target.Name, target.Method, target.Path, target.Limit = "one", "GET", "/", "all"
	a := &Attack{
		File:     &File{Limits: map[string]Limit{"all": testLimit}},
		Scenario: Scenario{Seconds: 1, Targets: []Target{target}, Thresholds: l},
		Gateways: []string{server.URL},
		Token:    func(user int) (string, error) { return strconv.Itoa(user), nil },
	}
	tallies, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tallies, a.Judge(tallies)
}

func missed(all []Verdict) (what []string) {
	for _, v := range all {
		if !v.Holds {
			what = append(what, v.What)
		}
	}
	return what
}

// Each threshold is met by a gateway that behaves and missed by one that does not.
func TestThresholds(t *testing.T) {
	steady := Thresholds{Errors: 0.01, P99MS: 60_000}
	f := func(name string, gateway *fake, l Thresholds, want ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, verdicts := play(t, gateway, Target{Share: 0.7}, l)
			if got := missed(verdicts); !slices.Equal(got, want) {
				t.Errorf("missed %q, want %q: %+v", got, want, verdicts)
			}
		})
	}
	f("all is well", &fake{}, steady)
	f("2 % of errors", &fake{failEvery: 50}, steady, "errors, 429 is one")
	f("a redirect", &fake{status: http.StatusFound}, steady, "errors, 429 is one")
	f("refused", &fake{status: http.StatusTooManyRequests}, steady, "errors, 429 is one")
	f("slow", &fake{delay: 30 * time.Millisecond}, Thresholds{P99MS: 10}, "p99")
}

// Under a flood it is judged how much was admitted.
func TestAdmittedOfWhatIsDue(t *testing.T) {
	a := &Attack{
		File:     &File{Limits: map[string]Limit{"all": testLimit}},
		Scenario: Scenario{Thresholds: Thresholds{Errors: 0.01, Admitted: &Admitted{Least: 0.9, Most: 1.1}}},
	}
	f := func(times float64, retryAfter string, want ...string) {
		t.Helper()
		if verdicts := a.Judge([]Tally{flooded(times, retryAfter)}); !slices.Equal(missed(verdicts), want) {
			t.Errorf("%v times what is due, Retry-After %q: want %q missed, got %+v", times, retryAfter, want, verdicts)
		}
	}
	const admitted, errors = "admitted of what is due", "errors, 429 is none"
	f(1, "1")
	f(1, "", errors)
	f(1, "soon", errors)
	f(0.5, "1", admitted)
	f(0.88, "1", admitted)
	f(0.92, "1")
	f(1.08, "1")
	f(1.12, "1", admitted)
	f(3, "1", admitted) // each of three nodes alone: all pass
}

// flooded is what comes of a second at three times the limit where so many times what
// is due are admitted.
func flooded(times float64, retryAfter string) Tally {
	const requests = 600
	tally, admitted := Tally{Target: Target{Limit: "all"}}, 0.0
	for i := range requests {
		at := time.Duration(i) * time.Second / requests
		r := &vegeta.Result{Code: http.StatusTooManyRequests, Timestamp: time.Unix(0, 0).Add(at), Latency: time.Millisecond}
		r.Headers = http.Header{refusedSay: {retryAfter}}
		if admitted+1 <= times*(testLimit.Burst+testLimit.RPS*at.Seconds()) {
			r.Code = http.StatusOK
			admitted++
		}
		tally.add(r)
	}
	return tally
}

// A load that did not leave proves nothing.
func TestLoadThatIsNotOfferedIsMissed(t *testing.T) {
	a := &Attack{Scenario: Scenario{Thresholds: Thresholds{Offered: 0.9}}}
	if got := missed(a.Judge([]Tally{{wanted: 100, Admitted: 89}})); !slices.Equal(got, []string{"offered of what was to be"}) {
		t.Errorf("89 of 100 offered: missed %q", got)
	}
	if got := missed(a.Judge([]Tally{{wanted: 100, Admitted: 91}})); len(got) > 0 {
		t.Errorf("91 of 100 offered: missed %q", got)
	}
}

func TestWorkersAskAgainWhenAnswered(t *testing.T) {
	var mu sync.Mutex
	now, most, tokens := 0, 0, map[string]bool{}
	counting := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		tokens[r.Header.Get("Authorization")] = true
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
	})
	tallies, _ := play(t, counting, Target{Workers: 3, Users: 2}, Thresholds{})
	if most > 3 || tallies[0].Offered() < 6 || tallies[0].Others > 0 {
		t.Errorf("%d at once, %d offered, %d failed; want at most 3, at least 6, none", most, tallies[0].Offered(), tallies[0].Others)
	}
	if want := map[string]bool{"Bearer 0": true, "Bearer 1": true}; len(tokens) != 2 || !tokens["Bearer 0"] || !tokens["Bearer 1"] {
		t.Errorf("tokens %v, want %v", tokens, want)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(&fake{})
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &Attack{
		File: &File{}, Gateways: []string{server.URL},
		Scenario: Scenario{Seconds: 3600, Targets: []Target{{Name: "one", Method: "GET", Path: "/", Rate: 10}}},
	}
	if _, err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestRunTellsThatThereIsNoToken(t *testing.T) {
	a := &Attack{
		File: &File{}, Gateways: []string{"http://127.0.0.1:1"}, Token: func(int) (string, error) { return "", context.DeadlineExceeded },
		Scenario: Scenario{Seconds: 60, Targets: []Target{{Name: "one", Method: "GET", Path: "/", Rate: 10, Users: 1}}},
	}
	if _, err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "target one: ") {
		t.Errorf("got %v, want an error that names the target", err)
	}
}
