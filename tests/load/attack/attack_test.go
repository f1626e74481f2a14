package attack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake answers as a gateway would that misbehaves so.
type fake struct {
	failEvery int
	status    int
	delay     time.Duration
	limit     float64 // times what is due; 0: no limit
	silent    bool    // refusals do not say when to come back

	mu       sync.Mutex
	requests int
	admitted float64
}

// ServeHTTP counts time in requests: at three times the rate every third brings a
// token, on a slow machine too.
func (f *fake) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(f.delay)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	switch {
	case f.failEvery > 0 && f.requests%f.failEvery == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	case f.limit > 0 && f.admitted+1 > f.limit*(testLimit.Burst+float64(f.requests)/3):
		if !f.silent {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(http.StatusTooManyRequests)
	default:
		f.admitted++
		w.WriteHeader(max(f.status, http.StatusOK))
	}
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
	flood := Thresholds{Errors: 0.01, Admitted: &Admitted{Least: 0.9, Most: 1.1}}
	f := func(name string, gateway *fake, share float64, l Thresholds, want ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, verdicts := play(t, gateway, Target{Share: share}, l)
			if got := missed(verdicts); !slices.Equal(got, want) {
				t.Errorf("missed %q, want %q: %+v", got, want, verdicts)
			}
		})
	}
	f("all is well", &fake{}, 0.7, steady)
	f("2 % of errors", &fake{failEvery: 50}, 0.7, steady, "errors, 429 is one")
	f("a redirect", &fake{status: http.StatusFound}, 0.7, steady, "errors, 429 is one")
	f("refused", &fake{limit: 0.1}, 0.7, steady, "errors, 429 is one")
	f("slow", &fake{delay: 30 * time.Millisecond}, 0.7, Thresholds{P99MS: 10}, "p99")
	f("the limit is the limit", &fake{limit: 1}, 3, flood)
	f("nothing limits", &fake{}, 3, flood, "admitted of what is due")
	f("each of three limits alone", &fake{limit: 3}, 3, flood, "admitted of what is due")
	f("too little passes", &fake{limit: 0.5}, 3, flood, "admitted of what is due")
	f("a refusal says no time", &fake{limit: 1, silent: true}, 3, flood, "errors, 429 is none")
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
