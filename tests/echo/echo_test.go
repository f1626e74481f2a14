package echo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func start(t *testing.T) (*Server, *httptest.Server) {
	t.Helper()
	s := New("one")
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web
}

func send(t *testing.T, method, url, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("cannot %s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read answer of %s %s: %v", method, url, err)
	}
	return resp, data
}

func TestEcho(t *testing.T) {
	_, web := start(t)
	resp, data := send(t, "PUT", web.URL+"/a%2Fb/../c?x=1&x=2", "hello", "X-Two", "1", "X-Two", "2")
	var got Answer
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("cannot decode %q: %v", data, err)
	}
	want := Answer{
		Name: "one", Method: "PUT", Path: "/a/b/../c", URI: "/a%2Fb/../c?x=1&x=2", Proto: "HTTP/1.1",
		Host: strings.TrimPrefix(web.URL, "http://"), Remote: got.Remote, Query: map[string][]string{"x": {"1", "2"}},
		Headers: map[string][]string{
			"X-Two": {"1", "2"}, "Content-Length": {"5"}, "User-Agent": {"Go-http-client/1.1"}, "Accept-Encoding": {"gzip"},
		},
		Body: "hello", BodyBytes: 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer differs (-want +got):\n%s", diff)
	}
	if resp.StatusCode != 200 || got.Remote == "" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got status %d, remote %q, type %q", resp.StatusCode, got.Remote, resp.Header.Get("Content-Type"))
	}
}

func TestEchoBody(t *testing.T) {
	_, web := start(t)
	f := func(body, wantBody, wantEncoding string, wantBytes int64) {
		t.Helper()
		_, data := send(t, "POST", web.URL, body)
		var got Answer
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Body != wantBody || got.BodyEncoding != wantEncoding || got.BodyBytes != wantBytes {
			t.Errorf("got %d bytes as %q, %d sent; want %d as %q, %d sent",
				len(got.Body), got.BodyEncoding, got.BodyBytes, len(wantBody), wantEncoding, wantBytes)
		}
	}
	f("", "", "", 0)
	f("grüße", "grüße", "", 7)
	f("\xff\x00", "/wA=", "base64", 2)
	f(strings.Repeat("x", maxBody+3), strings.Repeat("x", maxBody), "", maxBody+3)
}

func TestStatusAndSize(t *testing.T) {
	_, web := start(t)
	f := func(query string, wantStatus, wantSize int, headers ...string) {
		t.Helper()
		resp, data := send(t, "GET", web.URL+"/?"+query, "", headers...)
		if resp.StatusCode != wantStatus || wantSize >= 0 && len(data) != wantSize {
			t.Errorf("%s: got status %d, %d bytes; want %d, %d", query, resp.StatusCode, len(data), wantStatus, wantSize)
		}
	}
	f("status=503", 503, -1)
	f("status=204", 204, 0)
	f("size=0", 200, 0)
	f("size=100000", 200, 100000)
	f("size=7&status=500", 500, 7)
	f("delay_ms=1", 200, -1)
	f("", 418, -1, "X-Echo-Status", "418")
	f("status=502", 502, -1, "X-Echo-Status", "418")
}

func TestBadParameters(t *testing.T) {
	_, web := start(t)
	f := func(query, want string) {
		t.Helper()
		resp, data := send(t, "GET", web.URL+"/?"+query, "")
		var got struct{ Error string }
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 400 || got.Error != want {
			t.Errorf("%s: got %d %q, want 400 %q", query, resp.StatusCode, got.Error, want)
		}
	}
	f("delay_ms=-1", `delay_ms: must be a whole number from 0 to 600000, got "-1"`)
	f("status=101", `status: must be a whole number from 200 to 599, got "101"`)
	f("fail=many", `fail: must be a whole number from 0 to 1000000, got "many"`)
	f("reset=yes", `reset: must be one of 1, mid, got "yes"`)
	f("size=9999999999", `size: must be a whole number from 0 to 268435456, got "9999999999"`)
	f("sse=x", `sse: must be a whole number from 0 to 1000000, got "x"`)
	f("sse=1&every_ms=1.5", `every_ms: must be a whole number from 0 to 600000, got "1.5"`)
	f("close=0", `close: must be one of 1, got "0"`)
	f("trailers=0", `trailers: must be one of 1, got "0"`)
}

