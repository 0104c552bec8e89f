package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

func TestEachSignatureAloneProvesADelivery(t *testing.T) {
	hub := newSender(t)
	header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
	for scheme, v := range hub.verifiers(t) {
		event, err := v.Verify(header, []byte(eventBody), noon)
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		if event.ID != "evt_1" || event.Type != "payment.creditable" || event.Sequence != 4 || !event.CreatedAt.Equal(time.Date(2026, 11, 22, 11, 59, 58, 123e6, time.UTC)) {
			t.Fatalf("%s: %+v", scheme, event)
		}
		if want := `{"payment_id":"pay_1","name":"J &+/ Söhne 🎰","big":12345678901234567890}`; string(event.Data) != want {
			t.Fatalf("%s: data %s is not as sent", scheme, event.Data)
		}
		signed, err := v.Signature(header, []byte(eventBody), noon)
		if err != nil || signed.Scheme != scheme || !signed.Timestamp.Equal(noon) {
			t.Fatalf("%s: %+v, %v", scheme, signed, err)
		}
	}
}

func TestStandardWebhooksVector(t *testing.T) {
	var document struct {
		Vectors []struct {
			Name, Secret, Body string
			ID                 string `json:"webhook-id"`
			Timestamp          int64  `json:"webhook-timestamp"`
			Signature          string `json:"webhook-signature"`
		}
	}
	if err := json.Unmarshal(testkit.ReadStandard(t, "jose", "vectors.json"), &document); err != nil {
		t.Fatal(err)
	}
	for _, v := range document.Vectors {
		if v.Name != "standard-webhooks-v1" {
			continue
		}
		secret, err := verify.ParseSecret(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(v.Timestamp, 0)
		if got := verify.SignV1(secret, v.ID, at, []byte(v.Body)); got != v.Signature {
			t.Fatalf("signed %s, want %s", got, v.Signature)
		}
		header := http.Header{}
		header.Set(verify.HeaderID, v.ID)
		header.Set(verify.HeaderTimestamp, fmt.Sprint(v.Timestamp))
		receiver := verifier(t, verify.Config{Secrets: []string{v.Secret}})
		for i := range len(v.Signature) {
			altered := []byte(v.Signature)
			altered[i] ^= 1
			header.Set(verify.HeaderSignature, string(altered))
			if _, err := receiver.Signature(header, []byte(v.Body), at); err == nil {
				t.Fatalf("character %d was changed unnoticed", i)
			}
		}
		return
	}
	t.Fatal("the vector is not in the collection")
}

func TestAlteredDeliveryIsRefused(t *testing.T) { // C18, C34
	hub := newSender(t)
	for scheme, v := range hub.verifiers(t) {
		for name, c := range map[string]struct {
			alter  func(http.Header, []byte) []byte
			reason verify.Reason
		}{
			"amount": {func(_ http.Header, b []byte) []byte { return bytes.Replace(b, []byte("pay_1"), []byte("pay_2"), 1) }, verify.ReasonSignature},
			"id":     {func(h http.Header, b []byte) []byte { h.Set(verify.HeaderID, "evt_2"); return b }, verify.ReasonSignature},
			"time": {func(h http.Header, b []byte) []byte {
				h.Set(verify.HeaderTimestamp, fmt.Sprint(noon.Unix()+1))
				return b
			}, verify.ReasonSignature},
			"empty body":    {func(_ http.Header, b []byte) []byte { return nil }, verify.ReasonSignature},
			"big number":    {func(_ http.Header, b []byte) []byte { return bytes.Replace(b, []byte("67890}"), []byte("68000}"), 1) }, verify.ReasonSignature},
			"newline added": {func(_ http.Header, b []byte) []byte { return append(b, '\n') }, verify.ReasonBody},
			"JSON indented": {func(_ http.Header, b []byte) []byte {
				var o bytes.Buffer
				_ = json.Indent(&o, b, "", "  ")
				return o.Bytes()
			}, verify.ReasonBody},
			"JSON HTML-escaped": {func(_ http.Header, b []byte) []byte { var o bytes.Buffer; json.HTMLEscape(&o, b); return o.Bytes() }, verify.ReasonBody},
			"slashes escaped":   {func(_ http.Header, b []byte) []byte { return bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)) }, verify.ReasonBody},
		} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
				body := c.alter(header, []byte(eventBody))
				_, err := v.Verify(header, body, noon)
				wantReason(t, err, c.reason)
			})
		}
	}
}

