package auth

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // one verification costs the square of it
	maxKeys    = 64   // in one file or answer
	maxTries   = 8    // keys that a token without a kid is tried with
)

// key is one verification key with the algorithms it is pinned to.
type key struct {
	id         string // the kid; "": any
	algorithms []string
	material   any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// newKey pins a public key to the algorithms of its family, or to the one its owner names for it.
func newKey(id, algorithm string, material any) (key, error) {
	if err := checkStrength(material); err != nil {
		return key{}, err
	}
	allowed := familyOfKey(material).algorithms()
	if algorithm != "" {
		if !slices.Contains(allowed, algorithm) {
			return key{}, fmt.Errorf("names the algorithm %.20q, which such a key has not", algorithm)
		}
		allowed = []string{algorithm}
	}
	return key{id: id, algorithms: allowed, material: material}, nil
}

// checkStrength refuses keys that prove nothing: too short, broken, or of an unknown kind.
func checkStrength(material any) error {
	switch k := material.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("is an RSA key of %d bits, allowed: %d to %d", bits, minRSABits, maxRSABits)
		}
		if k.E < 3 || k.E%2 == 0 {
			return fmt.Errorf("is an RSA key with the exponent %d, which encrypts nothing", k.E)
		}
	case *ecdsa.PublicKey:
		if _, err := k.ECDH(); err != nil {
			return errors.New("is not a point of its curve")
		}
	}
	if familyOfKey(material) == noFamily {
		return fmt.Errorf("is of a kind that is not supported (%T)", material)
	}
	return nil
}

// candidates returns the keys that may have signed a token of this algorithm and kid.
func candidates(keys []key, algorithm, id string) []any {
	var found []any
	for _, k := range keys {
		named := id == "" || k.id == "" || k.id == id
		if named && slices.Contains(k.algorithms, algorithm) {
			found = append(found, k.material)
		}
	}
	return found
}

// checkIDs refuses a set in which one kid names two keys: which of them is meant?
func checkIDs(keys []key) error {
	seen := map[string]bool{}
	for _, k := range keys {
		if k.id != "" && seen[k.id] {
			return fmt.Errorf("must name each key once, got the kid %.64q twice", k.id)
		}
		seen[k.id] = true
	}
	return nil
}
