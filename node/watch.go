package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle     = 50 * time.Millisecond // editors write in several steps
	settleMost = time.Second           // something else may write beside the file for ever
)

// watch reloads once the configuration and what is beside it have been left
// alone for a moment after a change. It returns when ctx ends.
func (n *Node) watch(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var changed time.Time // of the first change that was not looked at; zero: none
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-n.watcher.Events:
			if isTemp(e.Name) {
				continue
			}
		case err := <-n.watcher.Errors:
			n.logger.Warn().Err(err).Msg("watching the configuration failed, SIGHUP still reloads")
		case <-timer.C:
			changed = time.Time{}
			_ = n.watcher.Add(n.path) // a replaced file is another one to watch
			_ = n.Reload()            // logged and counted there
			continue
		}
		if changed.IsZero() {
			changed = time.Now()
		}
		timer.Reset(min(settle, time.Until(changed.Add(settleMost))))
	}
}

// newWatcher watches the directory, since editors replace files and Kubernetes
// swaps a symlink beside them, and the file itself, since a file that is mounted
// alone into a container changes without its directory noticing.
func newWatcher(path string) (*fsnotify.Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch for configuration changes: %w", err)
	}
	for _, watched := range []string{filepath.Dir(path), path} {
		if err := watcher.Add(watched); err != nil {
			_ = watcher.Close()
			return nil, fmt.Errorf("cannot watch %s: %w", watched, err)
		}
	}
	return watcher, nil
}
