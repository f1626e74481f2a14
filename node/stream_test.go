package node

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const streamRoutes = `
routes:
  - {path: "/open/*", upstream: "${UPSTREAM}", strip_prefix: /open, retry: {attempts: 3, backoff_ms: 1}}
  - {path: "/live/*", upstream: "${UPSTREAM}", strip_prefix: /live, stream: true, timeout_ms: 300, idle_timeout_ms: 60000}
  - {path: "/idle/*", upstream: "${UPSTREAM}", strip_prefix: /idle, idle_timeout_ms: 200}
  - {path: "/users/*", upstream: "${UPSTREAM}", auth_required: true}
`

// with makes the upstream do something else.
func (n *testNode) with(play http.HandlerFunc) { n.play.Store(&play) }

// large starts a node that takes bodies of up to 64 MiB.
func large(t *testing.T, server string) *testNode {
	t.Helper()
	return startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, read_timeout_ms: 1000, "+server)
}

// dial opens a connection to the node that the test closes.
func (n *testNode) dial() (net.Conn, *bufio.Reader) {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, bufio.NewReader(conn)
}

// zeros is a body of any length.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	z.left -= n
	clear(p[:n])
	return int(n), nil
}

// heapPeak runs f and returns by how much the heap grew meanwhile at most.
func heapPeak(f func()) int64 {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	runtime.GC()
	before, done := heap(), make(chan struct{})
	var peak atomic.Int64
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return peak.Load() - before
		case <-time.After(5 * time.Millisecond):
			peak.Store(max(peak.Load(), heap()))
		}
	}
}

// `make endurance` moves 1 GiB.
var transfer = flag.Int64("transfer", 64<<20, "bytes of each body of TestBodiesPassInConstantMemory")

// What passes is not held: client, node and upstream are one process here, and
// together they stay far below what they move.
func TestBodiesPassInConstantMemory(t *testing.T) {
	n := startIn(t.Context(), t, strings.ReplaceAll(streamRoutes, "timeout_ms: 300,", ""), "drain_delay_ms: 0, body_limit_bytes: 1073741824")
	size := *transfer
	f := func(what string, play http.HandlerFunc, body io.Reader, declared int64) {
		t.Helper()
		n.with(play)
		grown := heapPeak(func() {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.Addr()+"/open/x", body)
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = declared
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			got, err := io.Copy(io.Discard, resp.Body)
			if want := size; err != nil || resp.StatusCode != 200 || got != want && resp.Header.Get("X-Took") != fmt.Sprint(want) {
				t.Errorf("%s: %d with %d bytes, %v", what, resp.StatusCode, got, err)
			}
		})
		t.Logf("%s of %d MiB: at most %d KiB more", what, size>>20, grown>>10)
		if grown > 32<<20 {
			t.Errorf("%s: memory grew by %d MiB", what, grown>>20)
		}
	}
	take := func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Took", fmt.Sprint(got))
	}
	give := func(length bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if length {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			_, _ = io.Copy(w, &zeros{size})
		}
	}
	f("upload with a length", take, &zeros{size}, size)
	f("upload in chunks", take, &zeros{size}, -1)
	f("download with a length", give(true), nil, 0)
	f("download in chunks", give(false), nil, 0)
}

