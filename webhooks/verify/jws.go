package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// maxJWS bounds a signature before it is parsed.
const maxJWS = 4096

// checkJWS verifies the detached JWS and returns its kid. Its protected header
// holds alg, kid and iat and nothing else: no header brings its own key or
// changes what is signed.
func (v *Verifier) checkJWS(ctx context.Context, text string, content []byte, now time.Time) (string, *Error) {
	header, refused := parseHeader(text)
	if refused != nil {
		return "", refused
	}
	if refused := checkClock(header.issuedAt, now); refused != nil {
		return "", refused
	}
	key, err := v.jwks.find(ctx, header.kid, now)
	if err != nil {
		return "", &Error{Reason: ReasonKey, Message: "the key set cannot be had", Err: err}
	}
	if key == nil {
		return "", refuse(ReasonKey, "the key set has no key of that kid: is it the right hub's?")
	}
	if key.alg != header.alg {
		return "", refuse(ReasonKey, "the signature's alg is not its key's")
	}
	object, err := jose.ParseDetached(text, content, []jose.SignatureAlgorithm{key.alg})
	if err != nil {
		return "", refuse(ReasonHeader, HeaderJWS+" is not a detached JWS")
	}
	if err := object.DetachedVerify(content, key.public); err != nil {
		return "", refuse(ReasonSignature, "the JWS does not match")
	}
	return header.kid, nil
}

type jwsHeader struct {
	alg      jose.SignatureAlgorithm
	kid      string
	issuedAt time.Time
}

func parseHeader(text string) (*jwsHeader, *Error) {
	malformed := refuse(ReasonHeader, HeaderJWS+" is not a detached JWS header..signature with alg, kid and iat alone")
	if len(text) > maxJWS || strings.Count(text, ".") != 2 {
		return nil, malformed
	}
	parts := strings.Split(text, ".")
	for _, part := range parts {
		for i := range len(part) {
			if !isBase64URL(part[i]) {
				return nil, malformed
			}
		}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil || parts[1] != "" || parts[2] == "" {
		return nil, malformed
	}
	// A last character with spare bits set would be a second form of the same signature.
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return nil, malformed
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || len(members) != 3 {
		return nil, malformed
	}
	var alg, kid string
	seconds, err := strconv.ParseInt(string(members["iat"]), 10, 64)
	if err != nil || seconds < 0 || json.Unmarshal(members["alg"], &alg) != nil || json.Unmarshal(members["kid"], &kid) != nil || !isKeyID(kid) {
		return nil, malformed
	}
	header := &jwsHeader{alg: jose.SignatureAlgorithm(alg), kid: kid, issuedAt: time.Unix(seconds, 0).UTC()}
	if !slices.Contains(algorithms, header.alg) {
		return nil, refuse(ReasonHeader, HeaderJWS+" is signed in an algorithm that is not accepted")
	}
	return header, nil
}

var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.ES512}

// algorithmOf returns the one algorithm a key is used with.
func algorithmOf(public any) (jose.SignatureAlgorithm, bool) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return jose.ES256, true
		case elliptic.P521():
			return jose.ES512, true
		}
	case ed25519.PublicKey:
		return jose.EdDSA, true
	case *rsa.PublicKey:
		return jose.PS256, key.N.BitLen() >= 2048
	}
	return "", false
}

func isKeyID(s string) bool { return IsID(s) && len(s) <= 64 }

func isBase64URL(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
