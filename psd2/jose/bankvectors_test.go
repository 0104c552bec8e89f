package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// draftKey is the RSA key of draft-cavage-http-signatures-10, appendix C. It is
// too short for us, so the vectors are checked beneath the gate that says so.
const draftKey = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3
6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6
Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJw
oYi+1hqp1fIekaxsyQIDAQAB
-----END PUBLIC KEY-----`

// bankVector is one entry of the collection, as far as this package judges it.
type bankVector struct {
	Name, Body, Digest, Signature, Payload string
	JWK                                    map[string]string
	JWS                                    string
	Detached                               string `json:"jws_detached"`
	HMAC                                   string `json:"key_b64url"`
	Protected                              string
	SigningString                          string `json:"signing_string"`
	HeadersParam                           string `json:"headers_param"`
	ToSign                                 string `json:"payload_to_sign"`
	PayloadText                            string `json:"payload_utf8"`
	XJWS                                   string `json:"x_jws_signature"`
	TrueLayer                              string `json:"tl_signature"`
	Base                                   string `json:"signature_base"`
	Public                                 map[string]string
	PublicX                                string `json:"public_x_b64url"`
}

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.StdEncoding} {
		if b, err := enc.DecodeString(s); err == nil {
			return b
		}
	}
	t.Fatalf("%q is no base64", s)
	return nil
}

func draftPublic(t *testing.T) *rsa.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(draftKey))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PublicKey)
}

// flips requires that the signature is good, and that no single changed bit of
// message or signature passes.
func flips(t *testing.T, message, signature []byte, check func(message, signature []byte) bool) {
	t.Helper()
	if !check(message, signature) {
		t.Error("the vector does not verify")
		return
	}
	for _, part := range []struct{ of []byte }{{message}, {signature}} {
		for i := range part.of {
			part.of[i] ^= 1
			if check(message, signature) {
				t.Errorf("byte %d was changed unnoticed", i)
			}
			part.of[i] ^= 1
		}
	}
}

// TestEveryVectorOfTheCollection: each entry is verified here, or named with
// the reason why not; a new one fails the test until somebody looks at it.
func TestEveryVectorOfTheCollection(t *testing.T) {
	var document struct{ Vectors []bankVector }
	if err := json.Unmarshal(testkit.ReadStandard(t, "jose", "vectors.json"), &document); err != nil {
		t.Fatal(err)
	}
	elsewhere := map[string]string{
		"rfc7638-rsa-thumbprint":       "TestThumbprintsOfTheRFCs",
		"rfc9449-dpop-proof":           "TestDPoPProofOfRFC9449",
		"rfc7636-pkce-s256":            "banks/berlingroup, PKCE",
		"rfc6238-totp-8digits":         "sca, codes",
		"standard-webhooks-v1":         "webhooks, signing",
		"truelayer-tl-signature-es512": "its key is not in the collection; TestSignaturesOfOtherProfilesAreRefused",
	}
	judged := 0
	for _, v := range document.Vectors {
		name, _, _ := strings.Cut(v.Name, " ")
		judge, ours := vectorJudges[name]
		if !ours && elsewhere[name] == "" {
			t.Errorf("nobody has looked at %s", name)
		}
		if ours {
			judged++
			t.Run(name, func(t *testing.T) { judge(t, v) })
		}
	}
	if judged != len(vectorJudges) {
		t.Errorf("%d vectors were judged, want %d", judged, len(vectorJudges))
	}
}

var vectorJudges = map[string]func(*testing.T, bankVector){
	"rfc8037-A4-ed25519-jws":            judgeEd25519JWS,
	"rfc7797-4.2-b64false-detached":     judgeUnencoded,
	"rfc9421-B.2.6-ed25519":             judgeBase,
	"rfc9421-B.2.4-ecdsa-p256-response": judgeBase,
	"rfc9421-B.2.5-hmac-sha256":         judgeNoHMAC,
	"cavage-10-C.1-default-date":        judgeCavage,
	"cavage-10-C.3-all-headers":         judgeCavage,
	"berlin-group-1.3-signature":        judgeCavage,
	"jades-sigD-httpheaders-rs256":      judgeJAdES,
	"uk-ob-x-jws-signature-b64false":    judgeOpenBanking,
}

func judgeEd25519JWS(t *testing.T, v bankVector) {
	i := strings.LastIndexByte(v.JWS, '.')
	key := ed25519.PublicKey(unb64(t, v.JWK["x"]))
	flips(t, []byte(v.JWS[:i]), unb64(t, v.JWS[i+1:]), func(m, s []byte) bool { return checkSeal(key, EdDSA, m, s) == nil })
}

// judgeUnencoded: the signing input of RFC 7797 is ours, its HMAC is not.
func judgeUnencoded(t *testing.T, v bankVector) {
	header, signature, _ := strings.Cut(v.Detached, "..")
	input := signingInput(header, []byte(v.PayloadText), false)
	flips(t, input, unb64(t, signature), func(m, s []byte) bool {
		mac := hmac.New(sha256.New, unb64(t, v.HMAC))
		mac.Write(m)
		return hmac.Equal(mac.Sum(nil), s)
	})
	if _, refused := parseBankJWS(v.Detached, []string{"alg", "b64", "crit"}, []string{"b64"}); refused == nil || refused.Part != PartAlg {
		t.Errorf("an HMAC is taken: %v", refused)
	}
}

// judgeBase: the raw signatures of RFC 9421 are those of JWS.
func judgeBase(t *testing.T, v bankVector) {
	var key any = ed25519.PublicKey(nil)
	alg := EdDSA
	if v.PublicX != "" {
		key = ed25519.PublicKey(unb64(t, v.PublicX))
	} else {
		point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, unb64(t, v.Public["x"]), unb64(t, v.Public["y"])))
		if err != nil {
			t.Fatal(err)
		}
		key, alg = point, ES256
	}
	flips(t, []byte(v.Base), unb64(t, v.Signature), func(m, s []byte) bool { return checkSeal(key, alg, m, s) == nil })
}

func judgeNoHMAC(t *testing.T, v bankVector) {
	for _, alg := range []Algorithm{"HS256", "", "none", ES256, PS256, RS256, EdDSA} {
		if checkSeal([]byte("secret"), alg, []byte(v.Base), unb64(t, v.Signature)) == nil {
			t.Errorf("%q verifies with a shared secret", alg)
		}
	}
}

// judgeCavage rebuilds the message from the signing string, so that our own
// lines and digest are judged with the signature.
func judgeCavage(t *testing.T, v bankVector) {
	m := Message{Header: http.Header{}, Body: []byte(v.Body)}
	var names []string
	for line := range strings.SplitSeq(v.SigningString, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		names = append(names, name)
		switch name {
		case requestTarget:
			method, target, _ := strings.Cut(value, " ")
			m.Method, m.Target = strings.ToUpper(method), target
		case "host":
			m.Host = value
		default:
			m.Header.Add(name, value)
		}
	}
	lines, err := m.lines(names)
	if err != nil || string(lines) != v.SigningString {
		t.Errorf("%q, %v", lines, err)
	}
	if v.Digest != "" && Digest(m.Body) != v.Digest {
		t.Errorf("digest %s, want %s", Digest(m.Body), v.Digest)
	}
	if v.HeadersParam != "" && !slices.Equal(m.present(strings.Fields(v.HeadersParam)), names) {
		t.Errorf("%s: %v", v.HeadersParam, names)
	}
	key := draftPublic(t)
	flips(t, lines, unb64(t, v.Signature), func(m, s []byte) bool {
		return checkCavage(key, "rsa-sha256", m, base64.StdEncoding.EncodeToString(s)) == nil
	})
	for _, alg := range []string{"", "none", "hs2019", "hmac-sha256", "ecdsa-sha256"} {
		if refused := checkCavage(key, alg, lines, v.Signature); refused == nil || refused.Part != PartAlg {
			t.Errorf("algorithm %q: %v", alg, refused)
		}
	}
}

func judgeJAdES(t *testing.T, v bankVector) {
	j, refused := parseBankJWS(v.XJWS, jadesMembers, jadesCritical)
	if refused != nil {
		t.Fatal(refused)
	}
	names, refused := j.sigD()
	if refused != nil || strings.Join(names, " ") != "(request-target) digest x-request-id psu-ip-address" || j.encoded {
		t.Errorf("%v %v", names, refused)
	}
	key := draftPublic(t)
	if refused := j.check(key, sealAlgorithms(key), []byte(v.ToSign)); refused == nil || refused.Part != PartAlg {
		t.Errorf("a key of 1024 bits is taken: %v", refused)
	}
	flips(t, []byte(v.ToSign), j.signature, func(m, _ []byte) bool { return j.check(key, []Algorithm{RS256}, m) == nil })
	for i := range len(v.XJWS) {
		altered := []byte(v.XJWS)
		altered[i] ^= 1
		if j, refused := parseBankJWS(string(altered), jadesMembers, jadesCritical); refused == nil && j.check(key, []Algorithm{RS256}, []byte(v.ToSign)) == nil {
			t.Errorf("character %d was changed unnoticed", i)
		}
	}
}

// judgeOpenBanking: the same gate with the member names of another market; ours
// refuses them.
func judgeOpenBanking(t *testing.T, v bankVector) {
	const ob = "http://openbanking.org.uk/"
	critical := []string{"b64", ob + "iat", ob + "iss", ob + "tan"}
	j, refused := parseBankJWS(v.XJWS, append([]string{"alg", "kid", "crit"}, critical...), critical)
	if refused != nil {
		t.Fatal(refused)
	}
	key := draftPublic(t)
	flips(t, []byte(v.PayloadText), j.signature, func(m, _ []byte) bool { return j.check(key, []Algorithm{RS256}, m) == nil })
	if _, refused := parseBankJWS(v.XJWS, append([]string{"alg", "kid", "crit"}, critical...), critical[:3]); refused == nil {
		t.Error("a critical member that is not understood is taken")
	}
	if _, refused := parseBankJWS(v.XJWS, jadesMembers, jadesCritical); refused == nil {
		t.Error("JAdES takes Open Banking's members")
	}
}

// TestGateForCriticalMembers: go-jose refuses every crit but b64, so these
// rules are ours (RFC 7515 §4.1.11, RFC 7797 §6).
func TestGateForCriticalMembers(t *testing.T) {
	for _, c := range []struct {
		header string
		part   Part
	}{
		{`{"alg":"ES256","crit":["sigD"],"sigD":{}}`, ""},
		{`{"alg":"ES256"}`, ""},
		{`{"alg":"none"}`, PartAlg},
		{`{"alg":"HS256"}`, PartAlg},
		{`{"alg":"RS512"}`, PartAlg},
		{`{"alg":["ES256"]}`, PartAlg},
		{`{}`, PartAlg},
		{`{"alg":"ES256","alg":"ES256"}`, PartForm},
		{`{"alg":"ES256","ALG":"none"}`, PartForm},
		{`{"alg":"ES256","crit":[]}`, PartForm},
		{`{"alg":"ES256","crit":"sigD","sigD":{}}`, PartForm},
		{`{"alg":"ES256","crit":["sigD"]}`, PartForm},
		{`{"alg":"ES256","crit":["sigD","sigD"],"sigD":{}}`, PartForm},
		{`{"alg":"ES256","crit":["exp"],"exp":1}`, PartForm},
		{`{"alg":"ES256","crit":["alg"]}`, PartForm},
		{`{"alg":"ES256","b64":false}`, PartForm},
		{`{"alg":"ES256","b64":"false","crit":["b64"]}`, PartForm},
		{`{"alg":"ES256","b64":null,"crit":["b64"]}`, PartForm},
		{`{"alg":"ES256","jwk":{}}`, PartForm},
		{`{"alg":"ES256","x5u":"https://evil.example"}`, PartForm},
		{`{"alg":"ES256","x5t":"1"}`, PartForm}, // ETSI TS 119 182-1 JA-5.1.6-01
		{`[]`, PartForm},
		{`null`, PartForm},
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(c.header)) + "..AAAA"
		var got Part
		if _, refused := parseBankJWS(text, jadesMembers, jadesCritical); refused != nil {
			got = refused.Part
		}
		if got != c.part {
			t.Errorf("%s: %q, want %q", c.header, got, c.part)
		}
	}
	for _, text := range []string{"", "a.b.c", "e30..", "..AAAA", "e30.e30.AAAA", "e30..AAAA..", "e30..AAAB=", "e30..AA" + strings.Repeat("A", maxBankJWS)} {
		if _, refused := parseBankJWS(text, jadesMembers, jadesCritical); refused == nil {
			t.Errorf("%.20q is taken", text)
		}
	}
}

// TestSigDSaysWhatIsSigned: critical, of HTTP headers, lower case, each once,
// with the digest (ETSI TS 119 182-1 §5.2.8).
func TestSigDSaysWhatIsSigned(t *testing.T) {
	const mID = `"mId":"http://uri.etsi.org/19182/HttpHeaders"`
	for header, good := range map[string]bool{
		`"crit":["sigD"],"sigD":{"pars":["digest"],` + mID + `}`:                                         true,
		`"sigD":{"pars":["digest"],` + mID + `}`:                                                         false,
		`"crit":["sigT"],"sigT":"x","sigD":{"pars":["digest"],` + mID + `}`:                              false,
		`"crit":["sigD"],"sigD":{"pars":["x-request-id"],` + mID + `}`:                                   false,
		`"crit":["sigD"],"sigD":{"pars":["Digest"],` + mID + `}`:                                         false,
		`"crit":["sigD"],"sigD":{"pars":["digest","digest"],` + mID + `}`:                                false,
		`"crit":["sigD"],"sigD":{"pars":[],` + mID + `}`:                                                 false,
		`"crit":["sigD"],"sigD":{"pars":["digest"]}`:                                                     false,
		`"crit":["sigD"],"sigD":{"pars":["digest"],"mId":"http://uri.etsi.org/19182/ObjectIdByURIHash"}`: false,
		`"crit":["sigD"],"sigD":["digest"]`:                                                              false,
		`"crit":["sigD"],"sigD":{"pars":["digest"],"pars":["digest","x-request-id"],` + mID + `}`:        false,
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256",`+header+`}`)) + "..AAAA"
		j, refused := parseBankJWS(text, jadesMembers, jadesCritical)
		if refused == nil {
			_, refused = j.sigD()
		}
		if (refused == nil) != good {
			t.Errorf("%s: %v", header, refused)
		}
	}
}

