package verify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Window is how far the timestamp of a delivery may be from now, both ways.
// Remember handled ids for longer than this and a replay finds nothing to do.
const Window = 5 * time.Minute

// Bounds of the headers, held before anything in them is decoded.
const (
	maxHeader     = 8 << 10
	maxSignatures = 32
)

// Config says what the receiver holds. At least one of the first four fields
// must be given; a delivery is accepted when any one of the keys has signed
// it. Give two secrets or keys while they are being rotated.
type Config struct {
	Secrets    []string // whsec_…
	PublicKeys []string // whpk_…
	JWKS       []byte   // a key set, pinned
	FetchJWKS  Fetcher  // where to get the key set, see Fetch
	// Now is the clock of Request; time.Now when nil.
	Now func() time.Time
}

// Verifier checks deliveries. It is safe for concurrent use.
type Verifier struct {
	secrets []Secret
	keys    []PublicKey
	jwks    *keyCache
	now     func() time.Time
}

// New builds a Verifier and refuses keys that it cannot read.
func New(config Config) (*Verifier, error) {
	v := &Verifier{now: config.Now}
	if v.now == nil {
		v.now = time.Now
	}
	for _, text := range config.Secrets {
		secret, err := ParseSecret(text)
		if err != nil {
			return nil, err
		}
		v.secrets = append(v.secrets, secret)
	}
	for _, text := range config.PublicKeys {
		key, err := ParsePublicKey(text)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, key)
	}
	if config.JWKS != nil || config.FetchJWKS != nil {
		cache, err := newKeyCache(config.JWKS, config.FetchJWKS)
		if err != nil {
			return nil, err
		}
		v.jwks = cache
	}
	if v.secrets == nil && v.keys == nil && v.jwks == nil {
		return nil, errors.New("verify: no secret, public key or key set was given")
	}
	return v, nil
}

// Request reads at most maxBody bytes of r's body and verifies the delivery.
// Call it before anything else reads the body: the signature covers the bytes
// as they were sent, and JSON that has been parsed and written again is
// another body. Events stay below 20 kB; 1 MiB is a good maxBody. The error is
// an *Error: answer 400 and log it.
func (v *Verifier) Request(r *http.Request, maxBody int64) (*Event, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, &Error{Reason: ReasonBody, Message: "the body cannot be read", Err: err}
	}
	if int64(len(body)) > maxBody {
		return nil, refuse(ReasonBody, "the body is longer than "+strconv.FormatInt(maxBody, 10)+" bytes")
	}
	return v.event(r.Context(), r.Header, body, v.now())
}

// Verify checks a delivery given as headers and raw body. The error is an *Error.
func (v *Verifier) Verify(header http.Header, body []byte, now time.Time) (*Event, error) {
	return v.event(context.Background(), header, body, now)
}

func (v *Verifier) event(ctx context.Context, header http.Header, body []byte, now time.Time) (*Event, error) {
	signed, refused := v.check(ctx, header, body, now)
	if refused != nil {
		return nil, refused
	}
	return parseEvent(signed.ID, body)
}

// Signed is what a good signature proves, whatever the body holds.
type Signed struct {
	ID        string    // webhook-id
	Timestamp time.Time // when this try was signed
	Scheme    string    // "v1", "v1a" or "jws": the one that was believed
	KeyID     string    // with "jws"
}

// Signature checks the signature alone and leaves the body unread, for
// receivers of webhooks that are not Rialto's events. The error is an *Error.
func (v *Verifier) Signature(header http.Header, body []byte, now time.Time) (*Signed, error) {
	signed, refused := v.check(context.Background(), header, body, now)
	if refused != nil {
		return nil, refused
	}
	return signed, nil
}

