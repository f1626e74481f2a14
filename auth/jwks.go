package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/MicahParks/jwkset"
)

// maxKeyText bounds a key file and a JWKS answer, 256 KiB.
const maxKeyText = 256 << 10

// fetchJWKS returns a reader of the document behind an URL. Redirects are the client's to follow or not.
func fetchJWKS(client *http.Client, url string) func(ctx context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/jwk-set+json, application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answered %d", req.URL.Host, resp.StatusCode)
		}
		return readBounded(resp.Body)
	}
}

// readBounded reads all of r, or refuses it as too large.
func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeyText+1))
	if err == nil && len(text) > maxKeyText {
		return nil, fmt.Errorf("%w: more than %d bytes", errRefused, maxKeyText)
	}
	return text, err
}

// parseJWKS reads a JSON Web Key Set (RFC 7517). Keys for other purposes (encryption, unknown kinds) are
// passed over. One that is weak, a secret, or named twice voids the whole set: whoever publishes that is
// not to be believed about the others.
func parseJWKS(text []byte) ([]key, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("must hold at most %d keys, got %d", maxKeys, len(set.Keys))
	}
	var keys []key
	for i, published := range set.Keys {
		if published.KTY == jwkset.KtyOct || published.D != "" || published.K != "" {
			return nil, fmt.Errorf("key %d: is a secret, and published", i+1)
		}
		if !isForSignatures(published) {
			continue
		}
		k, err := keyOfJWK(published)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("must hold a key to verify signatures with, got none")
	}
	return keys, checkIDs(keys)
}

// isForSignatures reports whether a published key is one of ours to use.
func isForSignatures(k jwkset.JWKMarshal) bool {
	if k.USE != "" && k.USE != jwkset.UseSig {
		return false
	}
	if len(k.KEYOPS) > 0 && !slices.Contains(k.KEYOPS, jwkset.KeyOpsVerify) {
		return false
	}
	if algorithm := pinnedBy(k); algorithm != "" && familyOf(algorithm) == noFamily {
		return false
	}
	switch k.KTY {
	case jwkset.KtyRSA:
		return true
	case jwkset.KtyEC:
		return k.CRV == jwkset.CrvP256 || k.CRV == jwkset.CrvP384 || k.CRV == jwkset.CrvP521
	case jwkset.KtyOKP:
		return k.CRV == jwkset.CrvEd25519
	}
	return false
}

func keyOfJWK(k jwkset.JWKMarshal) (key, error) {
	// Certificates and links to them are left behind: nothing else is fetched or believed.
	bare := jwkset.JWKMarshal{KTY: k.KTY, CRV: k.CRV, X: k.X, Y: k.Y, N: k.N, E: k.E}
	read, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, fmt.Errorf("is not a readable key: %w", err)
	}
	return newKey(k.KID, pinnedBy(k), read.Key())
}

// pinnedBy returns the algorithm that a key is published for; RFC 9864 has a second name for EdDSA.
func pinnedBy(k jwkset.JWKMarshal) string {
	if k.ALG == "Ed25519" {
		return "EdDSA"
	}
	return string(k.ALG)
}
