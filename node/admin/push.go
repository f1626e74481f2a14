package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-api-gateway-pro/gateway/cluster/push"
)

// PushFunc gives a configuration to the cluster and says how that went. Ctx ends
// when the client goes away.
type PushFunc func(ctx context.Context, text []byte) PushAnswer

// PushAnswer is the answer of POST /cluster/config.
type PushAnswer struct {
	push.Report

	Version int `json:"version"` // of the configuration the answering node runs now
}

// push answers 200 for committed, 202 for partial, which is decided but not done
// everywhere, and 409 for refused.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, push.MaxText))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("a configuration must have at most %d bytes", push.MaxText), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	answer := s.opts.Push(r.Context(), text)
	status := map[push.Result]int{push.Committed: http.StatusOK, push.Partial: http.StatusAccepted}[answer.Outcome]
	if status == 0 {
		status = http.StatusConflict
	}
	s.answer(w, status, answer)
}
