package telemetry

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// A line may wait this long for company: at 10,000 requests a second that is 100 lines per write.
	flushDelay = 10 * time.Millisecond
	// The buffer holds lines of this size on average; longer ones make it hold fewer.
	lineBytes = 1 << 10
	// Lines on events find room when access lines have taken all theirs.
	eventReserve = 256
	// A buffer that a burst has grown beyond this is given back instead of kept.
	keepBytes = 256 << 10
)

// LogWriter writes log lines in the background and in batches, so that whoever logs never waits for the
// disk or the pipe behind it. When the writer falls behind by more than its buffer, lines are dropped and
// counted in gateway_log_dropped_total, as are lines that the writer failed to write. Lines keep their order.
// It is safe for concurrent use.
type LogWriter struct {
	out      io.Writer
	maxLines int
	dropped  prometheus.Counter

	wake    chan struct{} // there is something to write
	hurry   chan struct{} // the buffer is half full
	closing chan struct{}
	done    chan struct{}

	mu     sync.Mutex
	queue  batch
	closed bool
}

// batch is a run of whole lines.
type batch struct {
	text  []byte
	lines int
}

// NewLogWriter starts a writer with room for a number of lines (at least 1) of about 1 KiB. It ends with
// [LogWriter.Close]. It registers its counter and panics if reg has it already.
func NewLogWriter(w io.Writer, lines int, reg prometheus.Registerer) *LogWriter {
	l := &LogWriter{
		out:      w,
		maxLines: max(lines, 1),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gateway_log_dropped_total",
			Help: "Log lines that were dropped because the log could not be written fast enough or at all.",
		}),
		wake:    make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	reg.MustRegister(l.dropped)
	go l.run()
	return l
}

// Write queues one line, which is copied. It never blocks on the underlying writer and never fails: a line
// without room is counted and forgotten, because there is nobody who could do better with the error.
func (l *LogWriter) Write(line []byte) (int, error) {
	l.queueLine(line, l.maxLines)
	return len(line), nil
}

// Events returns a writer for lines on events. They go the same way but do not wait for company, and find a
// little room when access lines find none.
func (l *LogWriter) Events() io.Writer { return events{l} }

type events struct{ *LogWriter }

// Write queues one line like [LogWriter.Write].
func (e events) Write(line []byte) (int, error) {
	if e.queueLine(line, e.maxLines+eventReserve) {
		signal(e.hurry)
	}
	return len(line), nil
}

// queueLine reports whether there was room for the line among so many.
func (l *LogWriter) queueLine(line []byte, room int) bool {
	l.mu.Lock()
	if l.closed || l.queue.lines >= room || len(l.queue.text)+len(line) > room*lineBytes {
		l.mu.Unlock()
		l.dropped.Inc()
		return false
	}
	l.queue.text = append(l.queue.text, line...)
	l.queue.lines++
	lines := l.queue.lines
	l.mu.Unlock()
	if lines == 1 {
		signal(l.wake)
	}
	if lines == (l.maxLines+1)/2 {
		signal(l.hurry)
	}
	return true
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lastBatch is how long a batch that is being written when ctx ends may still take.
const lastBatch = 100 * time.Millisecond

// Close writes what is queued and stops. When ctx ends first, the lines that are still queued are counted
// as dropped and the error says how many; a write that hangs is left behind. Later writes are dropped and
// counted. It may be called more than once.
func (l *LogWriter) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	}
	left := l.take(batch{}).lines
	if left == 0 {
		select {
		case <-l.done:
			return nil // written while ctx ended
		case <-time.After(lastBatch):
		}
	}
	l.dropped.Add(float64(left))
	return fmt.Errorf("cannot flush the access log: %d lines left: %w", left, ctx.Err())
}

// run writes batches until closing, then what is left.
func (l *LogWriter) run() {
	defer close(l.done)
	var spare batch
	for open := true; open; {
		open = l.waitForLines()
		full := l.take(spare)
		l.flush(full)
		spare = full.reset()
	}
}

// waitForLines returns when a batch is due; false means it is the last one.
func (l *LogWriter) waitForLines() bool {
	select {
	case <-l.wake:
	case <-l.closing:
		return false
	}
	delay := time.NewTimer(flushDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-l.hurry:
	case <-l.closing:
		return false
	}
	return true
}

// take swaps the queue for an empty batch.
func (l *LogWriter) take(empty batch) batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.queue
	l.queue = empty
	return full
}

func (l *LogWriter) flush(b batch) {
	if b.lines == 0 {
		return
	}
	if _, err := l.out.Write(b.text); err != nil {
		l.dropped.Add(float64(b.lines)) // the log cannot carry the news of its own failure
	}
}

func (b batch) reset() batch {
	if cap(b.text) > keepBytes {
		return batch{}
	}
	return batch{text: b.text[:0]}
}
