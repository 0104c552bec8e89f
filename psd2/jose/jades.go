package jose

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json" // refuses duplicate keys and is case-sensitive, unlike encoding/json
)

// JAdES is what differs between the banks that want x-jws-signature: a
// detached JWS over HTTP headers (ETSI TS 119 182-1 §5.2.8.2, sigD with mId
// HttpHeaders). The zero value is what the standard asks of new signatures.
type JAdES struct {
	// Pars are the headers to be signed, lower case; nil is (request-target),
	// digest, and what NextGenPSD2 wants signed. What a message lacks is left
	// out, but for digest.
	Pars []string
	// Encoded signs the base64url of the payload, without b64 (RFC 7797). Some
	// banks want it, though the standard says b64 false.
	Encoded bool
	// HexThumbprint writes x5t#S256 as lower-case hex instead of base64url.
	HexThumbprint bool
	// Chain adds x5c: the whole certificate chain.
	Chain bool
	// SigT gives the time as sigT, the form before July 2025, instead of iat.
	SigT bool
	// PKCS1 signs with RS256 where the key is RSA; otherwise it is PS256.
	PKCS1 bool
}

const (
	headerJAdES    = "X-Jws-Signature"
	httpHeaders    = "http://uri.etsi.org/19182/HttpHeaders"
	maxBankJWS     = 32 << 10
	jadesMaxAge    = 5 * time.Minute
	maxSealedChain = 4
)

// jadesMembers are the protected header members the profile has a use for, and
// jadesCritical those that may be marked critical: we understand all of them.
var (
	jadesMembers  = []string{"alg", "b64", "crit", "cty", "iat", "kid", "sigD", "sigT", "typ", "x5c", "x5t#S256"}
	jadesCritical = []string{"b64", "iat", "sigD", "sigT", "x5c", "x5t#S256"}
)

func (p JAdES) pars(m Message) []string {
	if p.Pars == nil {
		return m.present(append([]string{requestTarget}, mustBeSigned...))
	}
	return m.present(p.Pars)
}

// SignJAdES makes the headers Digest and x-jws-signature of a message.
func (s *QSeal) SignJAdES(m Message, p JAdES, now time.Time) (http.Header, error) {
	digest := Digest(m.Body)
	m = m.with(headerDigest, digest)
	names := p.pars(m)
	if !slices.Contains(names, "digest") {
		return nil, errors.New("jose: jades: a signature that does not cover the digest protects nothing")
	}
	payload, err := m.lines(names)
	if err != nil {
		return nil, errors.New("jose: jades: " + err.Error())
	}
	alg := sealAlgorithms(s.leaf.PublicKey)[0]
	if alg == PS256 && p.PKCS1 {
		alg = RS256
	}
	protected, err := json.Marshal(s.jadesHeader(alg, names, p, now))
	if err != nil {
		return nil, errors.New("jose: jades: the header cannot be written")
	}
	header := base64.RawURLEncoding.EncodeToString(protected)
	signature, err := sealBytes(s.key, alg, signingInput(header, payload, p.Encoded))
	if err != nil {
		return nil, err
	}
	return http.Header{
		http.CanonicalHeaderKey(headerDigest): {digest},
		headerJAdES:                           {header + ".." + base64.RawURLEncoding.EncodeToString(signature)},
	}, nil
}

func (s *QSeal) jadesHeader(alg Algorithm, names []string, p JAdES, now time.Time) map[string]any {
	h := map[string]any{
		"alg":      alg,
		"sigD":     map[string]any{"pars": names, "mId": httpHeaders},
		"x5t#S256": thumbprint(s.leaf, p.HexThumbprint),
	}
	critical := []string{"sigD"}
	if p.SigT {
		h["sigT"], critical = now.UTC().Format(time.RFC3339), append(critical, "sigT")
	} else {
		h["iat"] = now.Unix()
	}
	if !p.Encoded {
		h["b64"], critical = false, append(critical, "b64")
	}
	if p.Chain {
		chain := make([]string, len(s.der))
		for i, der := range s.der {
			chain[i] = base64.StdEncoding.EncodeToString(der)
		}
		h["x5c"] = chain
	}
	h["crit"] = critical
	return h
}

