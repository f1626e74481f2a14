package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// parsePEM reads one or several public keys ("PUBLIC KEY" or "RSA PUBLIC KEY" blocks). A line "kid: NAME"
// right above a block gives the key its kid; without one the key answers for every kid.
func parsePEM(text []byte) ([]key, error) {
	var keys []key
	for {
		before, _, found := bytes.Cut(text, []byte("-----BEGIN "))
		if !found {
			break
		}
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("key %d: is not complete PEM", len(keys)+1)
		}
		k, err := keyOfBlock(kidAbove(before), block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(keys)+1, err)
		}
		keys, text = append(keys, k), rest
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("must hold 1 to %d public keys in PEM, got %d", maxKeys, len(keys))
	}
	return keys, checkIDs(keys)
}

func keyOfBlock(id string, block *pem.Block) (key, error) {
	var material any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		material, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		material, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return key{}, fmt.Errorf("must be a PUBLIC KEY, got %.40q", block.Type)
	}
	if err != nil {
		return key{}, errors.New("is not a readable public key")
	}
	return newKey(id, "", material)
}

// kidAbove returns the kid in the last line of text.
func kidAbove(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	id, named := strings.CutPrefix(strings.TrimSpace(lines[len(lines)-1]), "kid:")
	if !named {
		return ""
	}
	return strings.TrimSpace(id)
}
