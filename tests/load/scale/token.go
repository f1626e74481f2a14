package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"time"
)

const secret = "a-secret-for-this-benchmark-alone-32b"

// tokens signs JWTs as they are needed: a million of them would not fit into a file
// that a load generator reads. Not safe for concurrent use.
type tokens struct {
	mac    hash.Hash
	expiry string
	claims []byte
	sum    []byte
}

func newTokens(now time.Time) tokens {
	return tokens{mac: hmac.New(sha256.New, []byte(secret)), expiry: strconv.FormatInt(now.Add(time.Hour).Unix(), 10)}
}

// append writes the token of a user.
func (t *tokens) append(b []byte, user int) []byte {
	start := len(b)
	b = base64.RawURLEncoding.AppendEncode(b, []byte(`{"alg":"HS256","typ":"JWT"}`))
	t.claims = append(t.claims[:0], `{"iss":"api-gateway","sub":"user-`...)
	t.claims = strconv.AppendInt(t.claims, int64(user), 10)
	t.claims = append(append(append(t.claims, `","exp":`...), t.expiry...), '}')
	b = base64.RawURLEncoding.AppendEncode(append(b, '.'), t.claims)
	t.mac.Reset()
	t.mac.Write(b[start:])
	t.sum = t.mac.Sum(t.sum[:0])
	return base64.RawURLEncoding.AppendEncode(append(b, '.'), t.sum)
}