// FuzzBankMessages: no header of a stranger makes a reader panic, and none is
// believed without a certificate of a known issuer.
func FuzzBankMessages(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9..AAAA", `keyId="SN=1,CA=x",algorithm="rsa-sha256",headers="digest",signature="AAAA"`, []byte("\x30\x03\x06\x01\x01"))
	f.Fuzz(func(t *testing.T, jws, cavage string, der []byte) {
		if j, refused := parseBankJWS(jws, jadesMembers, jadesCritical); refused == nil {
			_, _ = j.sigD()
			_ = j.fresh(time.Time{})
			if _, refused := j.signer(JAdES{}, nil, x509.NewCertPool(), time.Time{}); refused == nil {
				t.Error("a signer nobody vouches for")
			}
		}
		_, _ = parseCavage([]string{cavage})
		m := Message{Header: http.Header{"Signature": {cavage}, "X-Jws-Signature": {jws}, "Digest": {Digest(nil)}}}
		if _, err := VerifyCavage(m, x509.NewCertPool(), time.Time{}); err == nil {
			t.Error("believed")
		}
		if _, err := VerifyJAdES(m, JAdES{}, nil, x509.NewCertPool(), time.Time{}); err == nil {
			t.Error("believed")
		}
		var c Certificate
		_ = c.readStatements(der)
	})
}
