package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// measurement is what one proxy did in one round.
type measurement struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       float64 // µs per request, user and system, of the proxy alone
	rss       float64 // MiB, at the end
}

// measure loads one proxy and counts what that cost it.
func (s *stage) measure(ctx context.Context, p *peer, o options) (measurement, error) {
	args := []string{
		"-c", otherCore, "wrk", "-t1", fmt.Sprintf("-c%d", o.connections), fmt.Sprintf("-d%ds", o.seconds), "--latency",
	}
	if p.token {
		args = append(args, "-H", "Authorization: Bearer "+s.token)
	}
	before, err := cpuTime(p.pid)
	if err != nil {
		return measurement{}, err
	}
	out, err := exec.CommandContext(ctx, "taskset", append(args, "http://"+p.addr+"/api/x")...).Output()
	if err != nil {
		return measurement{}, fmt.Errorf("cannot run wrk: %w", err)
	}
	after, err := cpuTime(p.pid)
	if err != nil {
		return measurement{}, err
	}
	m, requests, err := parseWrk(string(out))
	if err != nil {
		return measurement{}, err
	}
	m.cpu = float64((after - before).Microseconds()) / requests
	m.rss, err = residentMiB(p.pid)
	return m, err
}

// parseWrk reads wrk's report. An answer that is not a success makes it worthless.
func parseWrk(report string) (m measurement, requests float64, err error) {
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
	m.perSecond, errs[0] = strconv.ParseFloat(find(`Requests/sec:\s+([\d.]+)`), 64)
	requests, errs[1] = strconv.ParseFloat(find(`(\d+) requests in`), 64)
	m.p50, errs[2] = time.ParseDuration(find(`(?m)^\s+50%\s+(\S+)`))
	m.p99, errs[3] = time.ParseDuration(find(`(?m)^\s+99%\s+(\S+)`))
	if err := errors.Join(errs[:]...); err != nil {
		return m, 0, fmt.Errorf("cannot read wrk's report: %w", err)
	}
	return m, requests, nil
}

// cpuTime is a process' own, user and system.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read %q", text)
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

const tick = 10 * time.Millisecond // Linux counts in hundredths of a second

func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	if !found {
		return 0, errors.New("no VmRSS in /proc")
	}
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kib / 1024, err
}
