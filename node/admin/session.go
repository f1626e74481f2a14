package admin

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

const (
	sessionCookie = "gateway_admin"
	sessionLife   = 8 * time.Hour
)

// token is the secret of the port, kept as its hash.
type token struct {
	set bool
	sum [sha256.Size]byte
}

func newToken(secret string) token {
	return token{set: secret != "", sum: sha256.Sum256([]byte(secret))}
}

// is compares hashes in constant time: neither content nor length of the token
// leaks.
func (t token) is(shown string) bool {
	sum := sha256.Sum256([]byte(shown))
	return t.set && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// stretching makes guessing the token from a stolen cookie as dear as 200,000
// hashes a guess; it costs a node some tens of milliseconds, once.
const stretching = 200_000

// sessions makes and checks the cookie's value: its end, signed with a key made of
// the token. Nodes with the same token take each other's sessions, so a browser
// may meet another node with every request, and a session outlives a restart; a
// new token ends all of them. Nothing is stored, so nothing can be filled up; what
// that costs is that a single session cannot be ended before its time.
type sessions struct {
	key func() []byte // made when it is first needed
	now func() time.Time
}

func newSessions(token string, now func() time.Time) *sessions {
	return &sessions{now: now, key: sync.OnceValue(func() []byte {
		key, err := pbkdf2.Key(sha256.New, token, []byte("gateway admin session"), stretching, sha256.Size)
		if err != nil {
			panic("BUG: cannot derive the key of sessions: " + err.Error())
		}
		return key
	})}
}

// begin returns the value of a new session.
func (s *sessions) begin() string {
	var end [8]byte
	binary.BigEndian.PutUint64(end[:], uint64(s.now().Add(sessionLife).Unix()))
	return base64.RawURLEncoding.EncodeToString(s.sign(end[:]))
}

// open reports whether a value is of a session that has not ended.
func (s *sessions) open(value string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	end := int64(binary.BigEndian.Uint64(raw[:8]))
	return hmac.Equal(raw, s.sign(raw[:8])) && s.now().Before(time.Unix(end, 0))
}

// sign appends the signature to a copy of the end.
func (s *sessions) sign(end []byte) []byte {
	mac := hmac.New(sha256.New, s.key())
	mac.Write(end)
	return mac.Sum(append([]byte(nil), end...))
}
