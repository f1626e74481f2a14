package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMethods(t *testing.T) {
	j := newJudge(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		j.check(question{method: method})
		if method != "HEAD" {
			j.check(question{method: method, body: "with a body", header: []string{"Content-Type: text/plain"}})
		}
	}
	j.check(question{method: "TRACE"})
}

func TestTargets(t *testing.T) {
	j := newJudge(t)
	for _, target := range []string{
		"/", "/a", "/a/", "/a/b/c", "/a.b", "/.well-known/x", "/a-b_c~d", "/a:b", "/a@b", "/a!b$c&d'e(f)g*h+i,j=k",
		"/a%20b", "/%E2%82%AC", "/%25", "/a;b=c", "/a;b/c;d", "/...", "/" + strings.Repeat("long/", 400),
		"/?", "/?a", "/?a=", "/?a=1&b=2", "/?a=1&a=2", "/?a=%2F%2e", "/?a+b=c+d", "/?a=http://b/c?d", "/?a=%zz", "/?a=[1]",
		"/?a=1;b=2", "/a?/../b", "/?" + strings.Repeat("a=1&", 1000),
	} {
		j.check(question{target: target})
	}
}

func TestRequestHeaders(t *testing.T) {
	j := newJudge(t)
	for _, header := range [][]string{
		{"Accept: text/html, application/json;q=0.9"},
		{"Accept-Encoding: gzip, br"},
		{"Accept-Language: de"},
		{"Authorization: Basic dTpw"},
		{"Authorization: Bearer a.b.c"},
		{"Cache-Control: no-cache"},
		{"Cookie: a=1"},
		{"Cookie: a=1; b=2; c"},
		{`Cookie: j={"a":1}`},
		{"Content-Language: en"},
		{"Expires: 0"},
		{"From: a@b.example"},
		{"If-Match: \"a\", W/\"b\""},
		{"If-None-Match: *"},
		{"Origin: https://app.example"},
		{"Pragma: no-cache"},
		{"Range: bytes=0-4"},
		{"Referer: https://a.example/b?c=d"},
		{"User-Agent: "},
		{"User-Agent: Mozilla/5.0 (X11; Linux x86_64)"},
		{"X-Empty: "},
		{"X-Many: 1", "X-Many: 2", "X-Many: 3"},
		{"X-Long: " + strings.Repeat("x", 8000)},
		{"X-UTF8: grüße"},
		{"X-Quote: \"a\\\"b\""},
		{"X-Comma: a, b,, c"},
		{"X!#$%&'*+.^`|~: token"},
		{"Max-Forwards: 3"},
		{"Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin"},
		{"Priority: u=1"},
		{"Early-Data: 1"},
		{"Via: 1.0 fred"},
	} {
		j.check(question{header: header})
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("X-Number-%d: %d", i, i))
	}
	j.check(question{header: many})
}

func TestRequestBodies(t *testing.T) {
	j := newJudge(t)
	for _, size := range []int{1, 100, 4096, 8191, 8192, 8193, 65_536, 1_000_000} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for _, method := range []string{"POST", "PUT"} {
			j.check(question{method: method, body: body})
			j.check(question{method: method, body: body, chunked: true})
		}
	}
	j.check(question{method: "POST", chunked: true})
	j.check(question{method: "GET", chunked: true, body: "a body with GET"})
	j.check(question{method: "DELETE", chunked: true, body: "a body with DELETE"})
	j.check(question{method: "POST", chunked: true, body: "x", trailer: []string{"X-Sum: 1"}})
	j.check(question{method: "POST", chunked: true, body: strings.Repeat("x", 100_000), trailer: []string{"X-Sum: 1", "X-Other: 2"}})
	for _, kind := range []string{
		"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/octet-stream", "text/plain; charset=utf-8",
	} {
		j.check(question{method: "POST", header: []string{"Content-Type: " + kind}, body: "--b\r\nX-Part: 1\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--b--\r\n"})
	}
	j.check(question{method: "POST", header: []string{"Content-Encoding: gzip"}, body: "\x1f\x8bnot really"})
	j.check(question{method: "POST", header: []string{"Expect: 100-continue"}, body: "asked for"})
	j.check(question{method: "POST", header: []string{"Digest: sha-256=x"}, body: "\x00\x01\xff\r\n\r\n"})
}

func TestStatuses(t *testing.T) {
	j := newJudge(t)
	for _, status := range []int{
		200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
		421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 599, 799,
	} {
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Status", fmt.Sprint(status))
			w.WriteHeader(status)
			if status != 204 && status != 304 {
				_, _ = fmt.Fprint(w, "status ", status)
			}
		}})
	}
	for _, status := range []int{200, 204, 304, 404} {
		j.check(question{method: "HEAD", answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }})
	}
}

