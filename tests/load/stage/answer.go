package stage

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// answer is what has come of a response: its head, then only how much is missing.
type answer struct {
	head    []byte
	missing int // of the body; meaningful once the head is complete
	inBody  bool
}

var (
	headEnd    = []byte("\r\n\r\n")             //nolint:gochecknoglobals // a constant
	success    = []byte("HTTP/1.1 200 ")        //nolint:gochecknoglobals // a constant
	lengthName = []byte("\r\nContent-Length: ") //nolint:gochecknoglobals // a constant
)

// read takes what has arrived and reports whether the answer is complete.
func (w *wire) read(buf []byte) (complete bool, err error) {
	n, err := unix.Read(w.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, errors.New("connection closed")
	}
	return w.answer.take(buf[:n])
}

func (a *answer) take(b []byte) (complete bool, err error) {
	if !a.inBody {
		a.head = append(a.head, b...)
		end := bytes.Index(a.head, headEnd)
		if end < 0 {
			return false, nil
		}
		if a.missing, err = bodyLength(a.head[:end]); err != nil {
			return false, err
		}
		b = a.head[end+len(headEnd):]
		a.inBody = true
	}
	a.missing -= len(b)
	if a.missing < 0 {
		return false, errors.New("an answer longer than it said")
	}
	if a.missing > 0 {
		return false, nil
	}
	a.head, a.inBody = a.head[:0], false
	return true, nil
}

// bodyLength reads the head of an answer that must be a success of known length.
func bodyLength(head []byte) (int, error) {
	if !bytes.HasPrefix(head, success) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return 0, fmt.Errorf("answer %q is no success", line)
	}
	_, rest, found := bytes.Cut(head, lengthName)
	if !found {
		return 0, errors.New("an answer without Content-Length")
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return strconv.Atoi(string(digits))
}
