package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// APIKeyHeader carries an API key. It is the gateway's own: it never reaches an upstream.
	APIKeyHeader = "X-API-Key"

	// apiKeyUser begins the user of an API key. No token may claim such a user.
	apiKeyUser = "key:"

	hashPrefix     = "sha256:"
	maxAPIKeyBytes = 512
)

// APIKey is a second way in, for callers that have no tokens.
type APIKey struct {
	// Name tells keys apart. The caller's user is "key:NAME".
	Name string `yaml:"name"`
	// Hash is "sha256:" and the hash of the key in hex. The key itself is nowhere in the configuration. A
	// plain hash is enough for a key of 32 random bytes, and for nothing that a person made up.
	Hash string `yaml:"hash"`
	// Scope lists what the key may do, separated by spaces, as a token's scope claim does.
	Scope string `yaml:"scope"`
	// Claims stand for the claims a token would have.
	Claims map[string]string `yaml:"claims"`
}

// ValidateAPIKeys returns every problem of the list, joined, each beginning "api_keys[i].". Hashes are not quoted:
// it might be the key itself that stands there.
func ValidateAPIKeys(keys []APIKey) error {
	var problems []error
	names, hashes := map[string]bool{}, map[string]bool{}
	for i, k := range keys {
		for _, why := range k.problems() {
			problems = append(problems, fmt.Errorf("api_keys[%d].%w", i, why))
		}
		hash := strings.ToLower(k.Hash)
		if names[k.Name] {
			problems = append(problems, fmt.Errorf("api_keys[%d].name: must differ from the others, got %q again", i, k.Name))
		}
		if hashes[hash] {
			problems = append(problems, fmt.Errorf("api_keys[%d].hash: must differ from the others, got the same key again", i))
		}
		names[k.Name], hashes[hash] = true, true
	}
	return errors.Join(problems...)
}

func (k APIKey) problems() []error {
	var problems []error
	if !isName(k.Name) {
		problems = append(problems, fmt.Errorf("name: must be 1 to 64 letters, digits and -._, got %.80q", k.Name))
	}
	if _, err := k.sum(); err != nil {
		problems = append(problems, err)
	}
	for _, claim := range slices.Sorted(maps.Keys(k.Claims)) {
		value := k.Claims[claim]
		if err := checkText(value); err != nil {
			problems = append(problems, fmt.Errorf("claims.%s: must be plain text, got one that %w", claim, err))
		}
	}
	return problems
}

// isName reports whether s can stand in logs, headers and limits as it is.
func isName(s string) bool {
	const others = "-._"
	for _, r := range s {
		alnum := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !alnum && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (k APIKey) sum() (sum [sha256.Size]byte, err error) {
	digits, found := strings.CutPrefix(k.Hash, hashPrefix)
	raw, err := hex.DecodeString(digits)
	if !found || err != nil || len(raw) != len(sum) {
		return sum, errors.New("hash: must be sha256: and 64 hexadecimal digits (printf %s KEY | sha256sum)")
	}
	return [sha256.Size]byte(raw), nil
}

// claims returns what a token of the same caller would say.
func (k APIKey) claims(userClaim string) map[string]any {
	claims := map[string]any{"sub": apiKeyUser + k.Name, "scope": k.Scope}
	for name, value := range k.Claims {
		claims[name] = value
	}
	claims[userClaim] = apiKeyUser + k.Name // who it is is not for the claims to say
	return claims
}

// apiKeyring finds the caller behind a key. Looking up by hash leaks nothing by its timing: who could choose
// a hash to probe with would have to invert it.
type apiKeyring map[[sha256.Size]byte]Principal

func (v *Verifier) newAPIKeys(keys []APIKey) (apiKeyring, error) {
	ring := apiKeyring{}
	for _, k := range keys {
		sum, err := k.sum()
		if err != nil {
			return nil, fmt.Errorf("api key %q: %w", k.Name, err)
		}
		if ring[sum], err = v.principalOf(k.claims(v.userClaim)); err != nil {
			return nil, fmt.Errorf("api key %q: %w", k.Name, err)
		}
	}
	return ring, nil
}

// verify returns the caller of a key. It does not allocate.
func (r apiKeyring) verify(presented []byte) (Principal, error) {
	if len(presented) > maxAPIKeyBytes {
		return Principal{}, fmt.Errorf("%w: an API key of %d bytes, limit %d", ErrInvalid, len(presented), maxAPIKeyBytes)
	}
	p, found := r[sha256.Sum256(presented)]
	if !found {
		return Principal{}, errUnknownKey
	}
	return p, nil
}
