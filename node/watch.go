package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be left alone before it is read: editors write
// in several steps.
const settle = 50 * time.Millisecond

// watch reloads whenever something changes in the configuration's directory. It
// watches the directory, not the file: editors replace files and Kubernetes
// swaps a symlink beside it. It returns when ctx ends.
func (n *Node) watch(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.watcher.Events:
			timer.Reset(settle)
		case err := <-n.watcher.Errors:
			n.logger.Warn().Err(err).Msg("watching the configuration failed, SIGHUP still reloads")
			timer.Reset(settle)
		case <-timer.C:
			_ = n.Reload() // logged and counted there
		}
	}
}

func newWatcher(path string) (*fsnotify.Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch for configuration changes: %w", err)
	}
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		_ = watcher.Close()
		return nil, fmt.Errorf("cannot watch %s: %w", filepath.Dir(path), err)
	}
	return watcher, nil
}
