package stage

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Measurement is what a process did under load.
type Measurement struct {
	PerSecond float64
	P50, P99  time.Duration
	CPU       float64 // µs per request, user and system, of the process alone
	Kernel    float64 // µs of it, system
	RSS       float64 // MiB, at the end
}

// Wrk loads what listens with wrk, as its arguments say, and counts what that cost
// the process.
func Wrk(ctx context.Context, pid int, args ...string) (Measurement, error) {
	user, system, err := CPUTimes(pid)
	if err != nil {
		return Measurement{}, err
	}
	out, err := exec.CommandContext(ctx, "taskset", append([]string{"-c", OtherCore, "wrk", "-t1", "--latency"}, args...)...).Output()
	if err != nil {
		return Measurement{}, fmt.Errorf("cannot run wrk: %w", err)
	}
	userAfter, systemAfter, err := CPUTimes(pid)
	if err != nil {
		return Measurement{}, err
	}
	m, requests, err := parseWrk(string(out))
	if err != nil {
		return Measurement{}, err
	}
	m.Kernel = float64((systemAfter - system).Microseconds()) / requests
	m.CPU = m.Kernel + float64((userAfter-user).Microseconds())/requests
	m.RSS, err = ResidentMiB(pid)
	return m, err
}

// parseWrk reads wrk's report. An answer that is not a success makes it worthless.
func parseWrk(report string) (m Measurement, requests float64, err error) {
	find := func(pattern string) string {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(report); found != nil {
			return found[1]
		}
		return ""
	}
	if bad := find(`Non-2xx or 3xx responses: (\d+)`); bad != "" {
		return m, 0, fmt.Errorf("%s answers were no success", bad)
	}
	if lost := find(`Socket errors: (.*)`); lost != "" {
		return m, 0, fmt.Errorf("socket errors: %s", lost)
	}
	var errs [4]error
	m.PerSecond, errs[0] = strconv.ParseFloat(find(`Requests/sec:\s+([\d.]+)`), 64)
	requests, errs[1] = strconv.ParseFloat(find(`(\d+) requests in`), 64)
	m.P50, errs[2] = time.ParseDuration(find(`(?m)^\s+50%\s+(\S+)`))
	m.P99, errs[3] = time.ParseDuration(find(`(?m)^\s+99%\s+(\S+)`))
	if err := errors.Join(errs[:]...); err != nil {
		return m, 0, fmt.Errorf("cannot read wrk's report: %w", err)
	}
	return m, requests, nil
}
