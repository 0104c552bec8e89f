package jose_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

func TestRequestSignatureIsAcceptedInEveryAlgorithm(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.ES512} {
		key, r := newKey(t, alg), deposit()
		signature := r.sign(t, key, noon)
		verified, err := jose.VerifyRequest(signature, registered(t, key), r.method, r.target, r.header, r.body, noon)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if verified.KeyID != key.ID() || verified.Algorithm != alg || !verified.IssuedAt.Equal(noon) {
			t.Fatalf("%s: verified %+v", alg, verified)
		}
	}
}

// The bytes of design and documentation, spelled out, so that a client in any
// language can be written from them.
func TestRequestSignatureCoversExactlyTheDocumentedBytes(t *testing.T) {
	key, r := newKey(t, jose.ES256), deposit()
	signature := r.sign(t, key, noon)
	documented := "POST /v1/payments?expand=a%2Fb&x=1+2\n" +
		"Idempotency-Key: k-1\n" +
		"x-other: value; with=\"things\"\n" +
		body
	verified, err := jose.VerifyRequest(signature, registered(t, key), r.method, r.target, r.header, r.body, noon)
	if err != nil {
		t.Fatal(err)
	}
	if verified.Digest != sha256.Sum256([]byte(documented)) {
		t.Fatal("other bytes were signed than documented")
	}
	var members map[string]any
	header, _, _ := strings.Cut(signature, "..")
	if err := json.Unmarshal(unb64(t, header), &members); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"alg": "ES256", "kid": key.ID(), "iat": float64(noon.Unix()), "sig_headers": "Idempotency-Key,x-other"}
	if fmt.Sprint(members) != fmt.Sprint(want) {
		t.Fatalf("protected header %v, want %v", members, want)
	}
}

func TestAlteredRequestIsRefused(t *testing.T) { // C18, C19
	key := newKey(t, jose.ES256)
	keys := registered(t, key)
	signature := deposit().sign(t, key, noon)
	cases := map[string]func(*request){
		"other method":          func(r *request) { r.method = "PUT" },
		"lower-case method":     func(r *request) { r.method = "post" },
		"other path":            func(r *request) { r.target = "/v1/payouts?expand=a%2Fb&x=1+2" },
		"trailing slash":        func(r *request) { r.target = "/v1/payments/?expand=a%2Fb&x=1+2" },
		"no query":              func(r *request) { r.target = "/v1/payments" },
		"query re-encoded":      func(r *request) { r.target = "/v1/payments?expand=a/b&x=1+2" },
		"plus as %20":           func(r *request) { r.target = "/v1/payments?expand=a%2Fb&x=1%202" },
		"query reordered":       func(r *request) { r.target = "/v1/payments?x=1+2&expand=a%2Fb" },
		"other idempotency key": func(r *request) { r.header.Set("Idempotency-Key", "k-2") },
		"other header value":    func(r *request) { r.header.Set("X-Other", "value") },
		"body swapped":          func(r *request) { r.body = []byte(strings.Replace(body, "2500", "9900", 1)) },
		"body empty":            func(r *request) { r.body = nil },
		"body with CRLF":        func(r *request) { r.body = append(r.body, "\r\n"...) },
		"body with a space":     func(r *request) { r.body = bytes.Replace(r.body, []byte(":{"), []byte(": {"), 1) },
		"& escaped":             func(r *request) { r.body = bytes.Replace(r.body, []byte("&"), []byte(`\u0026`), 1) },
		"/ escaped":             func(r *request) { r.body = bytes.Replace(r.body, []byte("/ S"), []byte(`\/ S`), 1) },
		"umlaut escaped":        func(r *request) { r.body = bytes.Replace(r.body, []byte("ö"), []byte(`\u00f6`), 1) },
		"umlaut decomposed":     func(r *request) { r.body = bytes.Replace(r.body, []byte("ö"), []byte("o\u0308"), 1) },
		"emoji as surrogates":   func(r *request) { r.body = bytes.Replace(r.body, []byte("🎰"), []byte(`\ud83c\udfb0`), 1) },
		"big number via float": func(r *request) {
			r.body = bytes.Replace(r.body, []byte("12345678901234567890"), []byte("12345678901234567000"), 1)
		},
		"parsed and re-encoded":  func(r *request) { var v any; _ = json.Unmarshal(r.body, &v); r.body, _ = json.Marshal(v) },
		"line moved to the body": func(r *request) { r.body = append([]byte("x-other: y\n"), r.body...) },
	}
	for name, alter := range cases {
		t.Run(name, func(t *testing.T) {
			r := deposit()
			alter(&r)
			wantPart(t, r.verify(signature, keys, noon), jose.PartSignature)
		})
	}
}