func (v *Verifier) check(ctx context.Context, header http.Header, body []byte, now time.Time) (*Signed, *Error) {
	delivery, refused := parseDelivery(header)
	if refused != nil {
		return nil, refused
	}
	if refused := checkClock(delivery.timestamp, now); refused != nil {
		return nil, refused
	}
	content := Content(delivery.id, delivery.timestamp, body)
	signed := &Signed{ID: delivery.id, Timestamp: delivery.timestamp}
	tried := false
	for _, signature := range delivery.signatures {
		matches, hadKey := v.matches(signature, content)
		if matches {
			signed.Scheme = signature.version
			return signed, nil
		}
		tried = tried || hadKey
	}
	if delivery.jws != "" && v.jwks != nil {
		kid, refused := v.checkJWS(ctx, delivery.jws, content, now)
		if refused == nil {
			signed.Scheme, signed.KeyID = "jws", kid
			return signed, nil
		}
		if refused.Reason != ReasonSignature && !tried {
			return nil, refused
		}
		tried = true
	}
	if !tried {
		return nil, v.noKey(delivery)
	}
	return nil, v.explain(ctx, delivery, body, now)
}

// matches reports whether the signature is good under one of our keys, and
// whether we hold a key of its kind at all.
func (v *Verifier) matches(signature signature, content []byte) (good, hadKey bool) {
	switch signature.version {
	case versionHMAC:
		for _, secret := range v.secrets {
			// Every secret is tried and compared in constant time.
			good = hmac.Equal(hmacOf(secret, content), signature.value) || good
		}
		return good, len(v.secrets) > 0
	case versionEd25519:
		for _, key := range v.keys {
			good = ed25519.Verify(key.key, content, signature.value) || good
		}
		return good, len(v.keys) > 0
	}
	return false, false
}

// delivery is what the headers say.
type delivery struct {
	id         string
	timestamp  time.Time
	signatures []signature
	jws        string
}

type signature struct {
	version string
	value   []byte
}

func parseDelivery(header http.Header) (*delivery, *Error) {
	id, refused := single(header, HeaderID)
	if refused != nil {
		return nil, refused
	}
	if !IsID(id) {
		return nil, refuse(ReasonHeader, HeaderID+" must be 1 to 128 characters of A-Z, a-z, 0-9, _ and -")
	}
	stamp, refused := single(header, HeaderTimestamp)
	if refused != nil {
		return nil, refused
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	// The text is signed as a number: "+1" and "01" would be other bytes.
	if err != nil || seconds <= 0 || seconds > 1<<36 || strconv.FormatInt(seconds, 10) != stamp {
		return nil, refuse(ReasonHeader, HeaderTimestamp+" is not a whole number of seconds since 1970")
	}
	d := &delivery{id: id, timestamp: time.Unix(seconds, 0).UTC()}
	if len(header.Values(HeaderSignature)) == 0 && len(header.Values(HeaderJWS)) == 0 {
		return nil, refuse(ReasonHeader, HeaderSignature+" and "+HeaderJWS+" are both missing")
	}
	if len(header.Values(HeaderJWS)) > 0 {
		if d.jws, refused = single(header, HeaderJWS); refused != nil {
			return nil, refused
		}
	}
	if len(header.Values(HeaderSignature)) > 0 {
		list, refused := single(header, HeaderSignature)
		if refused != nil {
			return nil, refused
		}
		if d.signatures, refused = parseSignatures(list); refused != nil {
			return nil, refused
		}
	}
	return d, nil
}

func single(header http.Header, name string) (string, *Error) {
	values := header.Values(name)
	switch {
	case len(values) == 0 || values[0] == "":
		return "", refuse(ReasonHeader, name+" is missing")
	case len(values) > 1:
		return "", refuse(ReasonHeader, name+" is there more than once")
	case len(values[0]) > maxHeader:
		return "", refuse(ReasonHeader, name+" is too long")
	}
	return values[0], nil
}

// parseSignatures reads the space-separated list. Versions it does not know
// are left out: they are how the format grows.
func parseSignatures(list string) ([]signature, *Error) {
	if strings.Count(list, " ") >= maxSignatures {
		return nil, refuse(ReasonHeader, HeaderSignature+" lists too many signatures")
	}
	var signatures []signature
	for _, item := range strings.Fields(list) {
		version, encoded, ok := strings.Cut(item, ",")
		if !ok {
			return nil, refuse(ReasonHeader, HeaderSignature+" is not a list of version,signature")
		}
		if version != versionHMAC && version != versionEd25519 {
			continue
		}
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return nil, refuse(ReasonHeader, HeaderSignature+" holds a signature that is not base64")
		}
		signatures = append(signatures, signature{version: version, value: value})
	}
	return signatures, nil
}

