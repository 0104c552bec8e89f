package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// visitor is somebody who plays at the demo's casino and banks with one of its
// banks.
type visitor struct {
	t            *testing.T
	w            *demo.World
	b            *browser.Browser
	player, user string
}

// deposit goes from the casino's page to the bank, or to the confirmation at the
// hub where there is one: until shows.
func (v visitor) deposit(bank string, until chromedp.CSS) {
	v.t.Helper()
	v.b.Go(v.w.CasinoURL+"/?player="+strings.ReplaceAll(v.player, " ", "+"), browser.Named("deposit"))
	v.b.Press(browser.Named("deposit"), browser.Named("bank-"+bank))
	v.b.Press(browser.Named("bank-"+bank), browser.Named("pay"))
	v.b.Press(browser.Named("pay"), until)
}

// atBank logs in and approves, and comes back to the result.
func (v visitor) atBank(bank string) (paymentID string) {
	v.t.Helper()
	login, err := psu.Operator{Client: payer.NewClient(nil), Origin: v.w.BankURL}.Persona(v.t.Context(), bank, v.user)
	if err != nil {
		v.t.Fatal(err)
	}
	v.b.Type("#user", login.User)
	v.b.Type("#password", login.Password)
	v.b.Press(`button[value="login"]`, "#code")
	v.b.Type("#code", freshCode(v.t, v.w, login))
	v.b.Press(`button[value="pay"]`, `[data-situation="arrived"]`)
	return v.b.Text(browser.Named("payment-id"))
}

// factors goes from the result of a payment to the visitor's own factors.
func (v visitor) factors() {
	v.t.Helper()
	v.b.Press(browser.Named("enrol"), browser.Named("go"))
	v.b.Press(browser.Named("go"), browser.Named("out"))
}

// trusts puts the casino on the visitor's list, which takes a proof of its own,
// and takes it off again.
func (v visitor) trusts() {
	v.t.Helper()
	v.factors()
	v.b.Do("tick", chromedp.Click(browser.Named("trust-payee")))
	v.b.Press(browser.Named("trust"), browser.Named("verify-passkey")) // what was proved last was a code, or nothing
	v.b.Press(browser.Named("verify-passkey"), browser.Named("factors"))
	v.b.Do("tick", chromedp.Click(browser.Named("trust-payee")))
	v.b.Press(browser.Named("trust"), browser.Named("trusted"))
	v.b.Shot("trusted")
	if got := v.b.Text(browser.Named("trusted")); !strings.Contains(got, "Lucky Tide Ltd") || strings.Contains(got, string(demo.PayeeIBAN)) {
		v.t.Errorf("the list says %q", got)
	}
	v.b.Press(browser.Named("distrust"), browser.Named("trust-payee"))
}

// unsent fails the test when the bank has an order although nobody confirmed;
// it returns the payment the page is about.
func (v visitor) unsent() (paymentID string) {
	v.t.Helper()
	at := browser.Value(v.b, chromedp.Evaluate[string](`location.pathname`))
	part := strings.Split(at, "/")
	if len(part) != 5 || part[2] != "pay" {
		v.t.Fatalf("the confirmation is at %s", at)
	}
	p, err := v.w.Hub.Store.Payment(v.t.Context(), part[3])
	if err != nil {
		v.t.Fatal(err)
	}
	if len(p.Attempts) != 0 {
		v.t.Errorf("an order went to the bank before its payer confirmed: %+v", p.Attempts)
	}
	return p.ID
}

// toBank presses on after the confirmation.
func (v visitor) toBank() {
	v.t.Helper()
	v.b.Wait(browser.Named("confirmed"))
	v.b.Press(browser.Named("pay"), "#user")
}

// proved fails the test unless a payment that has arrived was confirmed with
// that method before its order went to the bank, and the casino's receipt of it
// verifies with what the hub publishes and the program's own command.
func (v visitor) proved(paymentID string, method sca.Method, shown ...string) {
	v.t.Helper()
	p, err := v.w.Hub.Store.Payment(v.t.Context(), paymentID)
	if err != nil {
		v.t.Fatal(err)
	}
	waitFor(v.t, func() bool { // the bank's word comes with the journal
		status, _ := read(v.t, v.w.CasinoURL+"/receipt/"+paymentID)
		return status == http.StatusOK
	})
	dir := v.t.TempDir()
	receipt, keys := filepath.Join(dir, "receipt.jws"), filepath.Join(dir, "keys.json")
	download(v.t, v.w.CasinoURL+"/receipt/"+paymentID, receipt)
	download(v.t, v.w.HubURL+"/.well-known/receipt-jwks.json", keys)
	var verdict receiptVerdict
	oneDocument(v.t, must(v.t, "verify", "receipt", "--jwks", keys, "--json", receipt), &verdict)
	if !verdict.Valid || verdict.PaymentID != paymentID || verdict.Method != method {
		v.t.Fatalf("%+v", verdict)
	}
	if !p.State.MoneyMoved() || len(p.Attempts) != 1 || method != sca.AtBank && p.Attempts[0].StartedAt.Before(*verdict.At) {
		v.t.Errorf("%s, confirmed at %s, sent %+v", p.State, verdict.At, p.Attempts)
	}
	for _, want := range shown {
		if !strings.Contains(verdict.Shown, want) {
			v.t.Errorf("the payer was shown %q, without %q", verdict.Shown, want)
		}
	}
}

