package app_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
	"github.com/rialto-hub/rialto/sca"
)

// forged is a receipt changed and signed again with the hub's own key: what the
// hub itself could make up.
func (w *world) forged(receipt string, change func(*sca.Receipt)) string {
	w.t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(receipt, ".")[1])
	must(w.t, err)
	var r sca.Receipt
	must(w.t, json.Unmarshal(payload, &r))
	change(&r)
	payload, err = json.Marshal(r)
	must(w.t, err)
	key, err := w.keys.Signer(jose.ES256, w.clock.Now())
	must(w.t, err)
	detached, err := jose.SignDetached(key, payload, r.At)
	must(w.t, err)
	header, signature, _ := strings.Cut(detached, "..")
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
}

// relink makes hashes and text those of the changed data, as a forger would.
func relink(r *sca.Receipt) {
	r.LinkHash, _ = r.Linked.Hash()
	r.Display, _ = sca.Render(r.Display.Template, r.Display.Language, r.Linked)
	r.DisplayHash = r.Display.Hash()
}

// forgeries are what only the payer's own factor keeps the hub from.
var forgeries = map[string]func(*sca.Receipt){
	"another amount": func(r *sca.Receipt) { r.Linked.Amount = psd2.Euro(9900); relink(r) },
	"another payee":  func(r *sca.Receipt) { r.Linked.CreditorName = "Somebody else"; relink(r) },
	"another text": func(r *sca.Receipt) {
		r.Display.Text = "Pay nothing"
		r.DisplayHash = r.Display.Hash()
	},
	"no signature": func(r *sca.Receipt) {
		r.Evidence.Signature, r.Evidence.DeviceAnswer = strings.Replace(r.Evidence.Signature, "A", "B", 1)+"AAAA", ""
	},
	"another method": func(r *sca.Receipt) { r.Method = "password" },
	"the bank's":     func(r *sca.Receipt) { r.PerformedBy = psd2.SCAByASPSP },
}

// checks puts a receipt to the page that is open, and says whether it takes it.
func checks(t *testing.T, c *chromium.Browser, receipt, name string, good bool) {
	t.Helper()
	c.Do("paste "+name, chromedp.SetValue(chromedp.CSS("#receipt"), receipt))
	chromium.Value(c, chromedp.Evaluate[string](`document.querySelector("[data-said]").textContent = ""`))
	c.Do("check "+name, chromedp.Click(chromium.Named("check")))
	until(c, `document.querySelector("[data-said]").textContent !== ""`)
	if said := chromium.Value(c, chromedp.TextContent("[data-said]")); strings.Contains(said, "not genuine") == good {
		t.Errorf("%s: the page says %q", name, said)
	}
}

// withPasskey enrols one past the pages; it is the person's first factor.
func (w *world) withPasskey() *passkey.Key {
	w.t.Helper()
	ctx := w.t.Context()
	token, err := w.sca.EnrolPayer(ctx, w.person)
	must(w.t, err)
	secret, err := w.sca.OpenEnrolment(ctx, token)
	must(w.t, err)
	by, err := w.sca.Session(ctx, sca.SessionEnrol, secret, false)
	must(w.t, err)
	c, err := w.sca.BeginPasskey(ctx, by, "anna")
	must(w.t, err)
	key, err := passkey.New(w.origin)
	must(w.t, err)
	response, err := key.Attest(c.Options)
	must(w.t, err)
	must(w.t, w.sca.FinishPasskey(ctx, by, c.ID, response, "Laptop"))
	return key
}

// TestReceiptPageChecksWhatThePayersKeyHasSigned: on the hub's page, and as a
// file that was saved with the keys and is opened without any hub.
func TestReceiptPageChecksWhatThePayersKeyHasSigned(t *testing.T) {
	w := newWorld(t, false)
	key := w.withPasskey()
	receipts := map[string]string{}
	for _, lang := range []string{"en", "de"} {
		c := w.begin(sca.WithPasskey, lang)
		response, err := key.Assert(c.Options)
		must(t, err)
		_, err = w.sca.Answer(t.Context(), c.ID, sca.Answer{Session: sca.SessionHash(boundSecret), Method: sca.Passkey, Assertion: response})
		must(t, err)
		receipts[lang], err = w.sca.Receipt(t.Context(), paymentID)
		must(t, err)
		w.clock.Add(time.Second)
	}
	c := chromium.Open(t, chromium.Options{Name: "receipt"})
	c.Go(w.origin+"/sca/receipt?lang=en", chromium.Named("check"))
	all := func(where string) {
		for lang, receipt := range receipts {
			checks(t, c, receipt, where+" "+lang, true)
			for name, change := range forgeries {
				checks(t, c, w.forged(receipt, change), where+" "+lang+" "+name, false)
			}
		}
	}
	all("page")
	bank := sca.Receipt{Version: 1, Issuer: w.origin, PaymentID: paymentID, ChallengeID: "att_1", Method: sca.AtBank, PerformedBy: psd2.SCAByASPSP, At: w.clock.Now(),
		Linked:   sca.Linked{PaymentID: paymentID, Amount: psd2.Euro(102500), CreditorName: "Casino Example Ltd", CreditorIBAN: "DE89370400440532013000"},
		Evidence: sca.Evidence{Bank: &sca.BankEvidence{BankID: "sandbank", Approach: "redirect", EndToEndID: "RLT1", AuthorizedAt: w.clock.Now()}}}
	bank.LinkHash, _ = bank.Linked.Hash()
	atBank := w.forged(receipts["en"], func(r *sca.Receipt) { *r = bank })
	checks(t, c, atBank, "bank", true)
	if got := c.Text("[data-text]"); !strings.Contains(got, "EUR 1,025.00") || !strings.Contains(got, "aspsp") {
		t.Errorf("the page shows %q", got)
	}
	checks(t, c, w.forged(atBank, func(r *sca.Receipt) { r.Evidence.Bank = nil }), "a bank that said nothing", false)
	checks(t, c, w.forged(atBank, func(r *sca.Receipt) { r.PerformedBy = "hub" }), "the bank's as ours", false)

	status, file, _ := w.get(w.bound(), "/sca/receipt/file?lang=en")
	jwks, err := w.sca.ReceiptKeys(t.Context())
	must(t, err)
	if status != 200 {
		t.Fatalf("the file: %d", status)
	}
	saved := filepath.Join(t.TempDir(), "rialto-receipt.html")
	must(t, os.WriteFile(saved, []byte(file), 0o600))
	w.server.Close() // no hub any more
	c.Go("file://"+saved, chromium.Named("check"))
	c.Do("paste the keys", chromedp.SetValue(chromedp.CSS("#jwks"), string(jwks)))
	all("file")
	c.Quiet()
}
