package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

var traceID = regexp.MustCompile(`"trace_id":"[0-9a-f]{32}"`)

// withoutTrace is a problem without the one thing that always differs.
func withoutTrace(body []byte) string { return traceID.ReplaceAllString(string(body), "") }

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) { // C02, C03, C04, C05, C06
	w := newWorld(t)
	m, other := w.merchant("Casino"), w.merchant("Shop")
	good := m.depositJSON()
	with := func(old, new string) string {
		changed := strings.Replace(good, old, new, 1)
		if changed == good {
			t.Fatalf("%s is not in %s", old, good)
		}
		return changed
	}
	amount := func(s string) string { return with(`"amount_minor":2500`, `"amount_minor":`+s) }
	extra := func(s string) string { return with(`{"amount"`, `{`+s+`,"amount"`) }
	for _, tc := range []struct {
		name, body, code, field string
		status                  int
	}{
		{"no JSON", "hello", "json_invalid", "", 400},
		{"cut off", good[:len(good)-1], "json_invalid", "", 400},
		{"trailing data", good + "{}", "json_invalid", "", 400},
		{"byte order mark", "\xef\xbb\xbf" + good, "json_invalid", "", 400},
		{"invalid UTF-8", with("Erika", "\xff"), "json_invalid", "", 400},
		{"empty", "", "json_invalid", "", 400},
		{"list", "[" + good + "]", "json_invalid", "", 400},
		{"deep", `{"metadata":` + strings.Repeat(`[`, 10_000), "json_too_deep", "", 400},
		{"duplicate key", extra(`"reference":"x"`), "json_duplicate_key", "reference", 400},
		{"duplicate amount", amount(`1,"amount_minor":2500`), "json_duplicate_key", "amount.amount_minor", 400},
		{"case variant", extra(`"Amount":{"amount_minor":1,"currency":"EUR"}`), "json_unknown_key", "Amount", 400},
		{"unknown field", extra(`"colour":"red"`), "json_unknown_key", "colour", 400},
		{"mass assignment: status", extra(`"status":"settled"`), "json_unknown_key", "status", 400},
		{"mass assignment: merchant", extra(`"merchant_id":"` + other.ID + `"`), "json_unknown_key", "merchant_id", 400},
		{"mass assignment: fee", extra(`"fee":0`), "json_unknown_key", "fee", 400},
		{"mass assignment: risk", with(`"player":{`, `"player":{"risk":"low",`), "json_unknown_key", "player.risk", 400},
		{"mass assignment: id", extra(`"id":"pay_00000000000000000000000000"`), "json_unknown_key", "id", 400},
		{"mass assignment: creditable", extra(`"creditable_at":"2026-01-01T00:00:00Z"`), "json_unknown_key", "creditable_at", 400},
		{"float", amount("2500.0"), "json_wrong_type", "amount.amount_minor", 400},
		{"fraction", amount("1.005"), "json_wrong_type", "amount.amount_minor", 400},
		{"exponent", amount("1e2"), "json_wrong_type", "amount.amount_minor", 400},
		{"string", amount(`"2500"`), "json_wrong_type", "amount.amount_minor", 400},
		{"comma string", amount(`"1,00"`), "json_wrong_type", "amount.amount_minor", 400},
		{"9e18", amount("9e18"), "json_wrong_type", "amount.amount_minor", 400},
		{"over int64", amount("9223372036854775808"), "json_wrong_type", "amount.amount_minor", 400},
		{"NaN", amount("NaN"), "json_invalid", "amount.amount_minor", 400},
		{"leading plus", amount("+1"), "json_invalid", "amount.amount_minor", 400},
		{"leading zero", amount("01"), "json_invalid", "amount", 400},
		{"null amount", amount("null"), "amount_out_of_range", "amount.amount_minor", 400},
		{"zero", amount("0"), "amount_out_of_range", "amount.amount_minor", 400},
		{"negative", amount("-1"), "amount_out_of_range", "amount.amount_minor", 400},
		{"above the merchant's limit", amount("1000001"), "amount_out_of_range", "amount.amount_minor", 400},
		{"above the scheme's limit", amount("9000000000000000000"), "amount_out_of_range", "amount.amount_minor", 400},
		{"dollars", with("EUR", "USD"), "currency_not_supported", "amount.currency", 400},
		{"lower-case currency", with("EUR", "eur"), "currency_not_supported", "amount.currency", 400},
		{"another's account", with(m.Accounts[0].ID, other.Accounts[0].ID), "payee_account_unknown", "payee_account_id", 400},
		{"IBAN for an account", with(m.Accounts[0].ID, "DE00370400440532013000"), "payee_account_unknown", "payee_account_id", 400},
		{"no reference", with("Deposit 4711", ""), "reference_invalid", "reference", 400},
		{"reference too long", with("Deposit 4711", strings.Repeat("x", 36)), "reference_invalid", "reference", 400},
		{"reference with umlaut", with("Deposit", "Einzählung"), "reference_invalid", "reference", 400},
		{"reference with line break", with("Deposit 4711", `a\nb`), "reference_invalid", "reference", 400},
		{"return URI unregistered", with("casino.example/back", "casino.example/backdoor"), "return_uri_not_registered", "return_uri", 400},
		{"return URI with query", with("casino.example/back", "casino.example/back?x"), "return_uri_not_registered", "return_uri", 400},
		{"return URI elsewhere", with("https://casino.example/back", "https://casino.example@evil.example/back"), "return_uri_not_registered", "return_uri", 400},
		{"return URI in capitals", with("casino.example", "CASINO.example"), "return_uri_not_registered", "return_uri", 400},
		{"script for a return URI", with("https://casino.example/back", "javascript:alert(1)"), "return_uri_not_registered", "return_uri", 400},
		{"state too long", with(`"state":"s-1"`, `"state":"`+strings.Repeat("x", 513)+`"`), "state_invalid", "state", 400},
		{"unknown bank", extra(`"bank_id":"../alpha"`), "bank_unknown", "bank_id", 400},
		{"unknown locale", extra(`"locale":"fr"`), "locale_not_supported", "locale", 400},
		{"player missing", with(`"reference":"player-1"`, `"reference":""`), "player_reference_missing", "player.reference", 400},
		{"name missing", with(`"name":"Erika Mustermann"`, `"name":""`), "player_name_missing", "player.name", 400},
		{"name that runs backwards", with("Erika", `\u202eErika`), "text_invalid", "player.name", 400}, // B15
		{"name with zero width", with("Erika", `Eri\u200bka`), "text_invalid", "player.name", 400},
		{"name with NUL", with("Erika", `Eri\u0000ka`), "text_invalid", "player.name", 400},
		{"too much metadata", with(`{"table":"7"}`, `{"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":""}`), "metadata_invalid", "metadata", 400},
		{"metadata with an object", with(`{"table":"7"}`, `{"a":{}}`), "json_wrong_type", "metadata.a", 400},
		{"date of birth", with(`"name"`, `"date_of_birth":"31.12.1980","name"`), "date_invalid", "player.date_of_birth", 400},
		{"residence", with(`"name"`, `"residence":"deu","name"`), "country_invalid", "player.residence", 400},
		{"negative stake", with(`"name"`, `"stake_minor_since_last_payout":-1,"name"`), "amount_out_of_range", "player.stake_minor_since_last_payout", 400},
		{"too large", good + strings.Repeat(" ", 64<<10), "body_too_large", "", 413},
		{"20 MB", strings.Repeat(" ", 20<<20), "body_too_large", "", 413},
	} {
		key := "key of " + tc.name
		key = strings.ReplaceAll(key, " ", "-")
		got := m.post("/v1/payments", key, tc.body)
		if got.StatusCode != tc.status || got.code() != tc.code || tc.field != "" && tc.code != "json_invalid" && got.field() != tc.field {
			t.Errorf("%s: %d %s", tc.name, got.StatusCode, got.body)
		}
		if n := w.payments(); n != 0 {
			t.Fatalf("%s: %d payments", tc.name, n)
		}
	}
	for _, tc := range []struct {
		name, code string
		status     int
		change     func(*http.Request)
	}{
		{"no key", "idempotency_key_missing", 400, func(r *http.Request) { r.Header.Del("Idempotency-Key") }},
		{"two keys", "idempotency_key_missing", 400, func(r *http.Request) { r.Header.Add("Idempotency-Key", "k2") }},
		{"empty key", "idempotency_key_invalid", 400, setHeader("Idempotency-Key", "")},
		{"long key", "idempotency_key_invalid", 400, setHeader("Idempotency-Key", strings.Repeat("k", 256))},
		{"key with a blank", "idempotency_key_invalid", 400, setHeader("Idempotency-Key", "a b")},
		{"key with an umlaut", "idempotency_key_invalid", 400, setHeader("Idempotency-Key", "ä")},
		{"text", "content_type_not_supported", 415, setHeader("Content-Type", "text/plain")},
		{"form", "content_type_not_supported", 415, setHeader("Content-Type", "application/x-www-form-urlencoded")},
		{"no type", "content_type_not_supported", 415, func(r *http.Request) { r.Header.Del("Content-Type") }},
		{"gzip", "content_encoding_not_supported", 415, setHeader("Content-Encoding", "gzip")},
		{"query", "query_unknown", 400, func(r *http.Request) { r.URL.RawQuery = "amount=1" }},
	} {
		if got := m.post("/v1/payments", "k", good, tc.change); got.StatusCode != tc.status || got.code() != tc.code {
			t.Errorf("%s: %d %s", tc.name, got.StatusCode, got.body)
		}
	}
	if n := w.payments(); n != 0 {
		t.Fatalf("%d payments", n)
	}
	// What was refused has not used up its key.
	if got := m.post("/v1/payments", "key-of-trailing-data", good); got.StatusCode != 201 || got.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the corrected request with the key of a refused one: %d %s", got.StatusCode, got.body)
	}
}

