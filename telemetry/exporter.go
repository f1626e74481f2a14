package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// send posts a body, a second time when the collector says that it is busy.
func (e *exporter) send(ctx context.Context, body []byte) (rejected int, err error) {
	status, rejected, err := e.post(ctx, body)
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return rejected, err
	}
	pause := time.NewTimer(e.pause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return 0, err
	}
	_, rejected, err = e.post(ctx, body)
	return rejected, err
}

// post makes one attempt. The status is 0 when there was no answer.
func (e *exporter) post(ctx context.Context, body []byte) (status, rejected int, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, 0, fmt.Errorf("cannot make a request: %w", err)
	}
	request.Header.Set("Content-Type", protobufType)
	response, err := e.client.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot reach the collector: %w", err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes))
	if response.StatusCode/100 != 2 {
		return response.StatusCode, 0, fmt.Errorf("the collector answered %d", response.StatusCode)
	}
	return response.StatusCode, rejectedSpans(answer), nil
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
