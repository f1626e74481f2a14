package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

const (
	minPassphrase = 16 // bytes
	maxKeys       = 8  // a packet under an unknown key is tried with each
)

// Keys are the secrets of a cluster's gossip, the one to send with first. Each
// is either 16, 24 or 32 bytes in standard base64, used as they are, or any
// other text of at least 16 bytes, whose SHA-256 is the key. There are at most
// 8. No error and no log line holds one.
type Keys []string

// OneOrMany says that a configuration may write a lone key without brackets.
func (Keys) OneOrMany() {}

// check reports every key that cannot be used, by its place in the list.
func (k Keys) check() error {
	if len(k) > maxKeys {
		return fmt.Errorf("secret_key: must be at most %d keys, got %d", maxKeys, len(k))
	}
	var errs []error
	for i, secret := range k {
		path := "secret_key"
		if len(k) > 1 {
			path = fmt.Sprintf("secret_key[%d]", i)
		}
		if _, err := aesKey(secret); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// aes returns what the library takes; the first is the one to send with.
func (k Keys) aes() ([][]byte, error) {
	var out [][]byte
	for i, secret := range k {
		key, err := aesKey(secret)
		if err != nil {
			return nil, fmt.Errorf("cannot use key %d: %w", i, err)
		}
		out = append(out, key)
	}
	return out, nil
}

// aesKey names the length only in its error.
func aesKey(secret string) ([]byte, error) {
	if raw, err := base64.StdEncoding.DecodeString(secret); err == nil {
		switch len(raw) {
		case 16, 24, 32:
			return raw, nil
		}
	}
	if len(secret) < minPassphrase {
		return nil, fmt.Errorf("must be 16, 24 or 32 bytes in base64 or a text of at least %d bytes, got a text of %d",
			minPassphrase, len(secret))
	}
	sum := sha256.Sum256([]byte(secret))
	return sum[:], nil
}

// ErrNoKeyring is returned by Peer.UseKeys where gossip runs without a key, or
// would from now on: a running cluster cannot begin or cease to encrypt.
var ErrNoKeyring = errors.New("gossip cannot begin or cease to be encrypted while it runs")

// UseKeys replaces the keys of the running gossip: from now on the first is used
// to send and all are accepted. Connections under way are not disturbed.
//
// To replace a key without a member refusing another, take three steps and wait
// after each until every member has taken it: accept the new key ([old, new]),
// send with it ([new, old]), forget the old one ([new]).
//
// In a cluster of one without sockets it does nothing.
func (p *Peer) UseKeys(keys Keys) error {
	if p.place.Load() == nil {
		return nil
	}
	wanted, err := keys.aes()
	if err != nil {
		return err
	}
	if (p.keys == nil) != (len(wanted) == 0) {
		return ErrNoKeyring
	}
	if p.keys == nil {
		return nil
	}
	p.rotating.Lock()
	defer p.rotating.Unlock()
	if same(p.keys.GetKeys(), wanted) {
		return nil
	}
	if err := rotate(p.keys, wanted); err != nil {
		return err
	}
	p.log.Info().Int("accepted", len(p.keys.GetKeys())).Msg("gossip keys replaced")
	return nil
}

// same reports whether both begin with one key and hold the same others.
func same(a, b [][]byte) bool {
	missing := func(k []byte) bool { return !contains(b, k) }
	return len(a) == len(b) && bytes.Equal(a[0], b[0]) && !slices.ContainsFunc(a, missing)
}

// rotate leaves exactly the wanted keys in the ring. The library removes a key
// by moving those behind it in a list that its receivers may be reading, so only
// the last one can be removed safely: those that stay go before those that leave.
func rotate(ring *memberlist.Keyring, wanted [][]byte) error {
	before := ring.GetKeys()
	leaves := func(key []byte) bool { return !contains(wanted, key) }
	if slices.ContainsFunc(before, leaves) {
		for _, key := range slices.DeleteFunc(slices.Clone(before), leaves) {
			if err := ring.UseKey(key); err != nil {
				return fmt.Errorf("cannot keep a key: %w", err)
			}
		}
	}
	if err := errors.Join(ring.AddKey(wanted[0]), ring.UseKey(wanted[0])); err != nil {
		return fmt.Errorf("cannot use the first key: %w", err)
	}
	for _, key := range slices.Backward(ring.GetKeys()) {
		if !leaves(key) {
			continue
		}
		if err := ring.RemoveKey(key); err != nil {
			return fmt.Errorf("cannot forget a key: %w", err)
		}
	}
	for _, key := range wanted {
		if err := ring.AddKey(key); err != nil {
			return fmt.Errorf("cannot accept a key: %w", err)
		}
	}
	return nil
}

func contains(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// newRing returns nil where there is no key.
func newRing(keys Keys) (*memberlist.Keyring, error) {
	wanted, err := keys.aes()
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	return memberlist.NewKeyring(wanted, wanted[0])
}