func TestAnyBodyBytesCanBeSigned(t *testing.T) { // C18
	key := newKey(t, jose.ES256)
	keys := registered(t, key)
	for _, content := range []string{"", "\x00\xff\xfe", "\r\n", "not json", strings.Repeat("é&+/", 50_000), "\ufeff{}", "{}\n"} {
		r := deposit()
		r.body = []byte(content)
		if err := r.verify(r.sign(t, key, noon), keys, noon); err != nil {
			t.Fatalf("%.20q: %v", content, err)
		}
	}
}

func TestUnsignedAlgorithmsAreRefused(t *testing.T) { // C10
	key, r := newKey(t, jose.ES256), deposit()
	keys := registered(t, key)
	good := r.sign(t, key, noon)
	for _, alg := range []string{"none", "nOnE", "NONE", "None", "", "ES384", "RS256", "PS512", "ES256K", "es256", "HS256"} {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"iat":%d,"sig_headers":"Idempotency-Key"}`, alg, key.ID(), noon.Unix())
		wantPart(t, r.verify(withHeader(good, header), keys, noon), jose.PartAlg)
		wantPart(t, r.verify(b64(header)+"..", keys, noon), jose.PartAlg)
	}
	header, _, _ := strings.Cut(good, "..")
	wantPart(t, r.verify(header+"..", keys, noon), jose.PartSignature)
	wantPart(t, r.verify(header+".."+b64(strings.Repeat("\x00", 64)), keys, noon), jose.PartSignature) // r = s = 0
}

func TestPublicKeyIsNeverUsedAsAnHMACSecret(t *testing.T) { // C11
	key, r := newKey(t, jose.PS256), deposit()
	keys := registered(t, key)
	public, _ := keys.Key(key.ID())
	document, err := keys.MarshalJWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set gojose.JSONWebKeySet
	if err := json.Unmarshal(document, &set); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{der, document, []byte(public.Thumbprint())} {
		header := b64(fmt.Sprintf(`{"alg":"HS256","kid":%q,"iat":%d,"sig_headers":"Idempotency-Key"}`, key.ID(), noon.Unix()))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(header + "." + b64("POST "+r.target+"\nIdempotency-Key: k-1\n"+body)))
		wantPart(t, r.verify(header+".."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), keys, noon), jose.PartAlg)
	}
}

func TestAlgorithmMustBeTheKeysOwn(t *testing.T) { // C11
	r := deposit()
	ec, ed := newKey(t, jose.ES256), newKey(t, jose.EdDSA)
	keys := registered(t, ec, ed)
	for alg, kid := range map[string]string{"EdDSA": ec.ID(), "ES512": ec.ID(), "PS256": ec.ID(), "ES256": ed.ID()} {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"iat":%d,"sig_headers":"Idempotency-Key"}`, alg, kid, noon.Unix())
		wantPart(t, r.verify(withHeader(r.sign(t, ec, noon), header), keys, noon), jose.PartAlg)
	}
}

