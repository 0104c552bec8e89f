package configs_test

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
)

func merchant() psd2.Merchant {
	return psd2.Merchant{
		ID: "mer_01m0zzzzzzzzzzzzzzzzzzzzzz", Name: "Lucky Tide", LegalName: "Lucky Tide Ltd", Website: "casino.example",
		Accounts:   []psd2.PayeeAccount{{ID: "acc_01m0zzzzzzzzzzzzzzzzzzzzzz", Name: "Lucky Tide Ltd", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"}},
		ReturnURIs: []string{"https://casino.example/back"},
	}
}

func TestMerchantGetsDefaultsAndItsIBANNormalised(t *testing.T) {
	t.Parallel()
	m := merchant()
	m.Accounts[0].IBAN = "DE89 3704 0044 0532 0130 00"
	if err := configs.CheckMerchant(&m); err != nil {
		t.Fatal(err)
	}
	if m.Accounts[0].IBAN != "DE89370400440532013000" || m.PayerPolicy != psd2.PayerRequired || strings.Join(m.Scopes, " ") != "payments:read payments:write" {
		t.Errorf("%+v", m)
	}
}

func TestMerchantIsRefusedWithEveryReason(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*psd2.Merchant){
		"id must look like mer_":            func(m *psd2.Merchant) { m.ID = "mer_1" },
		"id must look like mer_ and":        func(m *psd2.Merchant) { m.ID = "acc_01m0zzzzzzzzzzzzzzzzzzzzzz" },
		"name must have 1 to 70":            func(m *psd2.Merchant) { m.Name = "" },
		"name must have 1 to 70 characters": func(m *psd2.Merchant) { m.Name = strings.Repeat("x", 71) },
		"name must have":                    func(m *psd2.Merchant) { m.Name = "Lucky\u202eediT" },
		"legal_name must have":              func(m *psd2.Merchant) { m.LegalName = "a\nb" },
		"website must be a host name":       func(m *psd2.Merchant) { m.Website = "https://casino.example/" },
		"website must be":                   func(m *psd2.Merchant) { m.Website = "casino.example evil" },
		"accent must look like":             func(m *psd2.Merchant) { m.Accent = "red;}" },
		"max_amount_minor must not":         func(m *psd2.Merchant) { m.MaxMinor = -1 },
		`there is no scope "everything"`:    func(m *psd2.Merchant) { m.Scopes = []string{"payments:read", "everything"} },
		"payer_policy must be":              func(m *psd2.Merchant) { m.PayerPolicy = "perhaps" },
		"at least one payee account":        func(m *psd2.Merchant) { m.Accounts = nil },
		"the IBAN's check digits":           func(m *psd2.Merchant) { m.Accounts[0].IBAN = "DE89370400440532013001" },
		"accounts[0]: id must look like":    func(m *psd2.Merchant) { m.Accounts[0].ID = "mer_01m0zzzzzzzzzzzzzzzzzzzzzz" },
		"accounts[1]: the id is used twice": func(m *psd2.Merchant) { m.Accounts = append(m.Accounts, m.Accounts[0]) },
		"accounts[0]: name must have":       func(m *psd2.Merchant) { m.Accounts[0].Name = "Lucky Tide & Söhne <b>" },
		"accounts[0]: the BIC":              func(m *psd2.Merchant) { m.Accounts[0].BIC = "COBADE" },
		"at least one return URI":           func(m *psd2.Merchant) { m.ReturnURIs = nil },
		"return_uris[1]: must be https":     func(m *psd2.Merchant) { m.ReturnURIs = append(m.ReturnURIs, "http://casino.example/") },
	} {
		m := merchant()
		spoil(&m)
		if err := configs.CheckMerchant(&m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
	m := psd2.Merchant{}
	if err := configs.CheckMerchant(&m); err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("not all that is wrong is said at once: %v", err)
	}
}

// TestReturnURITricks: what browsers and net/url read differently is no return
// URI.
func TestReturnURITricks(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://casino.example/back", "https://casino.example", "https://casino.example/", "https://casino.example:8443/a/b?c=d&e=%20f", "https://xn--bcher-kva.example/",
		"http://localhost:3000/back", "http://casino.localhost/back", "http://127.0.0.1:80/", "https://casino.example/a..b", "https://casino.example/.well-known/x",
	} {
		if err := check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", " ", "/back", "back", "//casino.example/back", "casino.example/back", "https:", "https:/casino.example", "https:casino.example", "https:///back", "https://", "https://:443/",
		"http://casino.example/back", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://evillocalhost/", "http://127.0.0.2/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/",
		"ftp://casino.example/", "javascript:alert(1)", "JaVaScRiPt://casino.example/%0aalert(1)", "data:text/html,x", "file:///etc/passwd", "intent://casino.example/", "app.casino://back",
		"https://user@casino.example/", "https://user:pass@casino.example/", "https://casino.example@evil.example/", "https://@casino.example/", "https://casino.example:443@evil.example/",
		"https://casino.example/#f", "https://casino.example/#", "https://casino.example\\@evil.example/", "https://casino.example/\\evil", "https:\\\\casino.example/",
		" https://casino.example/", "https://casino.example/ ", "https://casino.example/\n", "https://casino.example/\tx", "https://casino.example/\x00", "https://casino.example/\x7f",
		"https://cäsino.example/", "https://casino.example/ä", "https://casino.example./", "https://casino.example/a/../b", "https://casino.example/..", "https://casino.example/./b", "https://casino.example/b/.",
		"https://casino.example/a/%2e%2e/b", "https://casino.example/%2E%2e", "https://casino.example:0/", "https://casino.example:99999/", "https://casino.example:8443x/", "https://casino.example:-1/",
		"https://casino%2eexample/", "https://[::1/", "https://casino.example/" + strings.Repeat("a", 3000),
	} {
		if check(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func check(uri string) error {
	m := merchant()
	m.ReturnURIs = []string{uri}
	return configs.CheckMerchant(&m)
}
