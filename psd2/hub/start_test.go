package hub_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// wantField checks that a wish is refused with that reason and field.
func wantField(t *testing.T, w *world, name string, r hub.StartRequest, field, reason string) {
	t.Helper()
	var e *psd2.Error
	err := w.hub.CheckStart(w.merchant, r)
	if !errors.As(err, &e) || e.Code != psd2.CodeInvalid || e.Field != field || e.Reason != reason || e.Message == "" {
		t.Errorf("%s: %v, want %s %s", name, err, field, reason)
	}
}

// B07: the return URI is one of the registered, byte by byte. Each of these
// is, to some parser or other, the same address or a place at the same host.
func TestReturnURIMustBeRegisteredByteByByte(t *testing.T) {
	w := one(t)
	w.merchant.ReturnURIs = []string{"https://shop.example/cb", "https://shop.example/cb?from=rialto"}
	good := w.wish()
	for _, uri := range w.merchant.ReturnURIs {
		good.ReturnURI = uri
		if err := w.hub.CheckStart(w.merchant, good); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"",
		"https://shop.example@evil.example/cb",
		"https://shop.example:pass@evil.example/cb",
		"https://user@shop.example/cb",
		`https://shop.example\@evil.example/cb`,
		`https:\\shop.example\cb`,
		"//shop.example/cb",
		"/cb",
		"https:shop.example/cb",
		"https:///shop.example/cb",
		"javascript:alert(1)//https://shop.example/cb",
		"data:text/html,https://shop.example/cb",
		"http://shop.example/cb",
		"HTTPS://shop.example/cb",
		"https://shop.example.evil.example/cb",
		"https://evil-shop.example/cb",
		"https://shop.example./cb",
		"https://shop.example:443/cb",
		"https://shop.example:8443/cb",
		"https://SHOP.example/cb",
		"https://shop.example/CB",
		"https://shop.example/cb/",
		"https://shop.example/cb/../evil",
		"https://shop.example/./cb",
		"https://shop.example//cb",
		"https://shop.example/cb-evil",
		"https://shop.example/c%62",
		"https://shop%2eexample/cb",
		"https://shop.example/cb%2f..",
		"https://shop.example/cb\r\nLocation: https://evil.example",
		"https://shop.example/c\tb",
		" https://shop.example/cb",
		"https://shop.example/cb ",
		"https://shop.example/cb#evil",
		"https://shop.example/cb?",
		"https://shop.example/cb?next=https://evil.example",
		"https://shop.example/cb?from=rialto&from=evil",
		"https://shоp.example/cb", // Cyrillic о
		"https://xn--shp-pxc.example/cb",
		"https://ｓhop.example/cb",
		"https://[::1]/cb",
		"https://127.0.0.1/cb",
		"https://shop.example/cb\x00",
		"https://shop.example/cb,https://shop.example/cb?from=rialto",
	} {
		r := good
		r.ReturnURI = uri
		wantField(t, w, uri, r, "return_uri", "return_uri_not_registered")
	}
	w.merchant.ReturnURIs = nil
	wantField(t, w, "nothing registered", w.wish(), "return_uri", "return_uri_not_registered")
}

