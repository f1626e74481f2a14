package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	attemptTimeout   = 5 * time.Second
	retryPause       = time.Second
	maxRetryPause    = 5 * time.Second // spans pile up meanwhile
	maxQuiet         = 5 * time.Minute // whatever the collector says
	maxResponseBytes = 64 << 10
	logInterval      = time.Minute
	protobufType     = "application/x-protobuf"
)

// exporter posts batches of spans to a collector. A batch that cannot be delivered is dropped and counted;
// the log hears of it once a minute.
type exporter struct {
	endpoint string
	client   *http.Client
	dropped  prometheus.Counter
	log      zerolog.Logger
	now      func() time.Time
	pause    time.Duration // before the second attempt

	quietUntil time.Time // of the one goroutine that exports

	running context.Context // ends with stop, and every request with it
	cancel  context.CancelFunc

	mu       sync.Mutex
	lastLog  time.Time
	unlogged int // spans dropped since then
}

func newExporter(endpoint string, log zerolog.Logger, dropped prometheus.Counter) *exporter {
	running, cancel := context.WithCancel(context.Background())
	return &exporter{
		endpoint: endpoint,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConnsPerHost: 1,
				IdleConnTimeout:     time.Minute,
			},
			// A redirected POST becomes a GET, and spans would be lost with a 200.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		dropped: dropped,
		log:     log,
		now:     time.Now,
		pause:   retryPause,
		running: running,
		cancel:  cancel,
	}
}

// stop cuts off what is being sent; every later export fails at once.
func (e *exporter) stop() {
	e.cancel()
	e.client.CloseIdleConnections()
}

// export delivers spans or drops them; it returns when either has happened.
func (e *exporter) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.running, cancel)()

	body, err := proto.Marshal(encodeSpans(spans))
	if err != nil {
		e.drop(len(spans), fmt.Errorf("cannot encode spans: %w", err))
		return
	}
	rejected, err := e.send(ctx, body)
	if err != nil {
		e.drop(len(spans), err)
		return
	}
	if rejected > 0 {
		e.drop(rejected, errors.New("the collector rejected a part of the spans"))
	}
}

// errQuiet is why a batch is not even sent.
var errQuiet = errors.New("the collector asked not to be sent anything for a while")

// send posts a body, a second time when the collector says that it is busy: after a moment, or when it asks
// to. Until a moment that is too far away nothing is sent to it.
func (e *exporter) send(ctx context.Context, body []byte) (rejected int, err error) {
	if e.now().Before(e.quietUntil) {
		return 0, errQuiet
	}
	answer, err := e.post(ctx, body)
	if !answer.busy() {
		return answer.rejected, err
	}
	if answer.retryAfter > maxRetryPause {
		e.quietUntil = e.now().Add(min(answer.retryAfter, maxQuiet))
		return 0, err
	}
	pause := time.NewTimer(max(e.pause, answer.retryAfter))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return 0, err
	}
	answer, err = e.post(ctx, body)
	return answer.rejected, err
}

// reply is what a collector said.
type reply struct {
	status     int // 0: nothing
	rejected   int
	retryAfter time.Duration // 0: not said
}

// busy reports whether the same spans may be welcome later (OTLP specification, "Retryable Response Codes").
func (r reply) busy() bool {
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// post makes one attempt.
func (e *exporter) post(ctx context.Context, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("cannot make a request: %w", err)
	}
	request.Header.Set("Content-Type", protobufType)
	response, err := e.client.Do(request)
	if err != nil {
		return reply{}, fmt.Errorf("cannot reach the collector: %w", err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes))
	if response.StatusCode/100 != 2 {
		return reply{status: response.StatusCode, retryAfter: retryAfter(response.Header, e.now())},
			fmt.Errorf("the collector answered %d", response.StatusCode)
	}
	return reply{status: response.StatusCode, rejected: rejectedSpans(answer)}, nil
}

// retryAfter reads the field of RFC 9110 section 10.2.3; 0 if it says nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// rejectedSpans reads how many spans a collector that answered 200 did not take.
func rejectedSpans(answer []byte) int {
	var response collectorpb.ExportTraceServiceResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return 0 // collectors may answer in words; the status counts
	}
	return int(max(response.GetPartialSuccess().GetRejectedSpans(), 0))
}

// drop counts lost spans and logs the first loss of every minute.
func (e *exporter) drop(spans int, why error) {
	e.dropped.Add(float64(spans))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unlogged += spans
	now := e.now()
	if !e.lastLog.IsZero() && now.Sub(e.lastLog) < logInterval {
		return
	}
	e.log.Warn().Err(why).Int("spans", e.unlogged).Msg("trace spans dropped")
	e.lastLog, e.unlogged = now, 0
}
