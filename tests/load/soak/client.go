package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const clientLimit = 20 * time.Second

// visit asks once on a connection of its own and returns the body.
func visit(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: clientLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return string(body), err
}

// listen follows a stream of five events to its end.
func listen(ctx context.Context, addr string) error {
	const events = 5
	body, err := visit(ctx, "http://"+addr+"/streams/events?sse=5&every_ms=100")
	if got := strings.Count(body, "data:"); err == nil && got != events {
		err = fmt.Errorf("got %d events, want %d", got, events)
	}
	return err
}

const (
	upgrade = "GET /streams/ws HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	// A text frame and a close frame under a mask of zeros, and what comes back.
	frames    = "\x81\x85\x00\x00\x00\x00hello\x88\x80\x00\x00\x00\x00"
	framesEnd = "\x81\x05hello\x88\x00"
)

// talk opens a WebSocket, sends a word, hears it and closes.
func talk(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(clientLimit)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, upgrade); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("a WebSocket is answered %s", resp.Status)
	}
	if _, err := io.WriteString(conn, frames); err != nil {
		return err
	}
	got := make([]byte, len(framesEnd))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != framesEnd {
		return fmt.Errorf("a WebSocket returns %q, want %q", got, framesEnd)
	}
	return nil
}
