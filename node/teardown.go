package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// teardown is a stack of named steps, pushed next to what they undo and run in
// reverse. The zero value is ready; it is not safe for concurrent use.
type teardown struct {
	steps []step
}

type step struct {
	name string
	undo func(ctx context.Context) error
}

func (t *teardown) push(name string, undo func(ctx context.Context) error) {
	t.steps = append(t.steps, step{name, undo})
}

// run undoes everything, the last first, and empties the stack. A failing step
// does not keep the others from running.
func (t *teardown) run(ctx context.Context) error {
	var errs []error
	for _, s := range slices.Backward(t.steps) {
		if err := s.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("cannot stop %s: %w", s.name, err))
		}
	}
	t.steps = nil
	return errors.Join(errs...)
}