func TestEachFieldOfACreateRequestIsChecked(t *testing.T) {
	w := one(t)
	w.merchant.MaxMinor = 500_000
	many := map[string]string{}
	for _, k := range strings.Split("abcdefghijk", "") {
		many[k] = "v"
	}
	minus := int64(-1)
	for _, c := range []struct {
		name, field, reason string
		change              func(*hub.StartRequest)
	}{
		{"no amount", "amount.currency", "currency_not_supported", func(r *hub.StartRequest) { r.Amount = psd2.Money{} }},
		{"zero", "amount.amount_minor", "amount_out_of_range", func(r *hub.StartRequest) { r.Amount = psd2.Euro(0) }},
		{"negative", "amount.amount_minor", "amount_out_of_range", func(r *hub.StartRequest) { r.Amount = psd2.Euro(-2500) }},
		{"above the merchant's limit", "amount.amount_minor", "amount_out_of_range", func(r *hub.StartRequest) { r.Amount = psd2.Euro(500_001) }},
		{"above the scheme's limit", "amount.amount_minor", "amount_out_of_range", func(r *hub.StartRequest) { r.Amount = psd2.Euro(100_000_000_000) }},
		{"dollars", "amount.currency", "currency_not_supported", func(r *hub.StartRequest) { r.Amount.Currency = "USD" }},
		{"small letters", "amount.currency", "currency_not_supported", func(r *hub.StartRequest) { r.Amount.Currency = "eur" }},
		{"no account", "payee_account_id", "payee_account_unknown", func(r *hub.StartRequest) { r.PayeeAccountID = "" }},
		{"another's account", "payee_account_id", "payee_account_unknown", func(r *hub.StartRequest) { r.PayeeAccountID = "acc_00000000000000000000000002" }},
		{"an IBAN for an account", "payee_account_id", "payee_account_unknown", func(r *hub.StartRequest) { r.PayeeAccountID = "DE89370400440532013000" }},
		{"no reference", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = "" }},
		{"36 characters", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = strings.Repeat("x", 36) }},
		{"not EPC", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = "Depot für 5 €" }},
		{"slash first", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = "/1" }},
		{"two slashes", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = "a//b" }},
		{"blank last", "reference", "reference_invalid", func(r *hub.StartRequest) { r.Reference = "a " }},
		{"long state", "state", "state_invalid", func(r *hub.StartRequest) { r.State = strings.Repeat("s", 513) }},
		{"state with a line end", "state", "state_invalid", func(r *hub.StartRequest) { r.State = "a\nb" }},
		{"state not ASCII", "state", "state_invalid", func(r *hub.StartRequest) { r.State = "ä" }},
		{"unknown bank", "bank_id", "bank_unknown", func(r *hub.StartRequest) { r.BankID = "nobank" }},
		{"other language", "locale", "locale_not_supported", func(r *hub.StartRequest) { r.Locale = "fr" }},
		{"regional language", "locale", "locale_not_supported", func(r *hub.StartRequest) { r.Locale = "de-DE" }},
		{"long device", "device_id", "text_invalid", func(r *hub.StartRequest) { r.DeviceID = strings.Repeat("d", 129) }},
		{"eleven entries", "metadata", "metadata_invalid", func(r *hub.StartRequest) { r.Metadata = many }},
		{"empty key", "metadata", "metadata_invalid", func(r *hub.StartRequest) { r.Metadata = map[string]string{"": "v"} }},
		{"long key", "metadata", "metadata_invalid", func(r *hub.StartRequest) { r.Metadata = map[string]string{strings.Repeat("k", 41): "v"} }},
		{"key with a blank", "metadata", "metadata_invalid", func(r *hub.StartRequest) { r.Metadata = map[string]string{"a b": "v"} }},
		{"long value", "metadata", "text_invalid", func(r *hub.StartRequest) { r.Metadata = map[string]string{"k": strings.Repeat("v", 501)} }},
		{"nobody plays", "player.reference", "player_reference_missing", func(r *hub.StartRequest) { r.Player.Reference = "" }},
		{"long player", "player.reference", "text_invalid", func(r *hub.StartRequest) { r.Player.Reference = strings.Repeat("p", 65) }},
		{"no name", "player.name", "player_name_missing", func(r *hub.StartRequest) { r.Player.Name = "" }},
		{"blank name", "player.name", "player_name_missing", func(r *hub.StartRequest) { r.Player.Name = "   " }},
		{"a title for a name", "player.name", "player_name_missing", func(r *hub.StartRequest) { r.Player.Name = "Dr. 007" }},
		{"long name", "player.name", "text_invalid", func(r *hub.StartRequest) { r.Player.Name = strings.Repeat("n", 141) }},
		{"date as people write it", "player.date_of_birth", "date_invalid", func(r *hub.StartRequest) { r.Player.DateOfBirth = "31.12.1980" }},
		{"no such day", "player.date_of_birth", "date_invalid", func(r *hub.StartRequest) { r.Player.DateOfBirth = "1981-02-29" }},
		{"date and more", "player.date_of_birth", "date_invalid", func(r *hub.StartRequest) { r.Player.DateOfBirth = "1980-12-31\n" }},
		{"country in small letters", "player.residence", "country_invalid", func(r *hub.StartRequest) { r.Player.Residence = "de" }},
		{"country of three letters", "player.residence", "country_invalid", func(r *hub.StartRequest) { r.Player.Residence = "DEU" }},
		{"status with a blank", "player.kyc_status", "kyc_status_invalid", func(r *hub.StartRequest) { r.Player.KYCStatus = "fully verified" }},
		{"date for a time", "player.registered_at", "time_invalid", func(r *hub.StartRequest) { r.Player.RegisteredAt = "2026-01-01" }},
		{"negative stake", "player.stake_minor_since_last_payout", "amount_out_of_range", func(r *hub.StartRequest) { r.Player.StakeMinorSinceLastPayout = &minus }},
	} {
		r := w.wish()
		c.change(&r)
		wantField(t, w, c.name, r, c.field, c.reason)
		err := w.db.Tx(ctx, func(tx *store.Tx) error {
			_, _, err := w.hub.StartIn(tx, w.merchant, r)
			return err
		})
		wantReason(t, err, c.reason)
	}
	if list, _, err := w.db.Payments(ctx, store.Filter{MerchantID: merchantID, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%d payments were made of bad requests, %v", len(list), err)
	}
}

