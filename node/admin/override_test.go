package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

func TestOverride(t *testing.T) {
	var got []Override
	s, err := New(Options{
		Addr: "127.0.0.1:0", Token: secret, Log: zerolog.Nop(),
		Cluster: func() any { return nil }, Config: func() any { return nil },
		Override: func(o Override) error {
			got = append(got, o)
			switch o.Backend {
			case "unknown":
				return fmt.Errorf("cannot override: %w", breaker.ErrUnknownBackend)
			case "full":
				return errors.New("cannot override: too many")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	post := func(body string, status int, want ...string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr()+"/cluster/breakers", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", body, resp.StatusCode, text, status)
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s: %s, want %s in it", body, text, w)
			}
		}
		if n := strings.Count(string(text), `"field"`); status == http.StatusBadRequest && n != len(want) {
			t.Errorf("%s: %d faults, want %d: %s", body, n, len(want), text)
		}
	}
	post(`{"backend": "a:80", "state": "open", "for_s": 60}`, 200, `"state": "open"`, `"for_s": 60`)
	post(`{"backend": "a:80", "state": "auto"}`, 200, `"state": "auto"`)
	if len(got) != 2 || got[0] != (Override{"a:80", "open", time.Minute}) || got[1] != (Override{"a:80", "auto", 0}) {
		t.Errorf("got %v", got)
	}
	post(``, 400, "must be one JSON object")
	post(`[]`, 400, "must be one JSON object")
	post(`{} {}`, 400, "must be one JSON object")
	post(`{}`, 400, "name of a backend, got nothing", "open, closed, auto, got nothing")
	post(`{"backend": 7, "state": "shut", "for_s": 1}`, 400, "name of a backend, got 7", `open, closed, auto, got \"shut\"`)
	post(`{"backend": "a:80", "state": "open"}`, 400, "between 1 and 86400, got nothing")
	post(`{"backend": "a:80", "state": "open", "for_s": 0}`, 400, "between 1 and 86400, got 0")
	post(`{"backend": "a:80", "state": "open", "for_s": 86401}`, 400, "between 1 and 86400, got 86401")
	post(`{"backend": "a:80", "state": "open", "for_s": 1.5}`, 400, "between 1 and 86400, got 1.5")
	post(`{"backend": "a:80", "state": "open", "for_s": 1, "for": 2}`, 400, "unknown field, allowed: backend, for_s, state")
	post(`{"backend": "unknown", "state": "open", "for_s": 1}`, 404, "must be one that GET /cluster lists")
	post(`{"backend": "full", "state": "open", "for_s": 1}`, 409, "too many")
	post(`{"backend": "`+strings.Repeat("a", maxOverrideBytes)+`"}`, 413, "at most 4096 bytes")
	if len(got) != 4 {
		t.Errorf("%d overrides passed on, want 4", len(got))
	}
}