func TestPathIsTheOnlyPlaceForAnID(t *testing.T) { // C02
	w := newWorld(t)
	m := w.merchant("Casino")
	mine, victim := m.create(), m.create()
	for name, got := range map[string]*answer{
		"body":   m.post("/v1/payments/"+mine.ID+"/cancel", "a", `{"id":"`+victim.ID+`"}`),
		"query":  m.post("/v1/payments/"+mine.ID+"/cancel?id="+victim.ID, "b", `{}`),
		"form":   m.post("/v1/payments/"+mine.ID+"/cancel", "c", "id="+victim.ID, setHeader("Content-Type", "application/x-www-form-urlencoded")),
		"slash":  m.post("/v1/payments/"+mine.ID+"%2f..%2f"+victim.ID+"/cancel", "d", "{}"),
		"dots":   m.get("/v1/payments/%2e%2e/payments/" + victim.ID),
		"quote":  m.get("/v1/payments/" + victim.ID + "'--"),
		"case":   m.get("/v1/payments/" + strings.ToUpper(victim.ID)),
		"nul":    m.get("/v1/payments/" + victim.ID + "%00"),
		"blank":  m.get("/v1/payments/%20" + victim.ID),
		"method": m.post("/v1/payments/"+mine.ID, "e", "{}", setHeader("X-HTTP-Method-Override", "GET")),
	} {
		if got.StatusCode < 400 || got.StatusCode >= 500 {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	for _, id := range []string{mine.ID, victim.ID} {
		if p, err := m.client().Get(context.Background(), id); err != nil || p.Status != psd2.StateAuthorizationRequired {
			t.Errorf("%s is %v, %v", id, p, err)
		}
	}
}

func TestIdempotencyKey(t *testing.T) { // C07
	onDatabases(t, idempotencyKey)
}

func idempotencyKey(t *testing.T, w *world) {
	m, other := w.merchant("Casino"), w.merchant("Shop")
	body := m.depositJSON()
	first := m.post("/v1/payments", "k", body)
	if first.StatusCode != 201 {
		t.Fatalf("%d %s", first.StatusCode, first.body)
	}
	w.pass(time.Hour)
	again := m.post("/v1/payments", "k", body) // signed anew
	if again.StatusCode != 201 || !bytes.Equal(again.body, first.body) || again.Header.Get("Idempotent-Replayed") != "true" ||
		again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("the repetition got %d %s", again.StatusCode, again.body)
	}
	bystander := m.create()
	if got := m.post("/v1/payments/"+m.create().ID+"/cancel", "cancel", "{}"); got.StatusCode != 200 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	for name, got := range map[string]*answer{
		"another body":         m.post("/v1/payments", "k", strings.Replace(body, "2500", "2501", 1)),
		"same JSON, one blank": m.post("/v1/payments", "k", body+" "),
		"a broken body":        m.post("/v1/payments", "k", "{"),
		"another path":         m.post("/v1/payments/"+bystander.ID+"/cancel", "cancel", "{}"),
	} {
		if got.StatusCode != 422 || got.code() != "idempotency_key_reused" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	if got := other.post("/v1/payments", "k", other.depositJSON()); got.StatusCode != 201 || got.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("another merchant with the same key: %d %s", got.StatusCode, got.body)
	}
	m.ReturnURIs = []string{"https://casino.example/elsewhere"}
	m.save()
	w.pass(time.Minute)
	if got := m.post("/v1/payments", "k", body); !bytes.Equal(got.body, first.body) {
		t.Errorf("after its return URI was deregistered the repetition got %d %s", got.StatusCode, got.body)
	}
	if n := w.payments(); n != 4 {
		t.Errorf("%d payments, want 4", n)
	}
}

func TestParallelRepetitionsPayOnce(t *testing.T) { // C07
	onDatabases(t, parallelRepetitions)
}

func parallelRepetitions(t *testing.T, w *world) {
	m := w.merchant("Casino")
	request := make(chan *http.Request, 20)
	for range cap(request) {
		request <- m.signed("/v1/payments", "k", m.depositJSON())
	}
	answers := make(chan *answer, cap(request))
	var group sync.WaitGroup
	for range cap(request) {
		group.Go(func() { answers <- w.send(<-request) })
	}
	group.Wait()
	close(answers)
	bodies, fresh := map[string]bool{}, 0
	for got := range answers {
		switch {
		case got.StatusCode == 201:
			bodies[string(got.body)] = true
			if got.Header.Get("Idempotent-Replayed") == "" {
				fresh++
			}
		case got.code() != "idempotency_key_in_flight":
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
	if len(bodies) != 1 || fresh != 1 || w.payments() != 1 {
		t.Errorf("%d different answers, %d of them first, %d payments", len(bodies), fresh, w.payments())
	}
}

func TestKeyInFlightIsAConflict(t *testing.T) { // C07
	w := newWorld(t)
	m := w.merchant("Casino")
	p := m.create()
	first := m.post("/v1/payments/"+p.ID+"/cancel", "other", "{}")
	if first.StatusCode != 200 {
		t.Fatal(first.StatusCode)
	}
	// A process that died between reserving the key and keeping the answer.
	err := w.db.Tx(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE idempotency SET status = 0`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.post("/v1/payments/"+p.ID+"/cancel", "other", "{}"); got.code() != "idempotency_key_in_flight" || got.StatusCode != 409 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	w.pass(3 * time.Minute)
	if got := m.post("/v1/payments/"+p.ID+"/cancel", "other", "{}"); got.StatusCode != 200 {
		t.Errorf("three minutes later: %d %s", got.StatusCode, got.body)
	}
}

// TestFailureGivesTheKeyBack: what we could not do may be asked for again at
// once, with the same key; nobody waits until the key counts as forgotten.
func TestFailureGivesTheKeyBack(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	p := m.create()
	hide := func(from, to string) {
		err := w.db.Tx(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE person_keys SET person_id = ? WHERE person_id = ?`, to, from)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	stored, err := w.db.Payment(context.Background(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	person := stored.PersonID
	hide(person, "elsewhere") // the payment cannot be changed
	if got := m.post("/v1/payments/"+p.ID+"/cancel", "again", "{}"); got.StatusCode < 500 {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	hide("elsewhere", person)
	if got := m.post("/v1/payments/"+p.ID+"/cancel", "again", "{}"); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := m.post("/v1/payments/"+p.ID+"/cancel", "again", "{}"); got.Header.Get("Idempotent-Replayed") != "true" {
		t.Error("the answer was not kept")
	}
}

func TestSignatureIsOverTheVeryBytes(t *testing.T) { // C10, C11, C13, C14, C15, C17, C18, C19
	w := newWorld(t)
	m, other := w.merchant("Casino"), w.merchant("Shop")
	body := m.depositJSON()
	part := func(header string) func(*http.Request) {
		return func(r *http.Request) {
			_, rest, _ := strings.Cut(r.Header.Get(jose.HeaderSignature), ".")
			r.Header.Set(jose.HeaderSignature, base64.RawURLEncoding.EncodeToString([]byte(header))+"."+rest)
		}
	}
	header := func(alg, kid, more string) string {
		return fmt.Sprintf(`{"alg":%q,"kid":%q,"iat":%d,"sig_headers":"Idempotency-Key"%s}`, alg, kid, w.now().Unix(), more)
	}
	resign := func(key *jose.Key, target, idempotency string, at time.Time) func(*http.Request) {
		return func(r *http.Request) {
			s, err := jose.SignRequest(key, r.Method, target, []jose.Header{{Name: "Idempotency-Key", Value: idempotency}}, []byte(body), at)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(jose.HeaderSignature, s)
		}
	}
	for _, tc := range []struct {
		name   string
		status int
		code   string
		change func(*http.Request)
	}{
		{"none", 401, "signature_missing", func(r *http.Request) { r.Header.Del(jose.HeaderSignature) }},
		{"two", 401, "signature_missing", func(r *http.Request) {
			r.Header.Add(jose.HeaderSignature, r.Header.Get(jose.HeaderSignature))
		}},
		{"other body", 401, "signature_signature", setBody(strings.Replace(body, "2500", "2501", 1))},
		{"re-encoded body", 401, "signature_signature", setBody(strings.Replace(body, `":`, `": `, 1))},
		{"line break added", 401, "signature_signature", setBody(body + "\r\n")},
		{"not JSON, so not parsed first", 401, "signature_signature", setBody("{")},
		{"other key", 401, "signature_signature", setHeader("Idempotency-Key", "another")},
		{"signed for another path", 401, "signature_signature", resign(m.key, "/v1/payouts", "k", w.now())},
		{"signed for another key", 401, "signature_signature", resign(m.key, "/v1/payments", "k0", w.now())},
		{"another merchant's key", 401, "signature_kid", resign(other.key, "/v1/payments", "k", w.now())},
		{"old", 401, "signature_iat", resign(m.key, "/v1/payments", "k", w.now().Add(-301*time.Second))},
		{"from the future", 401, "signature_iat", resign(m.key, "/v1/payments", "k", w.now().Add(61*time.Second))},
		{"alg none", 401, "signature_alg", part(header("none", m.key.ID(), ""))},
		{"alg nOnE", 401, "signature_alg", part(header("nOnE", m.key.ID(), ""))},
		{"alg HS256 with the public key", 401, "signature_alg", part(header("HS256", m.key.ID(), ""))},
		{"alg of another kind of key", 401, "signature_alg", part(header("PS256", m.key.ID(), ""))},
		{"kid is a path", 401, "signature_kid", part(header("ES256", "../../etc/passwd", ""))},
		{"kid is SQL", 401, "signature_kid", part(header("ES256", "' OR 1=1 --", ""))},
		{"kid is a URL", 401, "signature_kid", part(header("ES256", "https://evil.example/jwks", ""))},
		{"kid is long", 400, "signature_form", part(header("ES256", strings.Repeat("k", 10_000), ""))},
		{"jwk", 400, "signature_form", part(header("ES256", m.key.ID(), `,"jwk":{}`))},
		{"jku", 400, "signature_form", part(header("ES256", m.key.ID(), `,"jku":"`+w.url+`"`))},
		{"crit", 400, "signature_form", part(header("ES256", m.key.ID(), `,"crit":["b64"],"b64":false`))},
		{"member twice", 400, "signature_form", part(header("ES256", m.key.ID(), `,"alg":"none"`))},
		{"JSON serialisation", 400, "signature_form", setHeader(jose.HeaderSignature, `{"signatures":[]}`)},
		{"empty signature", 401, "signature_signature", func(r *http.Request) {
			s := r.Header.Get(jose.HeaderSignature)
			r.Header.Set(jose.HeaderSignature, s[:strings.LastIndexByte(s, '.')+1])
		}},
	} {
		if got := m.post("/v1/payments", "k", body, tc.change); got.StatusCode != tc.status || got.code() != tc.code {
			t.Errorf("%s: %d %s", tc.name, got.StatusCode, got.body)
		}
	}
	if n := w.payments(); n != 0 {
		t.Fatalf("%d payments", n)
	}
	wrong := m.post("/v1/payments", "k", body, setBody(body+" "))
	if !strings.Contains(string(wrong.body), `"signed_sha256":"`) {
		t.Errorf("no digest to compare: %s", wrong.body)
	}
	if got := m.post("/v1/payments", "k", body); got.StatusCode != 201 {
		t.Errorf("with the right signature and the same key: %d %s", got.StatusCode, got.body)
	}
}

func TestErrorsDiscloseNothing(t *testing.T) { // C45
	w := newWorld(t)
	m := w.merchant("Casino")
	token := m.token()
	for target, status := range map[string]int{"/": 404, "/v1": 404, "/v1/payments/": 404, "/v2/payments": 404, "/docs/x": 404} {
		if got := w.send(w.request(http.MethodGet, target, "")); got.StatusCode != status {
			t.Errorf("%s: %d %s", target, got.StatusCode, got.body)
		}
	}
	for _, method := range []string{http.MethodDelete, http.MethodPut, http.MethodPatch} {
		got := w.send(w.request(method, "/v1/payments", ""))
		if got.StatusCode != 405 || got.Header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
		}
	}
	w.db.Close()
	req := w.request(http.MethodGet, "/v1/payments", "")
	req.Header.Set("Authorization", "Bearer "+token)
	got := w.send(req)
	if got.StatusCode != 500 || got.code() != "internal_error" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	for _, secret := range []string{"sql", "database", "store", "closed", "goroutine", ".go"} {
		if strings.Contains(strings.ToLower(string(got.body)), secret) {
			t.Errorf("the answer tells %q: %s", secret, got.body)
		}
	}
	if !strings.Contains(w.log.String(), "closed") {
		t.Error("the log does not tell the cause")
	}
}

func TestNothingElseIsServed(t *testing.T) { // C49
	w := newWorld(t)
	for _, path := range []string{
		"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/vars", "/.git/config", "/.git/HEAD", "/.env", "/.svn/entries", "/.DS_Store",
		"/swagger", "/swagger/index.html", "/swagger-ui", "/api-docs", "/openapi.json", "/graphql", "/admin", "/console", "/actuator", "/actuator/env",
		"/server-status", "/phpinfo.php", "/wp-login.php", "/config.yaml", "/rialto.db", "/deployment.key", "/backup.zip", "/robots.txt", "/v1", "/v1/merchants",
		"/v1/users", "/v1/keys", "/oauth/authorize", "/oauth/introspect", "/oauth/register", "/.well-known/openid-configuration", "/static/../openapi.yaml",
		"/docs/../api.go", "/docs/pages/docs.html", "/%2e%2e/%2e%2e/etc/passwd", "/static/", "/static/base.css",
	} {
		if got := w.send(w.request(http.MethodGet, path, "")); got.StatusCode != 404 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
}

func TestHeadersOfAClientProveNothing(t *testing.T) { // C37
	w := newWorld(t)
	m := w.merchant("Casino")
	req := w.request(http.MethodGet, "/v1/payments", "")
	for _, name := range []string{"X-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-S-DN", "X-Forwarded-User", "X-Merchant-Id", "X-Client-Id"} {
		req.Header.Set(name, m.ID)
	}
	if got := w.send(req); got.StatusCode != 401 || got.code() != "token_missing" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestLogIsOneCleanLinePerRequest(t *testing.T) { // C38, C39
	w := newWorld(t)
	m := w.merchant("Casino")
	const evil = "a\\n{\\\"level\\\":\\\"ERROR\\\"}\\u001b[31m"
	body := strings.Replace(m.depositJSON(), `"s-1"`, `"`+evil+`"`, 1)
	for i, target := range []string{"/v1/payments", "/v1/payments?x=%0a%22}", "/v1/payments/%0a%1b[31m%22/cancel"} {
		m.post(target, fmt.Sprint("canary-key-", i), body, setHeader("User-Agent", "\"}{\xff"), setHeader("X-Forwarded-For", "1.2.3.4\t\"}"))
	}
	created := m.post("/v1/payments", "canary-key", m.depositJSON())
	token := m.token()
	log := w.log.String()
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	var last map[string]any
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["msg"] != "request" || record["room"] != "api" {
			t.Errorf("not a record of a request: %q", line)
		}
		if record["route"] == "/v1/payments" && record["status"] == 201.0 {
			last = record
		}
	}
	// Each call but the last token came with a token request of its own.
	if want := 4*2 + 1; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	var p struct {
		ID         string
		HostedPage struct{ URL string } `json:"hosted_page"`
	}
	if err := json.Unmarshal(created.body, &p); err != nil || last["payment_id"] != p.ID || last["merchant_id"] != m.ID || last["replayed"] != false {
		t.Errorf("the record of the creation is %v", last)
	}
	for _, canary := range []string{"Erika", "Mustermann", "Deposit 4711", "player-1", "canary-key", "1.2.3.4", "casino.example", token, token[len(token)-20:],
		p.HostedPage.URL[strings.LastIndexByte(p.HostedPage.URL, '/')+1:], "DE8937"} {
		if strings.Contains(log, canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
}