func TestDeliveryIsBelievedForFiveMinutesOnly(t *testing.T) { // C19, C34
	hub := newSender(t)
	for scheme, v := range hub.verifiers(t) {
		header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
		for offset, ok := range map[time.Duration]bool{
			0: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false, -5 * time.Minute: true, -5*time.Minute - time.Second: false, 24 * time.Hour: false,
		} {
			_, err := v.Verify(header, []byte(eventBody), noon.Add(offset))
			if ok && err != nil {
				t.Errorf("%s, %s later: %v", scheme, offset, err)
			}
			if !ok {
				wantReason(t, err, verify.ReasonClock)
			}
		}
	}
	// A JWS of long ago is not revived by a fresh timestamp.
	header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
	header.Set(verify.HeaderJWS, hub.signJWS(t, verify.Content("evt_1", noon, []byte(eventBody)), noon.Add(-6*time.Minute), nil))
	_, err := hub.verifiers(t)["jws"].Verify(header, []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonClock)
}

func TestMalformedHeadersAreRefused(t *testing.T) {
	hub := newSender(t)
	set := func(name string, values ...string) func(http.Header) {
		return func(h http.Header) { h[http.CanonicalHeaderKey(name)] = values }
	}
	mac := verify.SignV1(hub.secret, "evt_1", noon, []byte(eventBody))
	for name, alter := range map[string]func(http.Header){
		"no id":                  set(verify.HeaderID),
		"two ids":                set(verify.HeaderID, "evt_1", "evt_1"),
		"id with a period":       set(verify.HeaderID, "evt.1"),
		"id with a space":        set(verify.HeaderID, "evt 1"),
		"id too long":            set(verify.HeaderID, strings.Repeat("e", 129)),
		"no timestamp":           set(verify.HeaderTimestamp),
		"timestamp text":         set(verify.HeaderTimestamp, "now"),
		"timestamp +":            set(verify.HeaderTimestamp, "+"+fmt.Sprint(noon.Unix())),
		"timestamp 0-padded":     set(verify.HeaderTimestamp, "0"+fmt.Sprint(noon.Unix())),
		"timestamp fraction":     set(verify.HeaderTimestamp, fmt.Sprint(noon.Unix())+".0"),
		"timestamp negative":     set(verify.HeaderTimestamp, "-1"),
		"timestamp overflow":     set(verify.HeaderTimestamp, "99999999999999999999"),
		"signature header twice": set(verify.HeaderSignature, mac, mac),
		"signature without v":    set(verify.HeaderSignature, strings.TrimPrefix(mac, "v1,")),
		"signature not base64":   set(verify.HeaderSignature, "v1,****"),
		"too many signatures":    set(verify.HeaderSignature, strings.Repeat(mac+" ", 40)),
		"huge":                   set(verify.HeaderSignature, "v1,"+strings.Repeat("AAAA", 3<<20)), // C24
		"no signature at all":    func(h http.Header) { h.Del(verify.HeaderSignature); h.Del(verify.HeaderJWS) },
	} {
		t.Run(name, func(t *testing.T) {
			header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
			alter(header)
			started := time.Now()
			_, err := hub.verifiers(t)["v1"].Verify(header, []byte(eventBody), noon)
			wantReason(t, err, verify.ReasonHeader)
			if took := time.Since(started); took > 100*time.Millisecond {
				t.Fatalf("it took %s", took)
			}
		})
	}
}

func TestKeysOverlapWhileTheyAreRotated(t *testing.T) {
	old, fresh := newSender(t), newSender(t)
	receiver := verifier(t, verify.Config{
		Secrets:    []string{old.secret.Reveal(), fresh.secret.Reveal()},
		PublicKeys: []string{old.signing.Public().String(), fresh.signing.Public().String()},
	})
	for _, hub := range []*sender{old, fresh} {
		for _, signature := range []string{verify.SignV1(hub.secret, "evt_1", noon, []byte(eventBody)), verify.SignV1a(hub.signing, "evt_1", noon, []byte(eventBody))} {
			header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
			header.Set(verify.HeaderSignature, "v9,unknown "+signature)
			if _, err := receiver.Verify(header, []byte(eventBody), noon); err != nil {
				t.Error(err)
			}
		}
	}
	// The sender lists signatures by both keys; a receiver with either believes it.
	header := fresh.deliver(t, "evt_1", noon, []byte(eventBody))
	header.Set(verify.HeaderSignature, verify.SignV1(fresh.secret, "evt_1", noon, []byte(eventBody))+" "+verify.SignV1(old.secret, "evt_1", noon, []byte(eventBody)))
	for _, hub := range []*sender{old, fresh} {
		if _, err := verifier(t, verify.Config{Secrets: []string{hub.secret.Reveal()}}).Verify(header, []byte(eventBody), noon); err != nil {
			t.Error(err)
		}
	}
	stranger := newSender(t)
	_, err := receiver.Verify(stranger.deliver(t, "evt_1", noon, []byte(eventBody)), []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonSignature)
}

