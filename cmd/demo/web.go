package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	closeTimeout  = time.Second // for requests under way
)

// web is an HTTP server on an address of its own.
type web struct {
	server  *http.Server
	serving sync.WaitGroup
}

// serve starts answering at once. Faults of single connections go to log.
func serve(addr string, handler http.Handler, faults io.Writer) (*web, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	w := &web{server: &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(faults, "", log.LstdFlags),
	}}
	w.serving.Go(func() { _ = w.server.Serve(l) }) // ends by close alone
	return w, nil
}

// close cuts off what has not ended after a second, and waits.
func (w *web) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		_ = w.server.Close() // nothing more can be done about it
	}
	w.serving.Wait()
}
