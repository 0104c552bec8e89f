package jose

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

// detachedMaxAge is how old a webhook's signature may be, as Standard Webhooks
// has it for its timestamp: retries are signed anew.
const detachedMaxAge = 5 * time.Minute

var detachedProfile = profile{maxLength: maxSignature, detached: true, members: []string{"alg", "kid", "iat"}}

// SignDetached returns header..signature over payload with alg, kid and iat in
// the protected header. For a webhook the payload is the bytes
// webhook-id "." webhook-timestamp "." body.
func SignDetached(key *Key, payload []byte, now time.Time) (string, error) {
	if len(payload) == 0 {
		return "", errors.New("jose: sign detached: there is nothing to sign")
	}
	return key.sign(payload, map[gojose.HeaderKey]any{"kid": key.ID(), "iat": now.Unix()}, true)
}

// VerifiedDetached is what a valid detached signature proves.
type VerifiedDetached struct {
	KeyID     string
	Algorithm Algorithm
	IssuedAt  time.Time
}

// VerifyDetached checks a signature made by SignDetached, whose iat may be up
// to five minutes old. The error is a *SignatureError.
func VerifyDetached(signature string, keys *PublicKeySet, payload []byte, now time.Time) (*VerifiedDetached, error) {
	verified, err := verifyDetached(signature, keys, payload, now)
	if err != nil {
		return nil, err
	}
	return verified, nil
}

func verifyDetached(signature string, keys *PublicKeySet, payload []byte, now time.Time) (*VerifiedDetached, *SignatureError) {
	jws, refused := detachedProfile.parse(signature)
	if refused != nil {
		return nil, refused
	}
	key, refused := jws.keyFrom(keys, now)
	if refused != nil {
		return nil, refused
	}
	issuedAt, refused := jws.issuedAt(now, detachedMaxAge)
	if refused != nil {
		return nil, refused
	}
	if len(payload) == 0 {
		return nil, refuse(PartSignature, "there are no signed bytes")
	}
	if err := jws.verify(key, payload); err != nil {
		digest := sha256.Sum256(payload)
		return nil, &SignatureError{
			Part:    PartSignature,
			Message: "the signature does not match these bytes: it must be checked over the raw body, before any parsing",
			Digest:  hex.EncodeToString(digest[:]),
		}
	}
	return &VerifiedDetached{KeyID: key.id, Algorithm: key.alg, IssuedAt: issuedAt}, nil
}
