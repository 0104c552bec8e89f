package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
)

// injections are values that become commands where text is pasted into SQL.
var injections = []string{
	`'`, `"`, `\`, `''`, `' OR '1'='1`, `' OR 1=1--`, `" OR ""="`, `') OR ('1'='1`, `1 OR 1=1`, `1; DROP TABLE payments`, `'; DROP TABLE payments;--`,
	`'; DELETE FROM journal WHERE 1=1;--`, `' UNION SELECT id, sealed FROM merchants--`, `' UNION ALL SELECT NULL,NULL,NULL--`, `settled' --`, `%`, `_`, `%27%20OR%201%3D1`,
	`'||(SELECT value FROM meta)||'`, `$1`, `?`, `:id`, `@p1`, `{{1}}`, `0x27`, "x\x00'", "a\nb", `/*`, `*/ OR /*`, `payments.id DESC; --`, `created_at,(SELECT 1)`, `null`, `NULL`, `true`, `-1`, `1e9`,
}

// TestInjectedSQLFindsNothingAndChangesNothing: C40. Every filter, search and
// path of every room gets each of the strings; none is an internal error, none
// finds what a true value would find, and afterwards all is as it was.
func TestInjectedSQLFindsNothingAndChangesNothing(t *testing.T) {
	t.Parallel()
	bank := startBank(t)
	h := startHub(t, hubConfig(t, bank, "limits: {token: {per_second: -1}, address: {per_second: -1}, merchant: {per_second: -1}}\npages: {per_ip: -1}\n"), nil)
	s := openShop(t, h, h.PublicURL, "hook", nil)
	anna, err := bank.Operator.Persona(t.Context(), "sandbank", "anna")
	if err != nil {
		t.Fatal(err)
	}
	p := s.create(t, s.deposit("Anna Beispiel"))
	payAt(t, p.HostedPage.URL, anna, psu.Wish{}, nil)
	s.await(t, p.ID, psd2.EventCreditable)
	token, err := s.Client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := payer.NewClient(nil)
	ask := func(method, address string, form url.Values) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(address, h.PublicURL) {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", h.StaffOrigin)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	operator(t, h, client)
	truth := func() (all string) {
		for _, address := range []string{
			h.PublicURL + "/v1/payments", h.PublicURL + "/v1/payments/" + p.ID, h.PublicURL + "/v1/payments/" + p.ID + "/events", h.PublicURL + "/v1/events", bank.URL + "/sandbox/ledger",
		} {
			status, body := ask(http.MethodGet, address, nil)
			if status != http.StatusOK {
				t.Fatalf("%s: %d", address, status)
			}
			all += body
		}
		return all
	}
	before := truth()
	if !strings.Contains(before, p.ID) {
		t.Fatal("the world is empty")
	}
	for _, evil := range injections {
		q, path := url.QueryEscape(evil), url.PathEscape(evil)
		for _, address := range []string{
			h.PublicURL + "/v1/payments?status=" + q, h.PublicURL + "/v1/payments?player_reference=" + q, h.PublicURL + "/v1/payments?reference=" + q,
			h.PublicURL + "/v1/payments?end_to_end_id=" + q, h.PublicURL + "/v1/payments?created_from=" + q, h.PublicURL + "/v1/payments?cursor=" + q, h.PublicURL + "/v1/payments?limit=" + q,
			h.PublicURL + "/v1/payments?sort=" + q, h.PublicURL + "/v1/payments?player_reference=player-1" + q, h.PublicURL + "/v1/payments?" + q + "=1",
			h.PublicURL + "/v1/payments/" + path, h.PublicURL + "/v1/payments/" + p.ID + path, h.PublicURL + "/v1/payments/" + path + "/events",
			h.PublicURL + "/v1/events?after=" + q, h.PublicURL + "/v1/events?limit=" + q,
			h.PublicURL + "/p/" + path, h.PublicURL + "/pay/" + path, h.PublicURL + "/return/" + path,
			h.StaffOrigin + "/payments?state=" + q, h.StaffOrigin + "/payments/" + path,
			bank.URL + "/sandbox/ledger?end_to_end_id=" + q, bank.URL + "/sandbox/accounts/" + path + "/entries", bank.URL + "/sandbank/pay/" + path,
		} {
			status, body := ask(http.MethodGet, address, nil)
			judge(t, address, status, body, p.ID)
		}
		if status, body := ask(http.MethodPost, h.StaffOrigin+"/search", url.Values{"q": {evil}}); status >= 500 || strings.Contains(body, p.ID) {
			t.Errorf("search for %q: %d", evil, status)
		}
	}
	if after := truth(); after != before {
		t.Errorf("something has changed:\n%s\n%s", before, after)
	}
}

// judge accepts a refusal, or an answer that found nothing.
func judge(t *testing.T, address string, status int, body, secret string) {
	t.Helper()
	if status >= 500 || status == http.StatusTooManyRequests {
		t.Errorf("%s: %d %.200s", address, status, body)
	}
	var list struct {
		Data      []json.RawMessage `json:"data"`
		Transfers []json.RawMessage `json:"transfers"`
	}
	// A page of everything is right where the operator's page ignores a state it does not know.
	if status == http.StatusOK && json.Unmarshal([]byte(body), &list) == nil && len(list.Data)+len(list.Transfers) > 0 {
		t.Errorf("%s found %s", address, body)
	}
	for _, tell := range []string{"SQL", "sqlite", "pgx", "syntax error", "no such column"} {
		if strings.Contains(body, tell) {
			t.Errorf("%s tells %q", address, tell)
		}
	}
	if status != http.StatusOK && strings.Contains(body, secret) {
		t.Errorf("%s: a refusal names a payment", address)
	}
}
