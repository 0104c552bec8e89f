// Package passkey is a passkey on a virtual authenticator that verifies its
// user, for tests that speak WebAuthn without a browser.
package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"

	"github.com/descope/virtualwebauthn"
)

// Key is one passkey. Its parts may be changed, to see what a relying party
// makes of it.
type Key struct {
	RP   virtualwebauthn.RelyingParty
	Auth virtualwebauthn.Authenticator
	Cred virtualwebauthn.Credential
}

// New makes a passkey for an origin, scheme://host[:port].
func New(origin string) (*Key, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	private, err := evenKey()
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return &Key{
		RP:   virtualwebauthn.RelyingParty{Name: "Rialto", ID: u.Hostname(), Origin: origin},
		Auth: virtualwebauthn.NewAuthenticator(), Cred: virtualwebauthn.NewCredentialWithImportedKey(virtualwebauthn.KeyTypeEC2, private),
	}, nil
}

// evenKey makes a P-256 key whose coordinates have all their 32 bytes: the
// virtual authenticator leaves leading zeros out, which COSE does not allow.
func evenKey() (pkcs8 []byte, err error) {
	for {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		if point[1] != 0 && point[33] != 0 {
			return x509.MarshalPKCS8PrivateKey(private)
		}
	}
}

// Attest answers the options of navigator.credentials.create.
func (k *Key) Attest(options []byte) ([]byte, error) {
	o, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	k.Auth.Options.UserHandle = []byte(o.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(k.RP, k.Auth, k.Cred, *o)), nil
}

// Assert answers the options of navigator.credentials.get.
func (k *Key) Assert(options []byte) ([]byte, error) {
	o, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(k.RP, k.Auth, k.Cred, *o)), nil
}