func TestFullCreateRequestIsKept(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		stake := int64(0)
		r := hub.StartRequest{
			Amount: psd2.Euro(99_999_999_999), PayeeAccountID: accountID, Reference: strings.Repeat("R", 35), ReturnURI: returnURI,
			State: strings.Repeat("~", 512), BankID: plain, Locale: "de", DeviceID: "device 1",
			Metadata: map[string]string{"table": "Roulette – 'zéro'"},
			Player: psd2.Player{Reference: "p", Name: "Jürgen O’Neill-Şahin", DateOfBirth: "1980-02-29", Residence: "DE", KYCStatus: "verified",
				RegisteredAt: "2026-01-01T10:00:00.5+01:00", StakeMinorSinceLastPayout: &stake},
		}
		p := w.load(w.start(func(to *hub.StartRequest) { *to = r }))
		if !p.ExpiresAt.Equal(w.clock.Now().Add(15*time.Minute)) || p.Amount != r.Amount || p.Personal.Player.Name != r.Player.Name ||
			p.Personal.State != r.State || !maps.Equal(p.Personal.Metadata, r.Metadata) || p.PayerPolicy != psd2.PayerRequired || p.BankID != plain {
			t.Errorf("%+v %+v", p, p.Personal)
		}
	})
}

func TestNameIsNotNeededWhereNobodyComparesIt(t *testing.T) {
	w := one(t)
	for policy, need := range map[psd2.Policy]bool{"": true, psd2.PayerRequired: true, psd2.PayerOptional: false, psd2.PayerOff: false} {
		w.merchant.PayerPolicy = policy
		r := w.wish()
		r.Player.Name = ""
		if err := w.hub.CheckStart(w.merchant, r); (err != nil) != need {
			t.Errorf("policy %q: %v", policy, err)
		}
	}
}

// B15: no text may look like another, or hide a part of itself.
func TestTextThatLiesIsRefused(t *testing.T) {
	w := one(t)
	lies := []string{"\u202e", "\u202a", "\u202d", "\u2066", "\u2069", "\u200b", "\u200d", "\u200e", "\u00ad", "\ufeff", "\u2028", "\u2029",
		"\x00", "\x1b", "\x7f", "\u0085", "\r\n", "\t", "\U000e0041", "\xff", "\xc0\xaf", "\xed\xa0\x80"}
	fields := map[string]func(*hub.StartRequest, string){
		"reference":        func(r *hub.StartRequest, s string) { r.Reference = s },
		"player.reference": func(r *hub.StartRequest, s string) { r.Player.Reference = s },
		"player.name":      func(r *hub.StartRequest, s string) { r.Player.Name = s },
		"device_id":        func(r *hub.StartRequest, s string) { r.DeviceID = s },
		"metadata":         func(r *hub.StartRequest, s string) { r.Metadata = map[string]string{"k": s} },
		"state":            func(r *hub.StartRequest, s string) { r.State = s },
	}
	for field, set := range fields {
		reason := map[string]string{"reference": "reference_invalid", "state": "state_invalid"}[field]
		if reason == "" {
			reason = "text_invalid"
		}
		for _, lie := range lies {
			r := w.wish()
			set(&r, "Anna"+lie+"Beispiel")
			wantField(t, w, field+" with "+lie, r, field, reason)
		}
	}
}

// Whatever CheckStart accepts can be stored, shown and read back as it was.
func TestAcceptedRequestsAreStoredAsTheyAre(t *testing.T) {
	w := one(t)
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9 /.-]{0,40}`))
	rapid.Check(t, func(t *rapid.T) {
		r := w.wish()
		r.Reference = text.Draw(t, "reference")
		r.Player.Name, r.Player.Reference = text.Draw(t, "name"), text.Draw(t, "player")
		r.State, r.DeviceID = text.Draw(t, "state"), text.Draw(t, "device")
		r.Metadata = map[string]string{rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "key"): text.Draw(t, "value")}
		r.Amount = psd2.Euro(rapid.Int64().Draw(t, "amount"))
		if w.hub.CheckStart(w.merchant, r) != nil {
			r.Amount = psd2.Euro(1)
			if w.hub.CheckStart(w.merchant, r) != nil {
				return
			}
		}
		var p *psd2.Payment
		err := w.db.Tx(ctx, func(tx *store.Tx) (err error) {
			p, _, err = w.hub.StartIn(tx, w.merchant, r)
			return err
		})
		if err == nil {
			p, err = w.db.Payment(ctx, p.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := p.Personal
		if got.Reference != r.Reference || got.Player != r.Player || got.State != r.State || got.DeviceID != r.DeviceID || !maps.Equal(got.Metadata, r.Metadata) {
			t.Fatalf("stored %+v of %+v", got, r)
		}
	})
}
