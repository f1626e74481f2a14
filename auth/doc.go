// Package auth answers one question: who is calling?
//
// It has two halves that share nothing but the request they look at.
//
// A [Gate] is what one route demands. Its [Verifier] turns a token or an API key into a [Principal]: the
// user, the request headers the upstream may trust, and which of the routes' requirements it meets.
// Algorithm, issuer, audience and times are pinned by configuration and never taken from the token, and a
// key takes only algorithms of its kind. Verified tokens are remembered in a bounded cache, so that a client
// which repeats its token costs a hash and a comparison instead of a signature and two JSON documents. The
// trade-off: a cached token cannot be revoked before it expires other than by changing the keys or the
// configuration, which empty the cache. That is also true without the cache, because a signed token carries
// its own validity. Expiry is checked on every use, cached or not.
//
// A [Keyring] holds public keys from a file or a JWKS endpoint and renews them beside the requests. It
// outlives Verifiers, so that a reload does not lose keys that cannot be fetched just then. Only a token
// whose key is not known yet waits for a fetch, one second at most, and fetches are an interval apart
// whatever clients send.
//
// [Addresses] finds the client's address by walking X-Forwarded-For from the right over proxies that are
// known to be ours. With no trusted proxies the peer of the connection is the client, whatever headers say.
//
// Failure mode: closed. Whatever cannot be understood is refused ([ErrInvalid]) or, for addresses, ends the
// walk at the last address that one of our own proxies vouched for. A Verifier without keys refuses every
// token. An endpoint that is down or answers nonsense changes nothing: the last good keys stay in use.
package auth
