package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// nodeHeader tells which node answered. Only the front knows: nodes have no
// numbers.
const nodeHeader = "X-Demo-Node"

// front passes requests to the nodes in turn, as the balancer before a real
// cluster does. It does not know which nodes live: it finds out by asking, and
// asks the next one where that does no harm.
type front struct {
	nodes     []string // host:port
	turn      atomic.Uint64
	transport *http.Transport
}

func newFront(nodes []string) *front {
	return &front{nodes: nodes, transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // encodings are between client and gateway
	}}
}

// handler changes nothing in a request but its X-Forwarded headers, which
// replace any that the client made up.
func (f *front) handler(faults io.Writer) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.RawQuery = "http", r.In.URL.RawQuery
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:     f,
		FlushInterval: -1,
		ErrorLog:      log.New(faults, "", log.LstdFlags),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			fmt.Fprintln(faults, "front:", err)
			http.Error(w, "no node answers", http.StatusBadGateway)
		},
	}
}

// RoundTrip asks the next node, and those after it while asking again is safe.
func (f *front) RoundTrip(r *http.Request) (*http.Response, error) {
	first := f.turn.Add(1) - 1
	var errs []error
	for i := range uint64(len(f.nodes)) {
		k := int((first + i) % uint64(len(f.nodes)))
		resp, err := f.ask(r, f.nodes[k])
		if err == nil {
			resp.Header.Set(nodeHeader, strconv.Itoa(k+1))
			return resp, nil
		}
		errs = append(errs, err)
		if r.Context().Err() != nil || !repeatable(r, err) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// ask leaves the body open for the next node; the reverse proxy closes it.
func (f *front) ask(r *http.Request, at string) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Host = at
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = io.NopCloser(r.Body)
	}
	return f.transport.RoundTrip(out)
}

// repeatable reports whether no node can have acted on the request, or acting
// twice is as good as once.
func repeatable(r *http.Request, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true // nothing was sent
	}
	idempotent := []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}
	return slices.Contains(idempotent, r.Method) && (r.Body == nil || r.Body == http.NoBody)
}