// A length is only a promise: 150 of them over 4 MiB used to take 600 MB.
func TestDeclaredLengthTakesNoMemory(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, body_limit_bytes: 4194304")
	n.with(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	grown := heapPeak(func() {
		for i := range 150 {
			conn, _ := n.dial()
			fmt.Fprintf(conn, "POST /open/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n%s", i, strings.Repeat("x", i%3*4000))
		}
		eventually(t, "all being read", func() bool { return n.data.connections() == 150 })
		time.Sleep(100 * time.Millisecond)
	})
	t.Logf("150 declared bodies of 4 MiB: %d KiB", grown>>10)
	if grown > 24<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

// Whoever is not let in is told so before the body is there.
func TestBodyIsNotWaitedForBeforeItsRequestIsAdmitted(t *testing.T) {
	n := large(t, "body_limit_bytes: 100000000")
	f := func(status int, head string) {
		t.Helper()
		conn, r := n.dial()
		fmt.Fprintf(conn, "%s\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n%s", head, strings.Repeat("x", smallBody))
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != status || !resp.Close {
			t.Errorf("%s: got %v, %v, want %d and a closed connection", head, resp, err, status)
		}
	}
	f(404, "POST /nowhere HTTP/1.1")
	f(401, "POST /users/1 HTTP/1.1")
	if n.hits.Load() != 0 {
		t.Errorf("%d requests reached the upstream", n.hits.Load())
	}
}

func TestBodyTooLarge(t *testing.T) {
	n := large(t, "body_limit_bytes: 20000")
	n.with(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the upstream got a whole body")
		}
		w.WriteHeader(200)
	})
	chunk := "4e20\r\n" + strings.Repeat("x", 20000) + "\r\n"
	f := func(request string) {
		t.Helper()
		checkProblem(t, n.raw(request), 413, "body-too-large")
	}
	f("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n")
	f("POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
	f("POST /live/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "1\r\nx\r\n0\r\n\r\n")
}

// A small body is at hand and can be sent again; one that streams cannot.
func TestOnlySmallBodiesAreSentAgain(t *testing.T) {
	f := func(what, path string, body io.Reader, length int64, wantHits int64) {
		t.Helper()
		n := large(t, "body_limit_bytes: 1000000")
		n.with(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(503)
		})
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://"+n.Addr()+path, body)
		req.ContentLength = length
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 503 || n.hits.Load() != wantHits {
			t.Errorf("%s: status %d, sent %d times, want %d", what, resp.StatusCode, n.hits.Load(), wantHits)
		}
	}
	f("small", "/open/x", &zeros{smallBody}, smallBody, 4)
	f("small in chunks", "/open/x", &zeros{smallBody - 1}, -1, 4)
	f("large", "/open/x", &zeros{smallBody + 1}, smallBody+1, 1)
	f("large in chunks", "/open/x", &zeros{smallBody + 1}, -1, 1)
}

func TestSlowBodyIsNotWaitedFor(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, read_timeout_ms: 200, body_limit_bytes: 1000000")
	n.with(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	f := func(request string) {
		t.Helper()
		checkProblem(t, n.raw(request), 408, "request-timeout")
	}
	f("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	f("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("x", 9000))
	f("POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

	// One byte now and then keeps no connection either.
	conn, r := n.dial()
	fmt.Fprintf(conn, "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	go func() {
		for {
			if _, err := io.WriteString(conn, "1\r\nx\r\n"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 408 {
		t.Errorf("dripping: got %v, %v", resp, err)
	}
}

func TestSlowHeaderIsNotWaitedFor(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, read_timeout_ms: 200")
	conn, r := n.dial()
	go func() {
		for _, b := range []byte("GET /open/x HTTP/1.1\r\nX-Slow: " + strings.Repeat("x", 1000)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 408 {
		t.Errorf("got %v, %v", resp, err)
	}
}

// Browsers and pools open connections ahead of need. To one that is never used
// nothing is said: its client would take a 408 for the answer to the request that it
// sends just then.
func TestSilentConnectionIsClosedInSilence(t *testing.T) {
	n := startIn(t.Context(), t, streamRoutes, "drain_delay_ms: 0, read_timeout_ms: 200")
	_, r := n.dial()
	if said, err := io.ReadAll(r); err != nil || len(said) > 0 {
		t.Errorf("got %q, %v, want the end and nothing before it", said, err)
	}
}

// Each event is there when it was sent, and the request's deadline is not the
// stream's.
func TestEventsPassOneByOne(t *testing.T) {
	n := large(t, "write_timeout_ms: 200")
	step, ended := make(chan struct{}), make(chan struct{})
	n.with(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-step:
			case <-r.Context().Done():
				return
			}
		}
	})
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET /live/x HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	begun := time.Now()
	for i := range 6 {
		line, err := body.ReadString('\n')
		if _, _ = body.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: got %q, %v", i, line, err)
		}
		time.Sleep(100 * time.Millisecond) // together they outlast timeout_ms and write_timeout_ms
		step <- struct{}{}
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("the stream lasted %v, no test of its deadlines", took)
	}
	_ = conn.Close()
	within(t, "the upstream learning that the client has gone", ended)
	eventually(t, "the line of the request", func() bool { return n.logs.String() != "" })
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("no sign of %s", what)
	}
}

func TestSilentStreamEnds(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	ended := make(chan struct{})
	n.with(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		fmt.Fprint(w, "data: once\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET /idle/x HTTP/1.1\r\nHost: a\r\nX-Request-ID: silent\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if string(body) != "data: once\n\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v, want the event and a broken end", body, err)
	}
	within(t, "the upstream being let go", ended)
	if line := n.logs.wait(t, "silent"); !strings.Contains(line, "response broke off") || !strings.Contains(line, `"bytes_out":12`) {
		t.Errorf("the line is %s", line)
	}
}

// An answer's line, count and span wait for its last byte.
func TestRequestIsUnderWayUntilItsAnswerEnds(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	finish := make(chan struct{})
	n.with(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "first")
		w.(http.Flusher).Flush()
		<-finish
		fmt.Fprint(w, "last")
	})
	conn, r := n.dial()
	fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\nX-Request-ID: long\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(n.logs.String(), "long") {
		t.Error("the line is there before the answer has ended")
	}
	close(finish)
	if body, err := io.ReadAll(resp.Body); string(body) != "firstlast" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	if line := n.logs.wait(t, "long"); !strings.Contains(line, `"bytes_out":9`) || !strings.Contains(line, `"status":200`) {
		t.Errorf("the line is %s", line)
	}
}

// The upstream's connection is worth more than an answer that nobody awaits.
func TestClientThatGoesAwayFreesTheUpstream(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	asked, freed := make(chan struct{}), make(chan struct{})
	n.with(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(freed)
	})
	conn, _ := n.dial()
	fmt.Fprintf(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\nX-Request-ID: deserted\r\n\r\n")
	within(t, "the request", asked)
	_ = conn.Close()
	within(t, "the upstream being let go", freed)
	if line := n.logs.wait(t, "deserted"); !strings.Contains(line, `"status":499`) {
		t.Errorf("the line is %s", line)
	}
	if b := n.backends.Breakers(); b[0].State != "closed" {
		t.Errorf("the breaker counts what the client did: %+v", b)
	}
}

func TestExpectContinue(t *testing.T) {
	n := large(t, "body_limit_bytes: 100000")
	n.with(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %v %s", len(got), err, r.Header.Get("Expect"))
	})
	f := func(head string, size int, wantFirst, wantBody string) {
		t.Helper()
		conn, r := n.dial()
		fmt.Fprintf(conn, "%s\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", head, size)
		first, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(first) != wantFirst {
			t.Errorf("%s: got %q, %v, want %q", head, first, err, wantFirst)
		}
		if wantBody == "" {
			return
		}
		_, _ = r.ReadString('\n')
		_, _ = io.Copy(conn, &zeros{int64(size)})
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != wantBody || err != nil {
			t.Errorf("%s: got %q, %v", head, body, err)
		}
	}
	f("POST /open/x HTTP/1.1", 5, "HTTP/1.1 100 Continue", "5 <nil> ")
	f("POST /open/x HTTP/1.1", 50_000, "HTTP/1.1 100 Continue", "50000 <nil> ")
	before := n.hits.Load()
	f("POST /users/x HTTP/1.1", 5, "HTTP/1.1 401 Unauthorized", "")
	f("POST /nowhere HTTP/1.1", 5, "HTTP/1.1 404 Not Found", "")
	f("POST /open/x HTTP/1.1", 200_000, "HTTP/1.1 413 Request Entity Too Large", "")
	if n.hits.Load() != before {
		t.Error("a refused request reached the upstream")
	}
}

// An upstream that has heard enough is listened to, whether it reads on or not.
func TestEarlyAnswer(t *testing.T) {
	n := large(t, "body_limit_bytes: 1000000000")
	n.with(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
	})
	conn, r := n.dial()
	fmt.Fprintf(conn, "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n")
	go func() { _, _ = io.Copy(conn, &zeros{500_000_000}) }()
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 403 || !resp.Close {
		t.Errorf("got %v, %v, want the upstream's 403 and a closed connection", resp, err)
	}
}

