package config

import (
	"strings"
	"testing"
)

func TestRoutesShareTheirUpstreamsBreaker(t *testing.T) {
	const text = `
routes:
  - {path: "/a", upstream: "http://users:80/v1"}
  - {path: "/b", upstream: "http://users/v2", breaker: {failures: 3, failure_ratio: 0.5, window_ms: 1000, open_ms: 700}}
  - {path: "/c", upstream: "http://users", breaker: {failures: 3, failure_ratio: 0.5, window_ms: 1000, open_ms: 700}}
  - {path: "/d", upstream: "https://users:80"}
`
	cfg, err := Parse([]byte(text), env())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{3, 3, 3, 5} {
		if got := cfg.Routes[i].Breaker; got.Failures != want {
			t.Errorf("routes[%d]: %+v, want %d failures", i, got, want)
		}
	}
	if got := cfg.Routes[0].Breaker; got.FailureRatio != 0.5 || got.WindowMS != 1000 || got.OpenMS != 700 {
		t.Errorf("got %+v", got)
	}
	_, err = Parse([]byte(strings.Replace(text, `users", breaker: {failures: 3`, `users", breaker: {failures: 4`, 1)), env())
	const want = "routes[2].breaker: must be the same as routes[1].breaker, which is for the same upstream users:80 (line 5)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