func download(t *testing.T, url, file string) {
	t.Helper()
	status, body := read(t, url)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", url, status, body)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := payer.NewClient(nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// TestVisitorEnrolsAndConfirmsWithAllThree is what the demo promises: after a
// first deposit each way of confirming can be set up, and is what the next
// deposits ask for before any bank is asked.
func TestVisitorEnrolsAndConfirmsWithAllThree(t *testing.T) {
	w := startWorld(t)
	t.Run("passkey and codes", func(t *testing.T) {
		b := browser.Open(t, browser.Options{Name: "factors-en", Width: 390})
		b.Authenticator(true)
		v := visitor{t, w, b, "Anna Beispiel", "anna"}
		v.deposit("sandbank", "#user") // nothing enrolled: straight to the bank
		v.proved(v.atBank("sandbank"), sca.AtBank)
		b.Shot("offered")
		v.factors()
		b.Press(browser.Named("add-passkey"), browser.Named("factors"))
		b.Press(browser.Named("add-totp"), browser.Named("key"))
		key := b.Text(browser.Named("key"))
		enrolled := time.Now()
		b.Type("#code", appCode(t, key, enrolled))
		b.Press(browser.Named("confirm"), `[data-test="factors"] > li:nth-child(2)`)
		b.Shot("enrolled")

		v.deposit("sandbank", browser.Named("pay-passkey"))
		id := v.unsent()
		b.Shot("confirm")
		b.Press(browser.Named("pay-passkey"), browser.Named("confirmed"))
		v.toBank()
		if got := v.atBank("sandbank"); got != id {
			t.Errorf("paid %s, confirmed %s", got, id)
		}
		v.proved(id, sca.Passkey, "EUR 25.00", "Lucky Tide Ltd")
		v.trusts()

		waitFor(t, func() bool { return time.Now().Unix()/30 > enrolled.Unix()/30 }) // each code counts once
		v.deposit("deichbank", browser.Named("pay-passkey"))
		id = v.unsent()
		b.Do("another way", chromedp.Click("summary"))
		b.Type("#code", appCode(t, key, time.Now()))
		b.Press(browser.Named("pay-code"), browser.Named("confirmed"))
		v.toBank()
		v.atBank("deichbank")
		v.proved(id, sca.TOTP, "EUR 25.00")
		b.Quiet()
	})
	t.Run("phone", func(t *testing.T) {
		b := browser.Open(t, browser.Options{Name: "factors-de", Language: "de"})
		v := visitor{t, w, b, "Bert Muster", "bert"}
		v.deposit("sandbank", "#user")
		v.atBank("sandbank")
		v.factors()
		b.Press(browser.Named("add-push"), browser.Named("pair-here"))
		link := browser.Value(b, chromedp.AttributeValue(browser.Named("pair-here"), "href")).Value
		phone := browser.Open(t, browser.Options{Name: "factors-phone", Language: "de", Width: 390})
		phone.Go(link, browser.Named("pair"))
		phone.Press(browser.Named("pair"), browser.Named("pair-number"))
		b.Type("#number", phone.Text(browser.Named("pair-number")))
		b.Press(browser.Named("confirm"), browser.Named("factors"))
		phone.Press(browser.Named("paired"), browser.Named("idle"))

		v.deposit("sandbank", browser.Named("pay-push"))
		id := v.unsent()
		b.Press(browser.Named("pay-push"), browser.Named("number"))
		phone.Wait(browser.Named("approve")) // without a click
		if got := phone.Text(browser.Named("shown")); !strings.Contains(got, "25,00 EUR") {
			t.Errorf("the phone shows %q", got)
		}
		phone.Shot("asked")
		phone.Type("#number", b.Text(browser.Named("number")))
		phone.Press(browser.Named("approve"), browser.Named("said"))
		v.toBank()
		v.atBank("sandbank")
		v.proved(id, sca.Push, "25,00 EUR", "Verwendungszweck")
		b.Quiet()
		phone.Quiet()
	})
}

// appCode is what an authenticator app shows.
func appCode(t *testing.T, key string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(key, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
