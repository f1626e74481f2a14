package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-api-gateway-pro/gateway/node/config"
	"github.com/go-api-gateway-pro/gateway/tests/load/stage"
)

func TestNodeConfigIsOne(t *testing.T) {
	w := wiring{addr: "127.0.0.1:1000", gossip: "127.0.0.1:1001", redis: "127.0.0.1:1002", upstream: "127.0.0.1:1003"}
	for _, join := range []string{"", "127.0.0.1:1004"} {
		w.join = join
		cfg, err := config.Parse([]byte(nodeConfig(trial{routes: 3}, w)), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Routes) != 3 || cfg.Server.Port != 1000 {
			t.Errorf("%d routes, port %d", len(cfg.Routes), cfg.Server.Port)
		}
	}
}

func TestRequest(t *testing.T) {
	c := &crew{trial: trial{routes: 10, users: 3}, tokens: newTokens(time.Unix(1000, 0))}
	first := string(c.append(nil, 0))
	if got := string(c.append([]byte("x"), 30)); got != "x"+first {
		t.Errorf("the 30th request is not the first again: %q, %q", got, first)
	}
	c.load(4, 0)
	if got := string(c.load(1, 0).Append(nil, 0)); got != string(c.append(nil, 4)) {
		t.Errorf("the first request of the second load is %q", got)
	}
	path, token, _ := strings.Cut(string(c.append(nil, 14)), "\r\nHost: a\r\nAuthorization: Bearer ")
	token, end, _ := strings.Cut(token, "\r\n")
	if path != "GET /route/4/x HTTP/1.1" || end != "\r\n" {
		t.Errorf("request %q … %q", path, end)
	}
	signed, signature, _ := cutLast(token)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); signature != want {
		t.Errorf("signature %q, want %q", signature, want)
	}
	_, payload, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	var claims struct {
		Sub string
		Exp int64
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Sub != "user-2" || claims.Exp != 4600 {
		t.Errorf("claims %s, %v", text, err)
	}
}

func cutLast(token string) (before, after string, found bool) {
	i := strings.LastIndex(token, ".")
	if i < 0 {
		return token, "", false
	}
	return token[:i], token[i+1:], true
}

func TestAxesHold(t *testing.T) {
	if got := routesHold(outcome{cpu: 20}, outcome{cpu: 29}); len(got) != 0 {
		t.Errorf("1.45 times the CPU: missed %q", got)
	}
	if got := routesHold(outcome{cpu: 20}, outcome{cpu: 31}); len(got) != 1 || !strings.Contains(got[0], "1.55") {
		t.Errorf("1.55 times the CPU: missed %q", got)
	}
	if got := usersHold(outcome{rss: 30}, outcome{rss: 129}); len(got) != 0 {
		t.Errorf("99 MiB: missed %q", got)
	}
	if got := usersHold(outcome{rss: 30}, outcome{rss: 131}); len(got) != 1 {
		t.Error("101 MiB are no miss")
	}
}

func TestMiddle(t *testing.T) {
	all := []outcome{{cpu: 3, scripts: 10, redisCPU: 1}, {cpu: 1, scripts: 30, redisCPU: 1}, {cpu: 2, scripts: 20, redisCPU: 4}}
	for i := range all {
		all[i].P50, all[i].P99 = time.Duration(i), time.Duration(-i)
	}
	want := outcome{cpu: 2, scripts: 20, redisCPU: 1}
	want.P50, want.P99 = 1, -1
	if got := middle(all); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRow(t *testing.T) {
	o := outcome{cpu: 91.26, scripts: 1234.6, redisCPU: 3, rss: 30.7, page: 2_000_000, scrape: 12 * time.Millisecond}
	o.P50, o.P99 = 200*time.Microsecond, 3*time.Millisecond
	want := "| 10,000 | 91.3 µs | 1,234 | 3.0 µs | 0.2 ms | 3.0 ms | 31 MiB | 1,953 KiB in 12.0 ms |\n"
	if got := o.row(grouped(10_000)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if head := axes()[0].head(); strings.Count(want, "|") != strings.Count(strings.Split(head, "\n")[2], "|") {
		t.Errorf("the head %q has other columns", head)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_234_567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestTimeTable(t *testing.T) {
	seen := []instant{{100_000, 40}, {400_000, 44}, {600_000, 43}, {900_000, 42}, {1_000_000, 45}}
	want := "| 100,000 to 400,000 | 40.0, 44.0 MiB |\n| 600,000 to 900,000 | 42.0, 43.0 MiB |\n| 1,000,000 to 1,000,000 | 45.0, 45.0 MiB |\n"
	if got := timeTable(seen); !strings.HasSuffix(got, want) {
		t.Errorf("got:\n%s", got)
	}
}

func TestTimeHolds(t *testing.T) {
	if got := timeHolds([]instant{{1, 40}, {2, 44}, {3, 43}, {4, 46}}); len(got) != 0 {
		t.Errorf("4.5 %% more: missed %q", got)
	}
	if got := timeHolds([]instant{{1, 40}, {2, 44}, {3, 43}, {4, 47}}); len(got) != 1 {
		t.Error("6.8 % more are no miss")
	}
	if got := timeHolds([]instant{{1, 40}}); len(got) != 1 {
		t.Error("a second alone shows nothing, and is no miss")
	}
}

func TestTails(t *testing.T) {
	t99 := func(ms int) (all []offered) {
		of := func(d time.Duration) offered { return offered{Timing: stage.Timing{P99: d}, rate: 7000} }
		all = append(all, of(time.Duration(10*ms)*time.Millisecond)) // one round is off
		for range tailRounds - 1 {
			all = append(all, of(time.Duration(ms)*time.Millisecond))
		}
		return all
	}
	of := tails{nginx: t99(2), gateway: t99(3)}
	if got := of.missed(); len(got) != 0 {
		t.Errorf("1.5 times: missed %q", got)
	}
	if got := of.String(); !strings.Contains(got, "1.50 (1.50–1.50) ×") || !strings.Contains(got, "| nginx, bare proxy_pass | 7000 (7000–7000) |") {
		t.Errorf("table:\n%s", got)
	}
	of.gateway = t99(5)
	if got := of.missed(); len(got) != 1 || !strings.Contains(got[0], "2.5") {
		t.Errorf("2.5 times: missed %q", got)
	}
	busy := tails{disturbed: tailTries}
	if got := busy.missed(); len(got) != 1 || !strings.Contains(got[0], "others") || !strings.Contains(busy.String(), "others") {
		t.Errorf("on a busy core: missed %q", got)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []options{{only: "nonsense"}, {only: "nodes", write: "a.md"}} {
		if err := run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "-only") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
