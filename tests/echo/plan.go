package echo

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	resetBefore = "1"
	resetMid    = "mid"

	maxDelayMS = 600_000
	maxSize    = 256 << 20
	maxEvents  = 1_000_000
	maxFails   = 1_000_000
)

// plan is what a request asks to be played. Its zero value is a plain echo.
type plan struct {
	delay    time.Duration
	status   int // 0: not given
	fail     int
	reset    string
	size     int
	sized    bool // size was given: 0 is a size
	sse      int
	every    time.Duration
	close    bool
	trailers bool
}

func (p plan) fails() bool { return p.status != 0 || p.reset != "" || p.delay != 0 }

func (p plan) answerStatus() int {
	if p.status == 0 {
		return http.StatusOK
	}
	return p.status
}

// parsePlan reads query and headers. Its error names the parameter, what is
// allowed and what was given.
func parsePlan(r *http.Request) (plan, error) {
	in := params{r: r}
	p := plan{
		delay:    time.Duration(in.number("delay_ms", 0, maxDelayMS)) * time.Millisecond,
		status:   in.number("status", 200, 599),
		fail:     in.number("fail", 0, maxFails),
		reset:    in.choice("reset", resetBefore, resetMid),
		size:     in.number("size", 0, maxSize),
		sized:    in.value("size") != "",
		sse:      in.number("sse", 0, maxEvents),
		every:    time.Duration(in.number("every_ms", 0, maxDelayMS)) * time.Millisecond,
		close:    in.choice("close", "1") != "",
		trailers: in.choice("trailers", "1") != "",
	}
	return p, in.err
}

// params keeps the first error.
type params struct {
	r   *http.Request
	err error
}

func (in *params) value(name string) string {
	if v := in.r.URL.Query().Get(name); v != "" {
		return v
	}
	header := textproto.CanonicalMIMEHeaderKey("X-Echo-" + strings.ReplaceAll(name, "_", "-"))
	return in.r.Header.Get(header)
}

func (in *params) number(name string, low, high int) int {
	text := in.value(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		in.refuse("%s: must be a whole number from %d to %d, got %q", name, low, high, text)
		return 0
	}
	return n
}

func (in *params) choice(name string, allowed ...string) string {
	text := in.value(name)
	if text != "" && !slices.Contains(allowed, text) {
		in.refuse("%s: must be one of %s, got %q", name, strings.Join(allowed, ", "), text)
		return ""
	}
	return text
}

func (in *params) refuse(format string, args ...any) {
	if in.err == nil {
		in.err = fmt.Errorf(format, args...)
	}
}