func TestKidIsOnlyLookedUpAmongTheClientsOwnKeys(t *testing.T) { // C13
	mine, theirs, r := newKey(t, jose.ES256), newKey(t, jose.ES256), deposit()
	wantPart(t, r.verify(r.sign(t, theirs, noon), registered(t, mine), noon), jose.PartKid)
	wantPart(t, r.verify(r.sign(t, theirs, noon), nil, noon), jose.PartKid)

	good := r.sign(t, mine, noon)
	kids := []any{"../../etc/passwd", "x' OR '1'='1", "https://evil.example/k", strings.Repeat("k", 65), "", "a b", "k\u0000", "ключ", []string{mine.ID()}, 7, nil, map[string]string{"a": "b"}}
	for _, kid := range kids {
		header, _ := json.Marshal(map[string]any{"alg": "ES256", "kid": kid, "iat": noon.Unix(), "sig_headers": "Idempotency-Key"})
		err := r.verify(withHeader(good, string(header)), registered(t, mine), noon)
		wantPart(t, err, jose.PartKid)
		if strings.Contains(err.Error(), "current keys") {
			t.Fatalf("%v was looked up", kid)
		}
	}
	wantPart(t, r.verify(withHeader(good, `{"alg":"ES256","iat":1,"sig_headers":"Idempotency-Key"}`), registered(t, mine), noon), jose.PartKid)
	huge, _ := json.Marshal(map[string]any{"alg": "ES256", "kid": strings.Repeat("k", 10_000), "iat": 1, "sig_headers": "Idempotency-Key"})
	wantPart(t, r.verify(withHeader(good, string(huge)), registered(t, mine), noon), jose.PartForm)
}

func TestHeaderMayNotBringOrPointToAKey(t *testing.T) { // C14
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fetched := make(chan struct{}, 8)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched <- struct{}{} })}
	go server.Serve(listener)
	defer server.Close()
	url := "http://" + listener.Addr().String() + "/keys"

	attacker, r := newKey(t, jose.ES256), deposit()
	public, _ := json.Marshal(jwkOf(t, attacker))
	victim := registered(t, newKey(t, jose.ES256))
	for name, value := range map[string]string{
		"jwk": string(public), "jku": `"` + url + `"`, "x5u": `"` + url + `"`, "x5c": `["MIIB"]`, "x5t#S256": `"AAAA"`,
		"typ": `"JWT"`, "cty": `"json"`, "zip": `"DEF"`, "nonce": `"n"`, "url": `"x"`, "KID": `"a"`, "Alg": `"ES256"`,
	} {
		header := fmt.Sprintf(`{"alg":"ES256","kid":"a","iat":%d,"sig_headers":"Idempotency-Key","%s":%s}`, noon.Unix(), name, value)
		wantPart(t, r.verify(withHeader(r.sign(t, attacker, noon), header), victim, noon), jose.PartForm)
	}
	select {
	case <-fetched:
		t.Fatal("a header made us fetch a URL")
	default:
	}
}

func TestCriticalExtensionsAndUnencodedPayloadAreRefused(t *testing.T) { // C15, C16
	key, r := newKey(t, jose.ES256), deposit()
	keys := registered(t, key)
	for _, extra := range []string{
		`"crit":["unknown"]`, `"crit":[]`, `"crit":["b64"]`, `"crit":["b64","b64"],"b64":false`, `"crit":["exp"],"exp":1`,
		`"b64":false`, `"b64":true`, `"b64":"false"`, `"crit":null`,
	} {
		header := fmt.Sprintf(`{"alg":"ES256","kid":%q,"iat":%d,"sig_headers":"Idempotency-Key",%s}`, key.ID(), noon.Unix(), extra)
		wantPart(t, r.verify(withHeader(r.sign(t, key, noon), header), keys, noon), jose.PartForm)
	}
}

