package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// silence is how long no answer may come and no request fall due.
const silence = 10 * time.Second

// sender is one thread that waits for its clock and its connections at once: a
// scheduler in between would add its own delays to what is measured.
type sender struct {
	load   *Load
	epoll  int
	clock  int // a timer that expires whenever a request falls due
	conns  map[int]*wire
	idle   []*wire
	due    []time.Time // of requests that no connection was free for
	start  time.Time
	fallen int // requests that have fallen due
	sent   int
	buf    []byte
	took   []time.Duration
}

// wire is one connection.
type wire struct {
	fd     int
	due    time.Time // of the request that is on it
	answer answer
}

func newSender(l *Load) (*sender, error) {
	s := &sender{load: l, conns: map[int]*wire{}, buf: make([]byte, 0, 4096), took: make([]time.Duration, 0, l.Requests)}
	var err error
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if s.clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		_ = unix.Close(s.epoll)
		return nil, err
	}
	err = s.watch(s.clock)
	for i := 0; i < l.Connections && err == nil; i++ {
		err = s.connect(l.Addrs[i%len(l.Addrs)])
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sender) close() {
	for fd := range s.conns {
		_ = unix.Close(fd)
	}
	_ = unix.Close(s.clock)
	_ = unix.Close(s.epoll)
}

func (s *sender) watch(fd int) error {
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (s *sender) connect(addr string) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w := &wire{fd: fd}
	s.conns[fd] = w
	s.idle = append(s.idle, w)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("cannot connect to %s: %w", addr, err)
	}
	return errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), s.watch(fd))
}

func (s *sender) run(ctx context.Context, start time.Time) error {
	s.start = start
	if err := s.begin(); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 256)
	for len(s.took) < s.load.Requests {
		n, err := unix.EpollWait(s.epoll, events, int(silence.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("no answer for %s", silence)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		for _, e := range events[:n] {
			if err := s.handle(int(e.Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin starts the clock, or without a rate lets all requests fall due at once for
// as many connections as there are.
func (s *sender) begin() error {
	if s.load.Rate == 0 {
		return s.fall(min(len(s.idle), s.load.Requests))
	}
	gap := unix.NsecToTimespec(int64(s.gap()))
	return unix.TimerfdSettime(s.clock, 0, &unix.ItimerSpec{Interval: gap, Value: gap}, nil)
}

func (s *sender) gap() time.Duration { return time.Duration(float64(time.Second) / s.load.Rate) }

func (s *sender) handle(fd int) error {
	if fd == s.clock {
		var expired [8]byte
		if _, err := unix.Read(fd, expired[:]); err != nil {
			return err
		}
		return s.fall(int(binary.NativeEndian.Uint64(expired[:])))
	}
	w := s.conns[fd]
	complete, err := w.read(s.buf[:cap(s.buf)])
	if err != nil || !complete {
		return err
	}
	s.took = append(s.took, time.Since(w.due))
	s.load.answered.Store(int64(len(s.took)))
	s.idle = append(s.idle, w)
	if s.load.Rate == 0 && s.fallen < s.load.Requests {
		return s.fall(1)
	}
	return s.sendDue()
}

// fall lets n more requests fall due.
func (s *sender) fall(n int) error {
	now := time.Now()
	for ; n > 0 && s.fallen < s.load.Requests; n-- {
		s.fallen++
		due := now
		if s.load.Rate > 0 {
			due = s.start.Add(time.Duration(s.fallen) * s.gap())
		}
		s.due = append(s.due, due)
	}
	return s.sendDue()
}

// sendDue sends what is due as long as a connection is free, the one free for longest first.
func (s *sender) sendDue() error {
	for len(s.due) > 0 && len(s.idle) > 0 {
		w := s.idle[0]
		s.idle = s.idle[1:]
		w.due, s.due = s.due[0], s.due[1:]
		request := s.load.Append(s.buf[:0], s.sent)
		s.sent++
		if n, err := unix.Write(w.fd, request); err != nil || n < len(request) {
			return fmt.Errorf("sent %d bytes of %d: %w", n, len(request), err)
		}
	}
	return nil
}
