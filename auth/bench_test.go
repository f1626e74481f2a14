package auth

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkAdmit shows what remembering a verified token saves, beside verifying it every time.
func BenchmarkAdmit(b *testing.B) {
	at := newClock()
	k := testKeys()
	for _, way := range []struct {
		algorithm string
		key       any
	}{{"HS256", []byte(testSecret)}, {"RS256", k.rsa}, {"ES256", k.p256}, {"EdDSA", k.ed25519}} {
		v := everyWay(b, at, nil)
		token := forged(b, fields{"alg": way.algorithm}, claimsAt(at, nil), jwt.GetSigningMethod(way.algorithm), way.key)
		b.Run(way.algorithm+"/remembered", func(b *testing.B) {
			shown := Credentials{Authorization: []byte("Bearer " + token)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Gate{Verifier: v}).Admit(shown); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(way.algorithm+"/verified", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.verify(token, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAdmitAPIKey(b *testing.B) {
	v, err := NewVerifier(testConfig(), Options{
		Now: newClock().now, Keys: newTestKeyring(b, nil), APIKeys: []APIKey{{Name: "one", Hash: hashOf("key-one")}},
	})
	if err != nil {
		b.Fatal(err)
	}
	shown := Credentials{APIKey: []byte("key-one")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Gate{Verifier: v}).Admit(shown); err != nil {
			b.Fatal(err)
		}
	}
}