func TestResponseHeaders(t *testing.T) {
	j := newJudge(t)
	for _, header := range [][]string{
		{"Set-Cookie: a=1; Path=/; HttpOnly", "Set-Cookie: b=2; Secure", "Set-Cookie: a=3; Path=/x"},
		{"Set-Cookie: odd"},
		{"Vary: Accept", "Vary: Accept-Encoding"},
		{"Www-Authenticate: Basic realm=\"a\"", "Www-Authenticate: Bearer"},
		{"Link: </a>; rel=next", "Link: </b>; rel=prev"},
		{"Etag: W/\"weak\""},
		{"Location: /relative?a=b#c"},
		{"Location: https://other.example/x"},
		{"Content-Encoding: gzip"},
		{"Content-Type: application/problem+json"},
		{"Content-Type: "},
		{"Content-Disposition: attachment; filename*=UTF-8''%e2%82%ac"},
		{"Cache-Control: private", "Cache-Control: max-age=1"},
		{"Server: another/1.0"},
		{"Accept-Ranges: bytes"},
		{"Access-Control-Allow-Origin: *"},
		{"Strict-Transport-Security: max-age=1"},
		{"X-Empty: "},
		{"X-Many: 1", "X-Many: 2"},
		{"X-UTF8: grüße"},
		{"X-Long: " + strings.Repeat("x", 10_000)},
		{"Retry-After: 3"},
		{"Age: 10"},
		{"Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT"},
		{"Alt-Svc: h3=\":443\""},
		{"Refresh: 5"},
		{"Server-Timing: db;dur=53"},
		{"Content-Language: de, en"},
	} {
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			add(w.Header(), header)
			_, _ = io.WriteString(w, "hello")
		}})
	}
}

func TestResponseBodies(t *testing.T) {
	j := newJudge(t)
	for _, size := range []int{0, 1, 2047, 2048, 4096, 65_535, 65_536, 65_537, 1_000_000} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for _, method := range []string{"GET", "HEAD"} {
			j.check(question{method: method, answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(body)
			}})
			j.check(question{method: method, answer: func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				_, _ = w.Write(body)
			}})
		}
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(body)
		}})
	}
	for _, size := range []int{10, 100_000} {
		j.check(question{header: []string{"Te: trailers"}, answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-Late")
			_, _ = io.WriteString(w, strings.Repeat("x", size))
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "1")
			w.Header().Set("X-Late", "2")
		}})
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", size))
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Unannounced", "1")
		}})
	}
	for _, pieces := range []int{1, 3, 50} {
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			for i := range pieces {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
			}
		}})
	}
	// A body that breaks off must break off for the client too. (How it says so
	// depends on the framing, which is the same.)
	for _, length := range []string{"100000", ""} {
		j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			_, _ = io.WriteString(w, "the beginning")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}})
	}
	j.check(question{answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "after an interim answer")
	}})
}

func TestRangesAndConditions(t *testing.T) {
	j := newJudge(t)
	content := strings.NewReader(strings.Repeat("0123456789", 20_000))
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", modified, content)
	}
	for _, header := range [][]string{
		nil,
		{"Range: bytes=0-9"},
		{"Range: bytes=10-"},
		{"Range: bytes=-5"},
		{"Range: bytes=0-199999"},
		{"Range: bytes=300000-"},
		{"Range: bytes=5-1"},
		{"Range: lines=1-2"},
		{"Range: bytes=0-9", `If-Range: "v1"`},
		{"Range: bytes=0-9", `If-Range: "v0"`},
		{`If-None-Match: "v1"`},
		{`If-None-Match: "v0"`},
		{`If-Match: "v0"`},
		{"If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT"},
		{"If-Unmodified-Since: Mon, 01 Jan 2024 00:00:00 GMT"},
	} {
		j.check(question{header: header, answer: serve})
		j.check(question{method: "HEAD", header: header, answer: serve})
	}
}

// What a client cannot see of the upstream: that it is old, closes, or says more
// than its answer.
func TestUpstreamsOfAnotherKind(t *testing.T) {
	f := func(response string, wantStatus int, wantBody string) {
		t.Helper()
		addr := startNode(t, fmt.Sprintf(settings, "http://"+serveRaw(t, response)))
		client := &http.Transport{}
		defer client.CloseIdleConnections()
		for range 2 { // the connection to the gateway must outlast the answer
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/", nil)
			resp, err := client.RoundTrip(req)
			if err != nil {
				t.Fatalf("%q: %v", response, err)
			}
			body, failure := digest(resp.Body)
			_ = resp.Body.Close()
			if resp.Proto != "HTTP/1.1" || resp.StatusCode != wantStatus || wantStatus == 200 && body != wantBody || failure != "" || resp.Close {
				t.Errorf("%q: got %s %d %q, %s, close %v", response, resp.Proto, resp.StatusCode, body, failure, resp.Close)
			}
		}
	}
	f("HTTP/1.0 200 OK\r\n\r\nold", 200, "old")
	f("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", 200, "old")
	f("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end")
	f("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", 200, "ok")
	f("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok")
	f("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", 502, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502, "")
	f("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 502, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 502, "")
	f("HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, "")
	f("SSH-2.0-OpenSSH\r\n\r\n", 502, "")
	f("", 502, "")
}
