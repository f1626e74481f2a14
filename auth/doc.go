// Package auth answers one question: who is calling?
//
// It has two halves that share nothing but the request they look at.
//
// A [Verifier] turns an Authorization header into a [Principal]: the user and the request headers the
// upstream may trust. Algorithm, issuer, audience and times are pinned by configuration and never taken
// from the token. Verified tokens are remembered in a bounded cache, so that a client which repeats its
// token costs a hash and a comparison instead of an HMAC and two JSON documents. The trade-off: a cached
// token cannot be revoked before it expires other than by changing the configuration, which replaces the
// Verifier and its cache with it. That is also true without the cache, because a signed token carries its
// own validity. Expiry is checked on every use, cached or not.
//
// [Addresses] finds the client's address by walking X-Forwarded-For from the right over proxies that are
// known to be ours. With no trusted proxies the peer of the connection is the client, whatever headers say.
//
// Failure mode: closed. Whatever cannot be understood is refused ([ErrInvalid]) or, for addresses, ends the
// walk at the last address that one of our own proxies vouched for. A Verifier without a secret refuses
// every token. Nothing here does I/O, so nothing here can be slow or down.
package auth
