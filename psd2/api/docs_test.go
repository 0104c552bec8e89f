package api_test

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/jose"
)

func TestDocumentationShowsTheContract(t *testing.T) {
	w := newWorld(t)
	got := w.send(w.request(http.MethodGet, "/docs", ""))
	page := string(got.body)
	if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", got.StatusCode, got.Header.Get("Content-Type"))
	}
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract())
	if err != nil {
		t.Fatal(err)
	}
	plain := html.UnescapeString(page)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.Contains(plain, "<b>"+method+"</b> "+path) || !strings.Contains(plain, op.Summary) {
				t.Errorf("%s %s is not documented", method, path)
			}
			for _, p := range op.Parameters {
				if !strings.Contains(plain, "<code>"+p.Value.Name+"</code>") {
					t.Errorf("parameter %s of %s %s is not documented", p.Value.Name, method, path)
				}
			}
		}
	}
	for name := range doc.Webhooks {
		if !strings.Contains(plain, "<code>"+name+"</code>") {
			t.Errorf("webhook %s is not documented", name)
		}
	}
	for name, schema := range doc.Components.Schemas {
		if !strings.Contains(plain, `id="object-`+strings.ToLower(name)+`"`) {
			t.Errorf("object %s is not documented", name)
		}
		for property := range schema.Value.Properties {
			if !strings.Contains(plain, "<code>"+property+"</code>") {
				t.Errorf("%s.%s is not documented", name, property)
			}
		}
	}
	for _, code := range []string{"json_unknown_key", "signature_signature", "idempotency_key_reused", "rate_limited"} {
		if !strings.Contains(plain, "<code>"+code+"</code>") {
			t.Errorf("error %s is not documented", code)
		}
	}
	checkLinks(t, w, page)
	if len(page) > 200<<10 {
		t.Errorf("the page has %d kB", len(page)>>10)
	}
	contract := w.send(w.request(http.MethodGet, "/openapi.yaml", ""))
	if string(contract.body) != string(api.Contract()) {
		t.Error("the contract that is served is another")
	}
}

// checkLinks follows what a page refers to: fragments exist, files are ours.
func checkLinks(t *testing.T, w *world, page string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		link := html.UnescapeString(m[1])
		switch {
		case strings.HasPrefix(link, "#"):
			if !strings.Contains(page, `id="`+link[1:]+`"`) {
				t.Errorf("%s leads nowhere", link)
			}
		case strings.HasPrefix(link, "mailto:"):
		case strings.HasPrefix(link, "/"):
			if got := w.send(w.request(http.MethodGet, link, "")); got.StatusCode != 200 {
				t.Errorf("%s: %d", link, got.StatusCode)
			}
		default:
			t.Errorf("%s is not ours", link)
		}
	}
	for _, inline := range []string{"<style", " style=", " onclick=", "<script>", "<no value>", "ZgotmplZ"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %q", inline)
		}
	}
}

func TestSigningExampleIsTrue(t *testing.T) {
	w := newWorld(t)
	page := string(w.send(w.request(http.MethodGet, "/docs", "")).body)
	shown := func(name string) string {
		found := regexp.MustCompile(`(?s)data-test="example-` + name + `">(.*?)</pre>`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("the page shows no %s", name)
		}
		return html.UnescapeString(found[1])
	}
	var jwk map[string]any
	if err := json.Unmarshal([]byte(shown("jwk")), &jwk); err != nil {
		t.Fatal(err)
	}
	delete(jwk, "d")
	raw, err := json.Marshal(map[string]any{"keys": []any{jwk}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseJWKS(raw)
	if err != nil {
		t.Fatal(err)
	}
	body := shown("body")
	if want := "POST /v1/payments\nIdempotency-Key: deposit-4711\n" + body; shown("payload") != want {
		t.Errorf("signed bytes %q", shown("payload"))
	}
	header := http.Header{"Idempotency-Key": {"deposit-4711"}}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	if _, err := jose.VerifyRequest(shown("signature"), keys, "POST", "/v1/payments", header, []byte(body), at); err != nil {
		t.Errorf("the example does not verify: %v", err)
	}
}
