package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// signatureReport says what we make of the signature of the very request it
// answers. Of a bad one it shows the bytes that should have been signed: all
// of them came with the request, so this tells the client nothing new.
type signatureReport struct {
	Valid        bool   `json:"valid"`
	Part         string `json:"part,omitempty"`    // what fails: form, alg, kid, iat, header, signature; of a webhook header, clock, key, signature
	Differs      string `json:"differs,omitempty"` // what was signed otherwise: method, path, header, body
	Detail       string `json:"detail"`
	SignedHead   string `json:"signed_head,omitempty"` // what comes before the body in the signed bytes
	SignedSHA256 string `json:"signed_sha256,omitempty"`
	BodySHA256   string `json:"body_sha256"`
	BodyBytes    int    `json:"body_bytes"`
	Scheme       string `json:"scheme,omitempty"`      // of a webhook: v1, v1a or jws, which was believed
	EndpointID   string `json:"endpoint_id,omitempty"` // of a webhook: whose keys signed it
}

// checkSignature judges the signature of this request and explains; of a webhook
// that is sent on to it, the signatures that came with that. It is
// there in a sandbox only: it works harder for a bad request than for a good.
func (a *room) checkSignature(c echo.Context) error {
	if !a.Sandbox {
		return psd2.NotFound("route")
	}
	r := c.Request()
	who, err := a.authenticate(r, "")
	if err != nil {
		return err
	}
	body, err := edge.ReadBody(r, maxBody)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	report := signatureReport{BodySHA256: hex.EncodeToString(sum[:]), BodyBytes: len(body)}
	if isDelivery(r.Header) {
		if err := a.checkDelivery(r, who, body, &report); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, report)
	}
	signatures := r.Header.Values(jose.HeaderSignature)
	if len(signatures) != 1 {
		report.Part, report.Detail = string(jose.PartForm), "send one Rialto-Signature over method, path, headers and body"
		return c.JSON(http.StatusOK, report)
	}
	tried := attempt{signatures[0], r.Method, r.RequestURI, r.Header, body}
	err = a.tryRequest(who, tried)
	var refused *jose.SignatureError
	switch {
	case err == nil:
		report.Valid, report.Detail = true, "the signature is good"
		return c.JSON(http.StatusOK, report)
	case !errors.As(err, &refused):
		return err
	}
	report.Part, report.Detail, report.SignedSHA256 = string(refused.Part), refused.Message, refused.Digest
	if refused.Part == jose.PartSignature {
		report.SignedHead = tried.head()
		if v := a.explain(who, tried); v != nil {
			report.Differs, report.Detail = v.differs, v.detail
		}
	}
	return c.JSON(http.StatusOK, report)
}

// attempt is a request as its signature may have been made for.
type attempt struct {
	signature, method, target string
	header                    http.Header
	body                      []byte
}

func (a *room) tryRequest(who *call, t attempt) error {
	_, err := jose.VerifyRequest(t.signature, who.keys, t.method, t.target, t.header, t.body, a.Now())
	return err
}

// head is the signed bytes before the body, of a signature whose form is good.
func (t *attempt) head() string {
	encoded, _, _ := strings.Cut(t.signature, ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	var protected struct {
		Headers string `json:"sig_headers"`
	}
	if err != nil || json.Unmarshal(raw, &protected) != nil {
		return ""
	}
	head := t.method + " " + t.target + "\n"
	for name := range strings.SplitSeq(protected.Headers, ",") {
		head += name + ": " + t.header.Get(name) + "\n"
	}
	return head
}

// mistake is a way in which clients sign something else than they send.
type mistake struct {
	differs, detail string
	make            func(*attempt)
}

// explain finds the mistake that makes the signature good; nil when it is none
// that we know. Each guess costs one verification.
func (a *room) explain(who *call, sent attempt) *mistake {
	for _, m := range a.mistakes(sent) {
		guess := sent
		m.make(&guess)
		if a.tryRequest(who, guess) == nil {
			return &m
		}
	}
	return nil
}

func (a *room) mistakes(sent attempt) []mistake {
	path, _, _ := strings.Cut(sent.target, "?")
	list := []mistake{
		{"path", "you signed the whole URL; sign the path with its query", func(t *attempt) { t.target = a.PublicURL + t.target }},
		{"path", "you signed the path without its query", func(t *attempt) { t.target = path }},
		{"path", "you signed the path with a slash at its end", func(t *attempt) { t.target = path + "/" }},
		{"path", "you signed the path without the slash at its beginning", func(t *attempt) { t.target = t.target[1:] }},
		{"path", "you signed the path without /v1", func(t *attempt) { t.target = strings.TrimPrefix(t.target, "/v1") }},
		{"path", "you signed the path of POST /v1/payments, but sent the request here", func(t *attempt) { t.target = "/v1/payments" }},
		{"method", "you signed the method in small letters; it is in capitals", func(t *attempt) { t.method = strings.ToLower(t.method) }},
		{"method", "you signed the method GET", func(t *attempt) { t.method = http.MethodGet }},
		{"header", "you signed the Idempotency-Key in quotes, but sent it without", func(t *attempt) {
			t.header = t.header.Clone()
			t.header.Set(HeaderIdempotencyKey, `"`+t.header.Get(HeaderIdempotencyKey)+`"`)
		}},
		{"body", "you signed no body", func(t *attempt) { t.body = nil }},
		{"body", "you signed the SHA-256 of the body; sign the body itself", func(t *attempt) {
			sum := sha256.Sum256(t.body)
			t.body = []byte(hex.EncodeToString(sum[:]))
		}},
	}
	for _, form := range rewritten(sent.body) {
		list = append(list, mistake{"body", "the body was written anew after you signed it: the JSON is the same, its bytes are not; sign the bytes you send",
			func(t *attempt) { t.body = form }})
	}
	return list
}

// rewritten returns the forms a JSON body may have had before some library
// wrote it again. A body that is not JSON has none but its own, trimmed.
func rewritten(body []byte) [][]byte {
	trimmed := bytes.TrimSpace(body)
	forms := [][]byte{trimmed, append(bytes.Clone(trimmed), '\n')}
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil {
		return forms
	}
	forms = append(forms, compact.Bytes(), spaced(compact.Bytes()))
	for _, indent := range []string{"  ", "    ", "\t"} {
		var b bytes.Buffer
		if json.Indent(&b, body, "", indent) == nil {
			forms = append(forms, b.Bytes())
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) == nil {
		if sorted, err := json.Marshal(value); err == nil { // members in the order of their names
			forms = append(forms, sorted, spaced(sorted))
		}
	}
	return forms
}

// spaced puts a blank behind each comma and colon outside of strings, as
// Python's json.dumps does.
func spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString, escaped := false, false
	for _, b := range compact {
		out = append(out, b)
		switch {
		case escaped:
			escaped = false
		case inString && b == '\\':
			escaped = true
		case b == '"':
			inString = !inString
		case !inString && (b == ',' || b == ':'):
			out = append(out, ' ')
		}
	}
	return out
}