// Closing on a client that still sends would reset the connection, and take the
// answer with it.
func TestAnswerOutlivesTheBodyNobodyReads(t *testing.T) {
	n := large(t, "body_limit_bytes: 1000000")
	f := func(path string, declared, sent, status int) {
		t.Helper()
		conn, _ := n.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, declared, strings.Repeat("x", sent))
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", status)) {
			t.Errorf("%s, %d of %d bytes: got %.20q, %v", path, sent, declared, answer, err)
		}
	}
	f("/open/x", 2_000_000, 20_000, 413)
	f("/users/x", 900_000, 200_000, 401)
}

// Who asks before sending nothing at all is served.
func TestExpectWithoutBody(t *testing.T) {
	n := start(t, streamRoutes)
	conn, r := n.dial()
	fmt.Fprint(conn, "GET /open/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
	for _, want := range []int{100, 200} {
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != want {
			t.Fatalf("got %v, %v, want %d", resp, err, want)
		}
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	n := large(t, "body_limit_bytes: 1000000")
	n.with(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Answer")
		fmt.Fprint(w, strings.Repeat("x", 5000))
		w.(http.Flusher).Flush()
		w.Header().Set("X-Answer", r.Trailer.Get("X-Sum")+"|"+r.Trailer.Get("X-User-ID"))
	})
	f := func(path string, size int) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.Addr()+path, &zeros{int64(size)})
		req.ContentLength = -1
		req.Trailer = http.Header{"X-Sum": {"42"}, "X-User-Id": {"mallory"}}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || len(got) != 5000 || resp.Trailer.Get("X-Answer") != "42|" {
			t.Errorf("%s, %d bytes: got %d, %v, trailer %v", path, size, len(got), err, resp.Trailer)
		}
	}
	f("/open/x", 10)
	f("/open/x", 100_000)
	f("/live/x", 10)
}

// HTTP/1.0 knows no chunks: there the end of the connection ends the body.
func TestOldClientsGetUnchunkedStreams(t *testing.T) {
	n := large(t, "write_timeout_ms: 5000")
	n.with(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			fmt.Fprint(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	conn, _ := n.dial()
	fmt.Fprintf(conn, "GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n")
	all, err := io.ReadAll(conn)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || len(body) != 3000 || strings.Contains(head, "chunked") || !strings.HasPrefix(head, "HTTP/1.1 200") {
		t.Errorf("got %q and %d bytes, %v", head, len(body), err)
	}
}