func TestRefusalSaysWhichKeyIsMissing(t *testing.T) {
	hub := newSender(t)
	header := hub.deliver(t, "evt_1", noon, []byte(eventBody))
	header.Set(verify.HeaderSignature, verify.SignV1(hub.secret, "evt_1", noon, []byte(eventBody)))
	_, err := hub.verifiers(t)["v1a"].Verify(header, []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonKey)
	if message := err.Error(); !strings.Contains(message, "v1") || !strings.Contains(message, "public key") {
		t.Fatalf("the message does not help: %s", message)
	}
	other := newSender(t)
	other.kid = "hub-2"
	_, err = other.verifiers(t)["jws"].Verify(header, []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonKey)
	other.kid = "hub-1" // the same name, another key
	_, err = other.verifiers(t)["jws"].Verify(header, []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonSignature)
}

func TestOnlyThePlainDetachedJWSIsBelieved(t *testing.T) { // C10, C11, C14, C15, C16, C17, C24
	hub := newSender(t)
	content := verify.Content("evt_1", noon, []byte(eventBody))
	good := hub.signJWS(t, content, noon, nil)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	header := func(text string) string { return b64([]byte(text)) + ".." + parts[2] }
	tail := fmt.Sprintf(`"kid":"hub-1","iat":%d`, noon.Unix())
	for name, text := range map[string]string{
		"alg none":         header(`{"alg":"none",` + tail + `}`),
		"alg nOnE, empty":  b64([]byte(`{"alg":"nOnE",`+tail+`}`)) + "..",
		"alg HS256":        header(`{"alg":"HS256",` + tail + `}`),
		"alg RS256":        header(`{"alg":"RS256",` + tail + `}`),
		"alg array":        header(`{"alg":["ES256"],` + tail + `}`),
		"empty signature":  parts[0] + "..",
		"crit":             hub.signJWS(t, content, noon, map[string]any{"crit": []string{}}),
		"jku":              hub.signJWS(t, content, noon, map[string]any{"jku": "http://127.0.0.1:1/"}),
		"typ":              hub.signJWS(t, content, noon, map[string]any{"typ": "JOSE"}),
		"b64 false":        hub.signJWS(t, content, noon, map[string]any{"b64": false}),
		"no kid":           header(fmt.Sprintf(`{"alg":"ES256","iat":%d}`, noon.Unix())),
		"kid with a path":  header(fmt.Sprintf(`{"alg":"ES256","kid":"../x","iat":%d}`, noon.Unix())),
		"kid twice":        header(`{"alg":"ES256","kid":"hub-2",` + tail + `}`),
		"iat text":         header(`{"alg":"ES256","kid":"hub-1","iat":"1"}`),
		"attached":         parts[0] + "." + b64(content) + "." + parts[2],
		"JSON":             `{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"newline":          good + "\n",
		"padded":           good + "=",
		"periods":          strings.Repeat(".", 8000),
		"header not JSON":  b64([]byte("x")) + ".." + parts[2],
		"header null":      b64([]byte("null")) + ".." + parts[2],
		"spare bits in it": spareBits(good),
	} {
		t.Run(name, func(t *testing.T) {
			headers := hub.deliver(t, "evt_1", noon, []byte(eventBody))
			headers.Set(verify.HeaderJWS, text)
			_, err := hub.verifiers(t)["jws"].Verify(headers, []byte(eventBody), noon)
			wantReason(t, err, verify.ReasonHeader)
		})
	}
	headers := hub.deliver(t, "evt_1", noon, []byte(eventBody))
	headers.Set(verify.HeaderJWS, header(`{"alg":"EdDSA",`+tail+`}`))
	_, err := hub.verifiers(t)["jws"].Verify(headers, []byte(eventBody), noon)
	wantReason(t, err, verify.ReasonKey)
}

// spareBits changes the last character of a 64-byte signature in bits that
// carry nothing.
func spareBits(jws string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, jws[len(jws)-1])
	return jws[:len(jws)-1] + string(alphabet[last|1])
}

func TestBodyThatIsNotAnEventIsRefusedAfterTheSignature(t *testing.T) {
	hub := newSender(t)
	for name, body := range map[string]string{
		"not JSON":        "hello",
		"array":           "[]",
		"null":            "null",
		"other id":        strings.Replace(eventBody, "evt_1", "evt_2", 1),
		"no type":         strings.Replace(eventBody, `"type"`, `"kind"`, 1),
		"type other case": strings.Replace(eventBody, `"type"`, `"Type"`, 1),
		"bad time":        strings.Replace(eventBody, "2026-11-22T", "22.11.2026 ", 1),
		"type twice":      strings.Replace(eventBody, `"sequence"`, `"type":"payment.failed","sequence"`, 1),
		"sequence float":  strings.Replace(eventBody, `"sequence":4`, `"sequence":4.5`, 1),
		"trailing JSON":   eventBody + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			header := hub.deliver(t, "evt_1", noon, []byte(body))
			_, err := hub.verifiers(t)["v1"].Verify(header, []byte(body), noon)
			wantReason(t, err, verify.ReasonBody)
			_, err = hub.verifiers(t)["v1"].Verify(header, []byte(body+" x"), noon)
			wantReason(t, err, verify.ReasonSignature)
		})
	}
}

func TestRequestReadsTheRawBodyWithinItsLimit(t *testing.T) {
	hub := newSender(t)
	v := verifier(t, verify.Config{Secrets: []string{hub.secret.Reveal()}, Now: func() time.Time { return noon }})
	request := httptest.NewRequest("POST", "/hooks", strings.NewReader(eventBody))
	request.Header = hub.deliver(t, "evt_1", noon, []byte(eventBody))
	if _, err := v.Request(request, int64(len(eventBody))); err != nil {
		t.Fatal(err)
	}
	request.Body = http.NoBody
	_, err := v.Request(request, 1<<20) // something has read it before
	wantReason(t, err, verify.ReasonSignature)
	request.Body = io.NopCloser(strings.NewReader(eventBody))
	_, err = v.Request(request, int64(len(eventBody))-1)
	wantReason(t, err, verify.ReasonBody)
	broken := errors.New("connection reset")
	request.Body = io.NopCloser(iotest.ErrReader(broken))
	_, err = v.Request(request, 1<<20)
	wantReason(t, err, verify.ReasonBody)
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

// A comparison that ends at the first difference tells an attacker how far he
// is. No secret is compared but by hmac.Equal, and no code here compares
// signature bytes any other way.
func TestSecretsAreComparedInConstantTime(t *testing.T) { // C27
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	compares := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.SelectorExpr:
				if x, ok := node.X.(*ast.Ident); ok {
					switch x.Name + "." + node.Sel.Name {
					case "hmac.Equal":
						compares++
					case "bytes.Equal", "bytes.Compare", "reflect.DeepEqual", "slices.Equal":
						if name != "key.go" { // two halves of one's own key, at load time
							t.Errorf("%s compares with %s.%s", name, x.Name, node.Sel.Name)
						}
					}
				}
			case *ast.BinaryExpr:
				for _, side := range []ast.Expr{node.X, node.Y} {
					if call, ok := side.(*ast.CallExpr); ok && (node.Op == token.EQL || node.Op == token.NEQ) {
						if f, ok := call.Fun.(*ast.Ident); ok && (f.Name == "hmacOf" || f.Name == "SignV1" || f.Name == "string") {
							t.Errorf("%s compares the result of %s with %s", name, f.Name, node.Op)
						}
					}
				}
			}
			return true
		})
	}
	if compares == 0 {
		t.Fatal("nothing is compared with hmac.Equal any more")
	}
}

func FuzzVerify(f *testing.F) {
	hub := newSender(f)
	v := verifier(f, verify.Config{Secrets: []string{hub.secret.Reveal()}, PublicKeys: []string{hub.signing.Public().String()}, JWKS: hub.jwks(f)})
	good := hub.deliver(f, "evt_1", noon, []byte(eventBody))
	f.Add(good.Get(verify.HeaderID), good.Get(verify.HeaderTimestamp), good.Get(verify.HeaderSignature), good.Get(verify.HeaderJWS), []byte(eventBody))
	f.Add("evt_1", "1", "v1, v1a, v2,x", "a..b", []byte("{}"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature, jws string, body []byte) {
		header := http.Header{}
		header.Set(verify.HeaderID, id)
		header.Set(verify.HeaderTimestamp, timestamp)
		header.Set(verify.HeaderSignature, signature)
		header.Set(verify.HeaderJWS, jws)
		event, err := v.Verify(header, body, noon)
		var refused *verify.Error
		switch {
		case err != nil && !errors.As(err, &refused):
			t.Fatalf("an error without a reason: %v", err)
		case err == nil && (id != "evt_1" || string(body) != eventBody || event == nil):
			t.Fatalf("believed %q %q %q %q %q", id, timestamp, signature, jws, body)
		}
	})
}
