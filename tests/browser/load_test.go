package browser

import (
	"net/http"
	"sync"
	"time"
)

// load sends some requests a second to all nodes until stop is called.
func (c *cluster) load() (stop func()) {
	done := make(chan struct{})
	var sending sync.WaitGroup
	for i, node := range c.nodes {
		sending.Go(func() {
			turn := 0
			ticker := time.NewTicker(time.Duration(8+3*i) * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-done:
					return
				case <-ticker.C:
					turn++
					path := []string{"/users/1", "/users/2", "/catalog/7", "/search"}[turn%4]
					if resp, err := http.Get(node.URL(path)); err == nil {
						_ = resp.Body.Close()
					}
				}
			}
		})
	}
	return func() { close(done); sending.Wait() }
}
