package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
	"strings"
)

// family is the kind of key that an algorithm takes. An algorithm is used with keys of its family and no
// others, whatever a token says: a public key can never serve as an HMAC secret.
type family int

const (
	noFamily family = iota
	familyHMAC
	familyRSA
	familyP256
	familyP384
	familyP521
	familyEd25519
)

// algorithms lists the signature algorithms of a family (RFC 7518 section 3.1, RFC 8037).
func (f family) algorithms() []string {
	switch f {
	case familyHMAC:
		return []string{"HS256", "HS384", "HS512"}
	case familyRSA:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case familyP256:
		return []string{"ES256"}
	case familyP384:
		return []string{"ES384"}
	case familyP521:
		return []string{"ES512"}
	case familyEd25519:
		return []string{"EdDSA"}
	}
	return nil
}

// allAlgorithms lists what Config.Algorithms may name. "none" is not among them.
func allAlgorithms() []string {
	var all []string
	for f := familyHMAC; f <= familyEd25519; f++ {
		all = append(all, f.algorithms()...)
	}
	return all
}

// familyOf returns the family of an algorithm, noFamily if it is not supported.
func familyOf(algorithm string) family {
	for f := familyHMAC; f <= familyEd25519; f++ {
		if slices.Contains(f.algorithms(), algorithm) {
			return f
		}
	}
	return noFamily
}

// isAsymmetric reports whether an algorithm takes a public key.
func isAsymmetric(algorithm string) bool { return familyOf(algorithm) > familyHMAC }

// isHMAC reports whether an algorithm takes a secret.
func isHMAC(algorithm string) bool { return familyOf(algorithm) == familyHMAC }

// familyOfKey returns the family of a public key, noFamily if it is not supported.
func familyOfKey(material any) family {
	switch k := material.(type) {
	case *rsa.PublicKey:
		return familyRSA
	case ed25519.PublicKey:
		return familyEd25519
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return familyP256
		case elliptic.P384():
			return familyP384
		case elliptic.P521():
			return familyP521
		}
	}
	return noFamily
}

// minSecret is the length under which an HMAC secret can be searched for: that of the longest hash in use,
// in bytes (RFC 7518 section 3.2).
func minSecret(algorithms []string) int {
	switch {
	case slices.Contains(algorithms, "HS512"):
		return 64
	case slices.Contains(algorithms, "HS384"):
		return 48
	}
	return 32
}

func listOf(names []string) string { return strings.Join(names, ", ") }
