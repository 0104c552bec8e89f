package jose

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// maxJWT bounds a token before it is decoded: a DPoP proof with a 4096 bit RSA
// key has about 1,800 characters.
const maxJWT = 8 << 10

// maxJTI bounds the ids that callers keep until they expire.
const maxJTI = 128

// Values of typ. Each kind of token has its own, so that none passes for
// another although one key signs them all.
const (
	TypAccessToken = "at+jwt"   // RFC 9068
	TypDPoP        = "dpop+jwt" // RFC 9449
	TypAssertion   = "JWT"      // RFC 7523
)

// SignJWT signs claims, any value that encodes to a JSON object, as a compact
// JWT with alg, kid and typ in its header.
func SignJWT(key *Key, typ string, claims any) (string, error) {
	return signJWT(key, claims, map[gojose.HeaderKey]any{"kid": key.ID(), "typ": typ})
}

func signJWT(key *Key, claims any, header map[gojose.HeaderKey]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if len(payload) == 0 || payload[0] != '{' {
		return "", errors.New("jose: claims must be a JSON object")
	}
	return key.sign(payload, header, false)
}

// numericDate is RFC 7519's NumericDate. Fractions are allowed there and cut
// off here; absurd values are refused because they overflow time arithmetic.
type numericDate struct{ time.Time }

func (d *numericDate) UnmarshalJSON(raw []byte) error {
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > 1<<36 {
		return errors.New("not a NumericDate")
	}
	d.Time = time.Unix(int64(seconds), 0).UTC()
	return nil
}

func (d numericDate) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, d.Unix(), 10), nil
}

func dateOf(t time.Time) *numericDate { return &numericDate{t} }

// inFuture reports whether iat or nbf, where given, is further ahead
// than clocks may differ.
func inFuture(d *numericDate, now time.Time) bool {
	return d != nil && d.After(now.Add(maxFuture))
}

// recent reports whether iat is given, at most maxAge ago, and no further ahead
// than clocks may differ.
func recent(iat *numericDate, maxAge time.Duration, now time.Time) bool {
	return iat != nil && !iat.Before(now.Add(-maxAge)) && !inFuture(iat, now)
}

// ownKeyProfile is of a JWS that brings its key: it shows possession of that key
// and nothing else, and trust comes from what the key is compared with. jwk is
// allowed here and nowhere else.
var ownKeyProfile = profile{maxLength: maxJWT, members: []string{"alg", "typ", "jwk"}}

// parseOwnKey reads a JWS of that kind and checks that the key in it has signed
// it. noun names it to whoever is refused.
func parseOwnKey(text, typ, noun string, refuse func(message string, cause error) *psd2.Error) (*compact, *PublicKey, error) {
	jws, refused := ownKeyProfile.parse(text)
	if refused != nil {
		return nil, nil, refuse("the "+noun+" is not a JWT we accept: "+refused.Message, nil)
	}
	if got, _ := jws.member("typ"); got != typ {
		return nil, nil, refuse("typ of a "+noun+" is "+typ, nil)
	}
	key, err := parsePublicKey(jws.header["jwk"], "jwk")
	if err != nil {
		return nil, nil, refuse("jwk of a "+noun+" is a public key that we take, and only that", errors.New(err.Error()))
	}
	if key.alg != jws.alg {
		return nil, nil, refuse("alg of the "+noun+" is not the algorithm of its key", nil)
	}
	if err := jws.verify(key, nil); err != nil {
		return nil, nil, refuse("the "+noun+" is not signed with its key", err)
	}
	return jws, key, nil
}

// isJTI reports whether s can be kept as a single-use id: 1 to 128 visible
// ASCII characters.
func isJTI(s string) bool {
	if len(s) == 0 || len(s) > maxJTI {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// denied makes the error of a refused token. reason is OAuth's error code;
// cause is for the log alone.
func denied(reason, message string, cause error) *psd2.Error {
	return &psd2.Error{Code: psd2.CodeUnauthorized, Reason: reason, Message: message, Err: cause}
}

// asCause keeps a nil *SignatureError from becoming a non-nil error, and its
// code from outranking ours in a chain.
func asCause(refused *SignatureError) error {
	if refused == nil {
		return nil
	}
	return errors.New(refused.Error())
}