func thumbprint(c *x509.Certificate, asHex bool) string {
	sum := sha256.Sum256(c.Raw)
	if asHex {
		return hex.EncodeToString(sum[:])
	}
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// signingInput is what a JWS signs: with b64 false (RFC 7797) the payload as
// it is.
func signingInput(header string, payload []byte, encoded bool) []byte {
	if encoded {
		return []byte(header + "." + base64.RawURLEncoding.EncodeToString(payload))
	}
	return append([]byte(header+"."), payload...)
}

// VerifyJAdES checks a message signed by SignJAdES, as a bank with that
// profile does. The certificate is in x5c, or it is one of known, named by its
// thumbprint; it leads to one of roots. Both iat and sigT are taken, up to
// five minutes old. The error is a *SignatureError.
func VerifyJAdES(m Message, p JAdES, known []*x509.Certificate, roots *x509.CertPool, now time.Time) (*Certificate, error) {
	c, refused := verifyJAdES(m, p, known, roots, now)
	if refused != nil {
		return nil, refused
	}
	return c, nil
}

func verifyJAdES(m Message, p JAdES, known []*x509.Certificate, roots *x509.CertPool, now time.Time) (*Certificate, *SignatureError) {
	values := m.Header.Values(headerJAdES)
	if len(values) != 1 {
		return nil, refuse(PartForm, "there must be one x-jws-signature")
	}
	jws, refused := parseBankJWS(values[0], jadesMembers, jadesCritical)
	if refused != nil {
		return nil, refused
	}
	leaf, refused := jws.signer(p, known, roots, now)
	if refused != nil {
		return nil, refused
	}
	if refused := jws.fresh(now); refused != nil {
		return nil, refused
	}
	if refused := checkDigest(m); refused != nil {
		return nil, refused
	}
	names, refused := jws.sigD()
	if refused != nil {
		return nil, refused
	}
	for _, name := range p.pars(m) {
		if !slices.Contains(names, name) {
			return nil, refuse(PartHeader, "sigD does not cover "+name)
		}
	}
	if jws.encoded != p.Encoded {
		return nil, refuse(PartForm, "b64 is not what this profile says")
	}
	payload, err := m.lines(names)
	if err != nil {
		return nil, refuse(PartHeader, "sigD names a header that the message lacks, or one that cannot be signed")
	}
	if refused := jws.check(leaf.PublicKey, sealAlgorithms(leaf.PublicKey), payload); refused != nil {
		return nil, refused
	}
	info, err := InspectCertificate(leaf)
	if err != nil {
		return nil, refuse(PartKid, "the certificate's statements cannot be read")
	}
	return info, nil
}

// bankJWS is a detached JWS with critical members, which go-jose refuses
// whatever they are. Nothing in it is believed yet.
type bankJWS struct {
	header    map[string]json.RawMessage
	protected string // as received
	alg       Algorithm
	encoded   bool // false: b64 is false
	signature []byte
}

// parseBankJWS is the gate for a detached JWS of a bank's profile: members and
// critical are all that may be in its protected header, and marked critical.
// What is marked must be there (RFC 7515 §4.1.11), b64 must be marked (RFC 7797 §6).
func parseBankJWS(text string, members, critical []string) (*bankJWS, *SignatureError) {
	parts := strings.Split(text, ".")
	if len(text) > maxBankJWS || len(parts) != 3 || parts[0] == "" || parts[1] != "" || parts[2] == "" {
		return nil, refuse(PartForm, "a detached JWS is header..signature")
	}
	raw, err := strict.DecodeString(parts[0])
	j := &bankJWS{protected: parts[0], encoded: true}
	if err != nil || json.Unmarshal(raw, &j.header) != nil || j.header == nil {
		return nil, refuse(PartForm, "the protected header is not a JSON object with each member once")
	}
	if j.signature, err = strict.DecodeString(parts[2]); err != nil {
		return nil, refuse(PartForm, "the signature part is not canonical base64url")
	}
	for _, name := range slices.Sorted(maps.Keys(j.header)) {
		if !slices.Contains(members, name) {
			return nil, refuse(PartForm, "the protected header may hold only "+strings.Join(members, ", ")+forbidden(name))
		}
	}
	alg, ok := stringMember(j.header["alg"])
	if j.alg = Algorithm(alg); !ok || !j.alg.known() && j.alg != RS256 {
		return nil, refuse(PartAlg, "alg must be one of ES256, EdDSA, PS256, RS256, ES512")
	}
	return j, j.readCritical(critical)
}

func (j *bankJWS) readCritical(understood []string) *SignatureError {
	var crit []string
	if raw, there := j.header["crit"]; there && (json.Unmarshal(raw, &crit) != nil || len(crit) == 0) {
		return refuse(PartForm, "crit is not a list of names")
	}
	for i, name := range crit {
		_, there := j.header[name]
		if !there || !slices.Contains(understood, name) || slices.Contains(crit[:i], name) {
			return refuse(PartForm, "crit names something twice, absent, or not understood")
		}
	}
	if raw, there := j.header["b64"]; there {
		var b64 *bool
		if json.Unmarshal(raw, &b64) != nil || b64 == nil || !slices.Contains(crit, "b64") {
			return refuse(PartForm, "b64 is not a boolean that is marked critical")
		}
		j.encoded = *b64
	}
	return nil
}

// check verifies the signature over payload with one of the algorithms that
// the key allows.
func (j *bankJWS) check(public any, allowed []Algorithm, payload []byte) *SignatureError {
	if !slices.Contains(allowed, j.alg) {
		return refuse(PartAlg, "alg is not one of the certificate's key")
	}
	if checkSeal(public, j.alg, signingInput(j.protected, payload, j.encoded), j.signature) != nil {
		return refuse(PartSignature, "the signature does not match these headers")
	}
	return nil
}

// signer finds the certificate: the first of x5c, else the known one with that
// thumbprint. Where both are there, they must agree.
func (j *bankJWS) signer(p JAdES, known []*x509.Certificate, roots *x509.CertPool, now time.Time) (*x509.Certificate, *SignatureError) {
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	if raw, there := j.header["x5c"]; there {
		var chain [][]byte // standard base64, as x5c has it
		if json.Unmarshal(raw, &chain) != nil || len(chain) == 0 || len(chain) > maxSealedChain {
			return nil, refuse(PartKid, "x5c is not a chain of certificates")
		}
		for i, der := range chain {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, refuse(PartKid, "x5c is not a chain of certificates")
			}
			if i == 0 {
				leaf = c
			} else {
				between.AddCert(c)
			}
		}
	}
	if print, there := stringMember(j.header["x5t#S256"]); there {
		if leaf != nil {
			known = []*x509.Certificate{leaf}
		}
		i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return thumbprint(c, p.HexThumbprint) == print })
		if i < 0 {
			return nil, refuse(PartKid, "x5t#S256 names no certificate we know")
		}
		leaf = known[i]
	}
	if leaf == nil {
		return nil, refuse(PartKid, "there is neither x5c nor x5t#S256")
	}
	return leaf, trusted(leaf, between, roots, now)
}

