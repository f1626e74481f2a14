package node

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/go-api-gateway-pro/gateway/auth"
)

// newKeyClient fetches JWKS documents, every few minutes at most: no connection
// is kept for them, and no redirect followed.
func newKeyClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// admission builds the snapshot's verifier and what each route demands, in the
// order of the routes.
func (n *Node) admission(s *snapshot) ([]auth.Gate, error) {
	gates := make([]auth.Gate, len(s.config.Routes))
	var requirements []auth.Requirement
	for i, r := range s.config.Routes {
		gates[i].Optional = r.AuthOptional
		if r.Require != nil {
			requirements, gates[i].Require = placeOf(requirements, *r.Require)
		}
	}
	verifier, err := auth.NewVerifier(s.config.JWT, auth.Options{
		Now: n.now, Keys: n.keys, APIKeys: s.config.APIKeys, Claims: s.limitClaims, Requirements: requirements,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot use jwt: %w", err)
	}
	for i := range gates {
		if s.config.Routes[i].Authenticates() {
			gates[i].Verifier = verifier
		}
	}
	s.verifier = verifier
	s.identityHeaders = s.config.JWT.ClaimHeaders()
	if len(s.config.APIKeys) > 0 {
		s.identityHeaders = append(s.identityHeaders, auth.APIKeyHeader)
	}
	s.tokenHeaders = append(slices.Clone(s.identityHeaders), fasthttp.HeaderAuthorization)
	return gates, nil
}

// placeOf returns where in the list a requirement stands, counted from 1, after
// adding it if need be.
func placeOf(list []auth.Requirement, r auth.Requirement) ([]auth.Requirement, int) {
	for i := range list {
		if reflect.DeepEqual(list[i], r) {
			return list, i + 1
		}
	}
	return append(list, r), len(list) + 1
}

// credentials collects what a request shows of its caller. Two of a kind are
// refused: the upstream might read another one than we verify.
func credentials(h *fasthttp.RequestHeader, names fieldNames, cookie string) (auth.Credentials, error) {
	authorization, several := onlyOne(names.peekAll(h, fasthttp.HeaderAuthorization))
	key, more := onlyOne(names.peekAll(h, auth.APIKeyHeader))
	token, most := cookieValue(names.peekAll(h, fasthttp.HeaderCookie), cookie)
	if several || more || most {
		return auth.Credentials{}, errAmbiguous
	}
	return auth.Credentials{Authorization: authorization, APIKey: key, Cookie: token}, nil
}

func onlyOne(values [][]byte) (value []byte, several bool) {
	if len(values) == 0 {
		return nil, false
	}
	return values[0], len(values) > 1
}

// cookieValue finds a cookie in the request's Cookie lines. Its name counts as it
// is spelled (RFC 6265bis section 5.4).
func cookieValue(lines [][]byte, name string) (value []byte, several bool) {
	if name == "" {
		return nil, false
	}
	found := false
	for _, line := range lines {
		for pair := range bytes.SplitSeq(line, []byte(";")) {
			if v, ok := valueOf(pair, name); ok {
				value, several, found = v, found, true
			}
		}
	}
	return value, several
}

// valueOf returns a cookie pair's value if it has this name.
func valueOf(pair []byte, name string) ([]byte, bool) {
	key, value, _ := bytes.Cut(pair, []byte("="))
	if string(bytes.TrimSpace(key)) != name {
		return nil, false
	}
	return bytes.Trim(bytes.TrimSpace(value), `"`), true
}

// dropCookie takes one cookie out of the request, the others as they were.
func dropCookie(h *fasthttp.RequestHeader, name string) {
	var kept [][]byte
	dropped := false
	for _, line := range h.PeekAll(fasthttp.HeaderCookie) {
		for pair := range bytes.SplitSeq(line, []byte(";")) {
			if _, ours := valueOf(pair, name); ours {
				dropped = true
				continue
			}
			kept = append(kept, bytes.TrimSpace(pair))
		}
	}
	if !dropped {
		return
	}
	rest := bytes.Join(kept, []byte("; "))
	h.Del(fasthttp.HeaderCookie)
	if len(rest) > 0 {
		h.DisableSpecialHeader() // or it would be parsed and lose what fasthttp does not understand
		h.AddBytesV(fasthttp.HeaderCookie, rest)
		h.EnableSpecialHeader()
	}
}