// A library that signs with b64:false makes a good signature over the same
// bytes; it is refused all the same, because only one form is documented.
func TestUnencodedPayloadIsRefusedEvenWithAGoodSignature(t *testing.T) { // C16
	key, r := newKey(t, jose.ES256), deposit()
	data, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var jwk gojose.JSONWebKey
	if err := json.Unmarshal(data, &jwk); err != nil {
		t.Fatal(err)
	}
	options := (&gojose.SignerOptions{}).WithBase64(false).WithHeader("iat", noon.Unix()).WithHeader("sig_headers", "Idempotency-Key")
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: jwk}, options)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign([]byte("POST " + r.target + "\nIdempotency-Key: k-1\n" + body))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := object.DetachedCompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	wantPart(t, r.verify(signature, registered(t, key), noon), jose.PartForm)
}

func TestOnlyTheDetachedCompactSerialisationIsAccepted(t *testing.T) { // C17
	key, r := newKey(t, jose.ES256), deposit()
	keys := registered(t, key)
	good := r.sign(t, key, noon)
	header, signature, _ := strings.Cut(good, "..")
	for name, text := range map[string]string{
		"flattened JSON":     `{"protected":"` + header + `","payload":"","signature":"` + signature + `"}`,
		"general JSON":       `{"payload":"","signatures":[{"protected":"` + header + `","signature":"` + signature + `"},{"protected":"` + header + `","signature":"` + signature + `"}]}`,
		"JSON after a space": ` {"protected":"` + header + `","signature":"` + signature + `"}`,
		"attached payload":   header + "." + b64("POST "+r.target+"\nIdempotency-Key: k-1\n"+body) + "." + signature,
		"two parts":          header + "." + signature,
		"four parts":         good + "." + signature,
		"empty":              "",
		"a period":           ".",
		"two periods":        "..",
		"leading space":      " " + good,
		"trailing newline":   good + "\n",
		"newline inside":     good[:20] + "\n" + good[20:],
		"padding":            good + "=",
		"standard base64":    header + "..+/" + signature[2:],
		"two signatures":     good + "," + good,
		"header not JSON":    b64("alg=ES256") + ".." + signature,
		"header null":        b64("null") + ".." + signature,
		"header an array":    b64("[]") + ".." + signature,
		"alg twice":          b64(`{"alg":"ES256","alg":"ES256"}`) + ".." + signature,
		"kid twice, escaped": b64(`{"alg":"ES256","kid":"a","\u006bid":"b"}`) + ".." + signature,
		"trailing JSON":      b64(`{"alg":"ES256"}{}`) + ".." + signature,
	} {
		t.Run(name, func(t *testing.T) {
			wantPart(t, r.verify(text, keys, noon), jose.PartForm)
		})
	}
}

func TestClockSkewOfRequestSignatures(t *testing.T) { // C19
	key, r := newKey(t, jose.ES256), deposit()
	keys := registered(t, key)
	for offset, ok := range map[time.Duration]bool{
		0: true, 5 * time.Second: true, 10 * time.Second: true, 11 * time.Second: true, 60 * time.Second: true, 61 * time.Second: false, time.Hour: false,
		-time.Minute: true, -5 * time.Minute: true, -5*time.Minute - time.Second: false, -24 * time.Hour: false,
	} {
		err := r.verify(r.sign(t, key, noon.Add(offset)), keys, noon)
		if ok && err != nil {
			t.Errorf("iat %s from now: %v", offset, err)
		}
		if !ok {
			wantPart(t, err, jose.PartIat)
		}
	}
	for _, iat := range []string{`"1795000000"`, "1.5", "1e9", "-1", "null", "[]", "99999999999999999999", "true"} {
		header := fmt.Sprintf(`{"alg":"ES256","kid":%q,"iat":%s,"sig_headers":"Idempotency-Key"}`, key.ID(), iat)
		wantPart(t, r.verify(withHeader(r.sign(t, key, noon), header), keys, noon), jose.PartIat)
	}
	header := fmt.Sprintf(`{"alg":"ES256","kid":%q,"sig_headers":"Idempotency-Key"}`, key.ID())
	wantPart(t, r.verify(withHeader(r.sign(t, key, noon), header), keys, noon), jose.PartIat)
}