// fresh holds iat or sigT to the window.
func (j *bankJWS) fresh(now time.Time) *SignatureError {
	if _, there := j.header["iat"]; there {
		_, refused := (&compact{header: j.header}).issuedAt(now, jadesMaxAge)
		return refused
	}
	text, _ := stringMember(j.header["sigT"])
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return refuse(PartIat, "there is neither iat nor a readable sigT")
	}
	if at.Before(now.Add(-jadesMaxAge)) || at.After(now.Add(maxFuture)) {
		return refuse(PartIat, "sigT is not within the last five minutes")
	}
	return nil
}

// sigD reads what is signed.
func (j *bankJWS) sigD() ([]string, *SignatureError) {
	var d struct {
		Pars []string `json:"pars"`
		MID  string   `json:"mId"`
	}
	var crit []string
	_ = json.Unmarshal(j.header["crit"], &crit) // read before
	if !slices.Contains(crit, "sigD") || json.Unmarshal(j.header["sigD"], &d) != nil || d.MID != httpHeaders || len(d.Pars) == 0 || len(d.Pars) > 64 {
		return nil, refuse(PartForm, "sigD is missing, not marked critical, or not of HTTP headers")
	}
	for i, name := range d.Pars {
		if name != strings.ToLower(name) || slices.Contains(d.Pars[:i], name) {
			return nil, refuse(PartForm, "sigD names a header twice or not in lower case")
		}
	}
	if !slices.Contains(d.Pars, "digest") {
		return nil, refuse(PartForm, "sigD does not cover digest")
	}
	return d.Pars, nil
}
