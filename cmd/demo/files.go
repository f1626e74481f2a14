package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// files are the configurations of the nodes: each has a copy of the seed of its
// own, so that one of them can be made to differ.
type files struct {
	seed, dir string
	last      []byte // of the seed, as it was copied
}

func (f *files) of(number int) string {
	return filepath.Join(f.dir, fmt.Sprintf("node-%d.yaml", number))
}

// create makes the directory and the first copies.
func (f *files) create(nodes int) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("cannot create %s, choose another with -dir: %w", f.dir, err)
	}
	return f.spread(nodes)
}

// spread copies the seed to all nodes if it changed since it was copied. An empty
// seed is one that an editor is about to write.
func (f *files) spread(nodes int) error {
	text, err := os.ReadFile(f.seed)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", f.seed, err)
	}
	if len(text) == 0 || bytes.Equal(text, f.last) {
		return nil
	}
	for number := 1; number <= nodes; number++ {
		if err := replace(f.of(number), text); err != nil {
			return fmt.Errorf("cannot copy %s: %w", f.seed, err)
		}
	}
	f.last = text
	return nil
}

// replace never shows a half.
func replace(path string, text []byte) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