func TestReset(t *testing.T) {
	_, web := start(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	_, err := client.Post(web.URL+"/?reset=1", "", nil)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset=1: got error %v, want a reset connection", err)
	}
	resp, err := client.Post(web.URL+"/?reset=mid", "", nil)
	if err != nil {
		t.Fatalf("reset=mid: got error %v, want the beginning of an answer", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil || resp.ContentLength <= int64(len(data)) {
		t.Errorf("reset=mid: got %d bytes of %d and error %v, want less than all and an error", len(data), resp.ContentLength, err)
	}
}

func TestFailThenSucceed(t *testing.T) {
	s, web := start(t)
	var got []int
	for _, url := range []string{"/a?fail=2", "/a?fail=2", "/b?fail=1&status=500", "/a?fail=2", "/b?fail=1&status=500"} {
		resp, _ := send(t, "GET", web.URL+url, "", "X-Request-Id", "same")
		got = append(got, resp.StatusCode)
	}
	if diff := cmp.Diff([]int{503, 503, 500, 200, 200}, got); diff != "" {
		t.Errorf("statuses differ (-want +got):\n%s", diff)
	}
	counts := []int{s.Count(), s.CountPath("/a"), s.CountPath("/b"), s.CountID("same"), s.CountID("other")}
	if diff := cmp.Diff([]int{5, 3, 2, 5, 0}, counts); diff != "" {
		t.Errorf("counts differ (-want +got):\n%s", diff)
	}
}

func TestFailSwitch(t *testing.T) {
	s, web := start(t)
	f := func(method, path string, want int) {
		t.Helper()
		if resp, data := send(t, method, web.URL+path, ""); resp.StatusCode != want {
			t.Errorf("%s %s: got status %d (%s), want %d", method, path, resp.StatusCode, data, want)
		}
	}
	f("GET", "/x", 200)
	f("POST", "/_fail", 400)
	f("POST", "/_fail?status=9", 400)
	f("GET", "/_fail?status=503", 405)
	f("GET", "/x", 200)
	f("POST", "/_fail?status=503", 200)
	f("GET", "/x", 503)
	f("GET", "/x?status=201", 503)
	f("GET", "/health", 200)
	f("POST", "/_heal", 200)
	f("GET", "/x", 200)
	if got := s.Count(); got != 5 {
		t.Errorf("got count %d, want 5: the switches must not count", got)
	}
}

func TestStream(t *testing.T) {
	_, web := start(t)
	resp, data := send(t, "GET", web.URL+"/?sse=3&every_ms=1", "")
	want := "id: 1\ndata: {\"name\":\"one\",\"n\":1}\n\nid: 2\ndata: {\"name\":\"one\",\"n\":2}\n\nid: 3\ndata: {\"name\":\"one\",\"n\":3}\n\n"
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("got type %q, want text/event-stream", got)
	}
}

// The first event must not wait for the second, which never comes.
func TestStreamFlushes(t *testing.T) {
	_, web := start(t)
	resp, err := http.Get(web.URL + "/?sse=2&every_ms=600000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("id: 1\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "id: 1\n" {
		t.Errorf("got %q, %v, want the first event", first, err)
	}
}

func TestCloseAndTrailers(t *testing.T) {
	_, web := start(t)
	resp, _ := send(t, "GET", web.URL+"/?close=1", "")
	if !resp.Close {
		t.Error("close=1: got a connection to keep, want Connection: close")
	}
	resp, _ = send(t, "POST", web.URL+"/?trailers=1", "four")
	want := http.Header{"X-Echo-Name": {"one"}, "X-Echo-Body-Bytes": {"4"}}
	if diff := cmp.Diff(want, resp.Trailer); diff != "" {
		t.Errorf("trailers differ (-want +got):\n%s", diff)
	}
}

func TestDelayEndsWithClient(t *testing.T) {
	s := New("one")
	left := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		close(left)
	}))
	defer web.Close()
	client := &http.Client{Timeout: 20 * time.Millisecond}
	if _, err := client.Get(web.URL + "/?delay_ms=600000"); err == nil {
		t.Fatal("got an answer, want a timeout")
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("the handler still waits for a client that is gone")
	}
}

func BenchmarkEcho(b *testing.B) {
	s := New("one")
	body := bytes.Repeat([]byte("x"), 256)
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/api/users?x=1", bytes.NewReader(body)))
	}
}
