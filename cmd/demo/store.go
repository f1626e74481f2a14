package main

import (
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// store is the Redis that the nodes share. It keeps its data while stopped.
type store struct {
	addr   string
	server *miniredis.Miniredis
	up     bool
}

// startStore starts an empty one that tells the real time and forgets keys by
// it: buckets live on both.
func startStore(addr string) (*store, error) {
	s := &store{addr: addr, server: miniredis.NewMiniRedis()}
	s.server.ClockTTL(true)
	return s, s.start()
}

func (s *store) start() error {
	if s.up {
		return errors.New("redis is running already")
	}
	if err := s.server.StartAddr(s.addr); err != nil {
		return fmt.Errorf("cannot start redis on %s: %w", s.addr, err)
	}
	s.up = true
	return nil
}

// stop cuts off all clients and refuses new ones.
func (s *store) stop() error {
	if !s.up {
		return errors.New("redis is stopped already")
	}
	s.server.Close()
	s.up = false
	return nil
}
