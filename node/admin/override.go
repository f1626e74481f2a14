package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// maxOverrideBytes bounds the body of an override.
const maxOverrideBytes = 4 << 10

// Override is an operator's word on a backend's breaker.
type Override struct {
	Backend string        // as /cluster names it
	State   string        // open, closed or auto
	Hold    time.Duration // 0 for auto
}

// fault is what is wrong with one field of a request.
type fault struct {
	Field string `json:"field"`
	Text  string `json:"error"`
}

// override answers POST /cluster/breakers.
func (s *Server) override(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOverrideBytes))
	if err != nil {
		s.refuse(w, http.StatusRequestEntityTooLarge, fault{"", fmt.Sprintf("body must be at most %d bytes", maxOverrideBytes)})
		return
	}
	o, faults := parseOverride(body)
	if len(faults) > 0 {
		s.refuse(w, http.StatusBadRequest, faults...)
		return
	}
	switch err := s.opts.Override(o); {
	case errors.Is(err, breaker.ErrUnknownBackend):
		s.refuse(w, http.StatusNotFound, fault{"backend", fmt.Sprintf("must be one that GET /cluster lists, got %q", o.Backend)})
	case err != nil:
		s.refuse(w, http.StatusConflict, fault{"", err.Error()})
	default:
		s.opts.Log.Warn().Str("backend", o.Backend).Str("state", o.State).Dur("for", o.Hold).Msg("an operator overrides a breaker")
		s.json(func() any {
			return map[string]any{"backend": o.Backend, "state": o.State, "for_s": int(o.Hold.Seconds())}
		})(w, r)
	}
}

// parseOverride reports every fault of the body at once.
func parseOverride(body []byte) (Override, []fault) {
	fields := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&fields); err != nil || dec.More() {
		return Override{}, []fault{{"", `body must be one JSON object such as {"backend": "users:8080", "state": "open", "for_s": 60}`}}
	}
	var o Override
	var seconds int
	var faults []fault
	read := func(field string, into any, allowed string) {
		if raw, given := fields[field]; !given || json.Unmarshal(raw, into) != nil || string(raw) == "null" {
			faults = append(faults, fault{field, "must be " + allowed + ", got " + orNothing(raw)})
		}
		delete(fields, field)
	}
	read("backend", &o.Backend, "the name of a backend")
	read("state", &o.State, "one of open, closed, auto")
	mode, err := breaker.ParseMode(o.State)
	if err != nil && o.State != "" {
		faults = append(faults, fault{"state", err.Error()})
	}
	most := int(breaker.MaxOverride / time.Second)
	if _, given := fields["for_s"]; given || mode != breaker.Auto {
		read("for_s", &seconds, fmt.Sprintf("a whole number of seconds between 1 and %d", most))
		if mode != breaker.Auto && (seconds < 1 || seconds > most) && !complained(faults, "for_s") {
			faults = append(faults, fault{"for_s", fmt.Sprintf("must be between 1 and %d, got %d", most, seconds)})
		}
	}
	for _, unknown := range slices.Sorted(maps.Keys(fields)) {
		faults = append(faults, fault{unknown, "unknown field, allowed: backend, for_s, state"})
	}
	o.Hold = time.Duration(seconds) * time.Second
	return o, faults
}

func complained(faults []fault, field string) bool {
	return slices.ContainsFunc(faults, func(f fault) bool { return f.Field == field })
}

func orNothing(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "nothing"
	}
	return string(raw)
}

// refuse answers with what is wrong, field by field.
func (s *Server) refuse(w http.ResponseWriter, status int, faults ...fault) {
	body, err := json.Marshal(map[string]any{"status": status, "errors": faults})
	if err != nil {
		s.opts.Log.Error().Err(err).Msg("cannot encode a refusal")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone
}
