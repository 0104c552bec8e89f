package jose

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses duplicate keys and is case-sensitive, unlike encoding/json
)

// Clock tolerance of everything signed outside (FAPI 2.0 §5.3.2.1: up to 10 s
// in the future must be taken, more than 60 s must not).
const maxFuture = 60 * time.Second

// strict refuses what RFC 4648 calls non-canonical: otherwise the last
// character of a signature could be changed without anyone noticing.
var strict = base64.RawURLEncoding.Strict()

// compact is a JWS that has passed the gate. Nothing in it is believed yet.
type compact struct {
	text     string // as received
	header   map[string]json.RawMessage
	alg      Algorithm
	payload  []byte // nil when detached
	detached bool
}

// profile is what one use of JWS allows at the gate.
type profile struct {
	maxLength int
	detached  bool
	members   []string // protected header members; each one that is present has to be among them
}

// parse is the gate. It bounds the work before any decoding, because what
// comes here is from strangers: go-jose takes the JSON serialisation, skips
// whitespace and accepts members that this profile has no use for.
func (p profile) parse(text string) (*compact, *SignatureError) {
	switch {
	case text == "":
		return nil, refuse(PartForm, "the signature is empty")
	case len(text) > p.maxLength:
		return nil, refuse(PartForm, "the signature is longer than "+strconv.Itoa(p.maxLength)+" characters")
	case text[0] == '{':
		return nil, refuse(PartForm, "the JSON serialisation is not accepted, only the compact one")
	}
	for i := range len(text) {
		if text[i] != '.' && !isBase64URL(text[i]) {
			return nil, refuse(PartForm, "only base64url characters and periods are accepted, without padding or spaces")
		}
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, refuse(PartForm, "a compact JWS has exactly three parts")
	}
	if p.detached && parts[1] != "" {
		return nil, refuse(PartForm, "the payload must be detached: header..signature")
	}
	c := &compact{text: text, detached: p.detached}
	if err := c.parseHeader(parts[0], p.members); err != nil {
		return nil, err
	}
	if parts[2] == "" {
		return nil, refuse(PartSignature, "the signature part is empty")
	}
	if _, err := strict.DecodeString(parts[2]); err != nil {
		return nil, refuse(PartForm, "the signature part is not canonical base64url")
	}
	if !p.detached {
		payload, err := strict.DecodeString(parts[1])
		if err != nil || len(payload) == 0 {
			return nil, refuse(PartForm, "the payload part is not canonical base64url")
		}
		c.payload = payload
	}
	return c, nil
}

// parseHeader checks the protected header's members and its algorithm.
func (c *compact) parseHeader(encoded string, members []string) *SignatureError {
	raw, err := strict.DecodeString(encoded)
	if err != nil {
		return refuse(PartForm, "the protected header is not canonical base64url")
	}
	if err := json.Unmarshal(raw, &c.header); err != nil || c.header == nil {
		return refuse(PartForm, "the protected header is not a JSON object with each member once")
	}
	for _, name := range slices.Sorted(maps.Keys(c.header)) { // sorted: the same input gets the same answer
		if !slices.Contains(members, name) {
			return refuse(PartForm, "the protected header may hold only "+strings.Join(members, ", ")+forbidden(name))
		}
	}
	alg, ok := c.member("alg")
	if !ok {
		return refuse(PartAlg, "alg is missing or not a string")
	}
	c.alg = Algorithm(alg)
	if !c.alg.known() {
		return refuse(PartAlg, "alg must be one of ES256, EdDSA, PS256, ES512")
	}
	return nil
}

// forbidden names the members that attackers and misled libraries send.
// Others are not echoed: the text would be a stranger's.
func forbidden(name string) string {
	switch name {
	case "crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "typ", "cty", "nonce", "url":
		return "; " + name + " is refused"
	}
	return ""
}

// member returns a string member of the header.
func (c *compact) member(name string) (string, bool) {
	return stringMember(c.header[name])
}

func stringMember(raw json.RawMessage) (string, bool) {
	var s *string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// keyFrom finds the key that the header names among keys, and holds the header
// to the key's own algorithm.
func (c *compact) keyFrom(keys *PublicKeySet, now time.Time) (*PublicKey, *SignatureError) {
	kid, ok := c.member("kid")
	if !ok {
		return nil, refuse(PartKid, "kid is missing or not a string")
	}
	if !IsKeyID(kid) {
		return nil, refuse(PartKid, "kid must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
	}
	key, ok := keys.Key(kid)
	if !ok || !key.validAt(now) {
		return nil, refuse(PartKid, "kid is not one of the signer's current keys")
	}
	if key.alg != c.alg {
		return nil, refuse(PartAlg, "alg is not the algorithm of the key that kid names")
	}
	return key, nil
}

// issuedAt reads iat from the header and holds it to [now-maxAge, now+60 s].
func (c *compact) issuedAt(now time.Time, maxAge time.Duration) (time.Time, *SignatureError) {
	seconds, err := strconv.ParseInt(string(c.header["iat"]), 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, refuse(PartIat, "iat is missing or not a whole number of seconds since 1970")
	}
	iat := time.Unix(seconds, 0).UTC()
	switch {
	case iat.Before(now.Add(-maxAge)):
		return time.Time{}, refuse(PartIat, "iat is more than "+maxAge.String()+" ago; is the signer's clock right?")
	case iat.After(now.Add(maxFuture)):
		return time.Time{}, refuse(PartIat, "iat is more than 60 s in the future; is the signer's clock right?")
	}
	return iat, nil
}

// verify checks the signature itself. payload is the detached bytes, or nil
// for a JWS that carries its own.
func (c *compact) verify(key *PublicKey, payload []byte) error {
	verified.Add(1)
	allowed := []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(key.alg)}
	if c.detached {
		object, err := gojose.ParseDetached(c.text, payload, allowed)
		if err != nil {
			return err
		}
		return object.DetachedVerify(payload, key.public)
	}
	object, err := gojose.ParseSignedCompact(c.text, allowed)
	if err != nil {
		return err
	}
	_, err = object.Verify(key.public)
	return err
}

// sign makes a compact JWS over payload with exactly the given header members
// beside alg.
func (k *Key) sign(payload []byte, header map[gojose.HeaderKey]any, detached bool) (string, error) {
	signed.Add(1)
	signer, err := gojose.NewSigner(
		gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(k.alg), Key: k.private},
		&gojose.SignerOptions{ExtraHeaders: header},
	)
	if err != nil {
		return "", err
	}
	object, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	if detached {
		return object.DetachedCompactSerialize()
	}
	return object.CompactSerialize()
}