func TestSignedHeadersMustBeThereExactlyOnce(t *testing.T) {
	key := newKey(t, jose.ES256)
	keys := registered(t, key)
	signature := deposit().sign(t, key, noon)
	for name, alter := range map[string]func(http.Header){
		"missing":           func(h http.Header) { h.Del("X-Other") },
		"key missing":       func(h http.Header) { h.Del("Idempotency-Key") },
		"twice":             func(h http.Header) { h.Add("X-Other", "again") },
		"the same twice":    func(h http.Header) { h.Add("Idempotency-Key", "k-1") },
		"other casing only": func(h http.Header) { h["x-other"] = h["X-Other"]; delete(h, "X-Other") },
	} {
		t.Run(name, func(t *testing.T) {
			r := deposit()
			alter(r.header)
			wantPart(t, r.verify(signature, keys, noon), jose.PartHeader)
		})
	}
	for _, list := range []string{
		"", "X-Other", "Idempotency-Key, X-Other", "Idempotency-Key,", ",Idempotency-Key", "Idempotency-Key,idempotency-key",
		"Idempotency-Key,X-Other,x-OTHER", "Idempotency-Key,Rialto-Signature", "Idempotency-Key,a\nb", "Idempotency-Key:",
		"Idempotency-Key" + strings.Repeat(",X-Other", 17), "Idempotency-Key," + strings.Repeat("x", 65),
	} {
		r := deposit()
		r.header.Set("Rialto-Signature", "x")
		header, _ := json.Marshal(map[string]any{"alg": "ES256", "kid": key.ID(), "iat": noon.Unix(), "sig_headers": list})
		wantPart(t, r.verify(withHeader(signature, string(header)), keys, noon), jose.PartHeader)
	}
}

func TestHugeSignatureHeaderIsRefusedAtOnce(t *testing.T) { // C24
	key, r := newKey(t, jose.ES256), deposit()
	keys := registered(t, key)
	for _, text := range []string{strings.Repeat(".", 10<<20), strings.Repeat("a", 10<<20), "{" + strings.Repeat("[", 10<<20)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wantPart(t, r.verify(text, keys, noon), jose.PartForm)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("it took %d bytes of memory to refuse %.10q…", took, text)
		}
	}
	wantPart(t, r.verify(strings.Repeat(".", 4096), keys, noon), jose.PartForm)
}

// Whatever single character of a signature is changed, it is refused: also the
// last one, whose spare bits a lenient base64 decoder ignores.
func TestEveryAlteredCharacterOfASignatureIsNoticed(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.ES512} {
		key, r := newKey(t, alg), deposit()
		keys := registered(t, key)
		good := r.sign(t, key, noon)
		step := 1
		if alg == jose.ES512 {
			step = 7 // each costs five milliseconds
		}
		for i := len(good) - 1; i >= 0; i -= step {
			if good[i] == '.' {
				continue
			}
			altered := []byte(good)
			altered[i] = alphabet[strings.IndexByte(alphabet, good[i])^1] // the next value: for the last character, a spare bit
			if err := r.verify(string(altered), keys, noon); err == nil {
				t.Fatalf("%s: character %d was changed from %q to %q unnoticed", alg, i, good[i], altered[i])
			}
		}
	}
}

func TestRefusalTellsTheClientWhatToCompare(t *testing.T) {
	key, r := newKey(t, jose.ES256), deposit()
	signature := r.sign(t, key, noon)
	r.body = []byte("{}")
	err := r.verify(signature, registered(t, key), noon)
	var refused *jose.SignatureError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	ours := sha256.Sum256([]byte("POST " + r.target + "\nIdempotency-Key: k-1\nx-other: value; with=\"things\"\n{}"))
	if refused.Digest != hex.EncodeToString(ours[:]) {
		t.Fatal("the digest is not that of the bytes as received")
	}
	for part, code := range map[jose.Part]psd2.Code{
		jose.PartForm: psd2.CodeInvalid, jose.PartHeader: psd2.CodeInvalid, jose.PartAlg: psd2.CodeUnauthorized,
		jose.PartKid: psd2.CodeUnauthorized, jose.PartIat: psd2.CodeUnauthorized, jose.PartSignature: psd2.CodeUnauthorized,
	} {
		if got := psd2.CodeOf(&jose.SignatureError{Part: part}); got != code {
			t.Errorf("%s is answered as %s, want %s", part, got, code)
		}
	}
}