func checkClock(timestamp, now time.Time) *Error {
	switch {
	case timestamp.Before(now.Add(-Window)):
		return refuse(ReasonClock, "it was signed "+now.Sub(timestamp).Round(time.Second).String()+" ago, more than "+Window.String()+": an old delivery sent again, or this machine's clock is fast")
	case timestamp.After(now.Add(Window)):
		return refuse(ReasonClock, "it was signed "+timestamp.Sub(now).Round(time.Second).String()+" in the future, more than "+Window.String()+": this machine's clock is slow")
	}
	return nil
}

// noKey explains that nothing in the delivery is of a kind we can check.
func (v *Verifier) noKey(d *delivery) *Error {
	var has []string
	for _, signature := range d.signatures {
		has = append(has, signature.version)
	}
	if d.jws != "" {
		has = append(has, HeaderJWS)
	}
	var wants []string
	if len(v.secrets) > 0 {
		wants = append(wants, "a secret (v1)")
	}
	if len(v.keys) > 0 {
		wants = append(wants, "a public key (v1a)")
	}
	if v.jwks != nil {
		wants = append(wants, "a key set ("+HeaderJWS+")")
	}
	carries := strings.Join(has, ", ")
	if carries == "" {
		carries = "no signature of a known version"
	}
	return refuse(ReasonKey, "the delivery carries "+carries+"; this verifier holds "+strings.Join(wants, ", "))
}

// explain says why no signature matches. The usual cause is a framework that
// has parsed the JSON and written it again, so that is tested by undoing it.
// The result only chooses the words: the delivery stays refused.
func (v *Verifier) explain(ctx context.Context, d *delivery, body []byte, now time.Time) *Error {
	for _, candidate := range rewritten(body) {
		if v.anyMatches(ctx, d, Content(d.id, d.timestamp, candidate), now) {
			return refuse(ReasonBody, "the JSON was reformatted before it got here: verify the raw request body, not a body that was parsed and written again")
		}
	}
	return refuse(ReasonSignature, "no signature matches: the wrong secret or key, or the body is not what was sent")
}

func (v *Verifier) anyMatches(ctx context.Context, d *delivery, content []byte, now time.Time) bool {
	for _, signature := range d.signatures {
		if good, _ := v.matches(signature, content); good {
			return true
		}
	}
	if d.jws == "" || v.jwks == nil {
		return false
	}
	_, refused := v.checkJWS(ctx, d.jws, content, now)
	return refused == nil
}

// rewritten returns the forms that a reformatted body may have had.
func rewritten(body []byte) [][]byte {
	forms := [][]byte{bytes.TrimSpace(body)}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		forms = append(forms, compact.Bytes())
		var escaped bytes.Buffer
		json.HTMLEscape(&escaped, compact.Bytes())
		plain := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">", `\/`, "/").Replace(compact.String())
		forms = append(forms, escaped.Bytes(), []byte(plain))
		// Names that were escaped on the way (json.dumps, json_encode) are raw in ours.
		raw := unescaped(plain)
		var rawEscaped bytes.Buffer
		json.HTMLEscape(&rawEscaped, raw)
		forms = append(forms, raw, rawEscaped.Bytes())
	}
	return forms
}

// unescaped writes the \u escapes of characters outside ASCII as themselves.
func unescaped(text string) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		end := i
		var units []uint16
		for end+6 <= len(text) && text[end:end+2] == `\u` {
			n, err := strconv.ParseUint(text[end+2:end+6], 16, 16)
			if err != nil || n < 0x80 {
				break
			}
			units = append(units, uint16(n))
			end += 6
		}
		switch {
		case len(units) > 0:
			out = append(out, string(utf16.Decode(units))...)
			i = end
		case text[i] == '\\' && i+1 < len(text): // another escape, whole
			out = append(out, text[i], text[i+1])
			i += 2
		default:
			out = append(out, text[i])
			i++
		}
	}
	return out
}