func TestSignRequestRefusesWhatCannotBeVerified(t *testing.T) {
	key := newKey(t, jose.ES256)
	idempotency := jose.Header{Name: "Idempotency-Key", Value: "k"}
	for name, try := range map[string]struct {
		method, target string
		headers        []jose.Header
	}{
		"no idempotency key":   {"POST", "/v1/payments", nil},
		"absolute URL":         {"POST", "https://pay.localhost/v1/payments", []jose.Header{idempotency}},
		"unescaped target":     {"POST", "/v1/pay ments", []jose.Header{idempotency}},
		"target with LF":       {"POST", "/v1\nX: y", []jose.Header{idempotency}},
		"fragment":             {"POST", "/v1#x", []jose.Header{idempotency}},
		"method with space":    {"PO ST", "/v1", []jose.Header{idempotency}},
		"no method":            {"", "/v1", []jose.Header{idempotency}},
		"value with LF":        {"POST", "/v1", []jose.Header{idempotency, {Name: "X", Value: "a\nb"}}},
		"value that is padded": {"POST", "/v1", []jose.Header{{Name: "Idempotency-Key", Value: " k"}}},
	} {
		if signature, err := jose.SignRequest(key, try.method, try.target, try.headers, nil, noon); err == nil {
			t.Errorf("%s: signed as %s", name, signature)
		}
	}
}

func FuzzVerifyRequest(f *testing.F) {
	key, r := newKey(f, jose.EdDSA), deposit()
	keys := registered(f, key)
	good := r.sign(f, key, noon)
	f.Add(good)
	f.Add(withHeader(good, `{"alg":"EdDSA","kid":"`+key.ID()+`","iat":1,"sig_headers":"Idempotency-Key"}`))
	f.Add("..")
	f.Add(`{"payload":"","signatures":[]}`)
	f.Fuzz(func(t *testing.T, signature string) {
		err := r.verify(signature, keys, noon)
		var refused *jose.SignatureError
		switch {
		case signature == good && err != nil:
			t.Fatal(err)
		case signature != good && !errors.As(err, &refused):
			t.Fatalf("%q was accepted, or refused without a part: %v", signature, err)
		}
	})
}

func BenchmarkSignDetachedES256(b *testing.B) { benchSign(b, jose.ES256) }
func BenchmarkSignDetachedEdDSA(b *testing.B) { benchSign(b, jose.EdDSA) }

func benchSign(b *testing.B, alg jose.Algorithm) {
	key, payload := newKey(b, alg), bytes.Repeat([]byte("x"), 1024)
	for b.Loop() {
		if _, err := jose.SignDetached(key, payload, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyDetachedES256(b *testing.B) { benchVerify(b, jose.ES256) }
func BenchmarkVerifyDetachedEdDSA(b *testing.B) { benchVerify(b, jose.EdDSA) }

func benchVerify(b *testing.B, alg jose.Algorithm) {
	key, payload := newKey(b, alg), bytes.Repeat([]byte("x"), 1024)
	keys := registered(b, key)
	signature, err := jose.SignDetached(key, payload, noon)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := jose.VerifyDetached(signature, keys, payload, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyRequestES256(b *testing.B) {
	key, r := newKey(b, jose.ES256), deposit()
	keys, signature := registered(b, key), r.sign(b, key, noon)
	for b.Loop() {
		if err := r.verify(signature, keys, noon); err != nil {
			b.Fatal(err)
		}
	}
}
