package consent_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
)

func TestPayerPaysInTheFewestSteps(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()

	choose := b.get(path).want(http.StatusOK)
	if got := choose.text("amount"); got != "€25.0025 euros" {
		t.Errorf("amount %q", got)
	}
	if got := choose.text("moved"); got != "Nothing has been paid yet." {
		t.Errorf("note %q", got)
	}
	confirm := b.get(b.submit(choose, "bank-sandbank").location()).want(http.StatusOK)
	for name, want := range map[string]string{"payee": "to Casino Example Ltd", "reference": "DEPOSIT 4711", "bank": "Sandbank",
		"pay": "Pay €25.00 with Sandbank", "cancel": "Cancel the payment"} {
		if got := confirm.text(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	host := strings.TrimPrefix(w.sandbank.site.URL, "https://")
	if !strings.Contains(confirm.text("leaving"), host) {
		t.Errorf("the leaving notice does not name %s: %s", host, confirm.text("leaving"))
	}
	if !strings.Contains(confirm.main(), "DE•• •••• 3000") || strings.Contains(confirm.body, "DE89370400440532013000") {
		t.Error("the account must be shown masked")
	}
	target := b.submit(confirm, "pay").location()
	if !strings.HasPrefix(target, w.sandbank.site.URL+"/authorise?") {
		t.Fatalf("sent to %s", target)
	}
	w.sandbank.decide(banks.Status{Transaction: "ACCC", SCA: "finalised"})
	back := b.get(w.returnPath()).location()
	if back != "/pay/"+id {
		t.Fatalf("returned to %s", back)
	}
	done := b.get(back).want(http.StatusOK)
	if done.situation() != "arrived" || !strings.HasPrefix(done.text("lead"), "You have paid €25.00 to Casino Example Ltd.") {
		t.Errorf("%s: %s", done.situation(), done.text("lead"))
	}
	if got := attr(done.find("back"), "href"); got != "https://casino.example/done?shop=1&payment_id="+id+"&state=s+t%26x%3D1" {
		t.Errorf("B08: back link %s", got)
	}
	if orders := w.sandbank.placed(); len(orders) != 1 || orders[0].PSU.IP != "127.0.0.1" || orders[0].PSU.AcceptLanguage != "en" {
		t.Errorf("orders %+v", orders)
	}
}

func TestGermanPagesSpeakGermanOnEveryStep(t *testing.T) {
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	b.lang = "de-AT,en;q=0.5"
	confirm := b.toConfirm(path)
	if got := confirm.text("pay"); got != "25,00\u00a0€ mit Sandbank bezahlen" {
		t.Errorf("button %q", got)
	}
	// The switch of the language sticks.
	english := b.get("/pay/" + strings.Split(confirm.Request.URL.Path, "/")[2] + "/confirm?bank=sandbank&lang=en").want(http.StatusOK)
	if got := english.text("pay"); got != "Pay €25.00 with Sandbank" {
		t.Errorf("after ?lang=en: %q", got)
	}
	again := b.get(confirm.Request.URL.RequestURI()).want(http.StatusOK)
	if got := again.text("cancel"); got != "Cancel the payment" {
		t.Errorf("the chosen language was forgotten: %q", got)
	}
}

func TestMerchantsLocaleIsAHint(t *testing.T) {
	w := newWorld(t)
	_, path := w.start(func(r *hub.StartRequest) { r.Locale = "de" })
	if got := w.browser().get(path).text("moved"); got != "Bisher wurde nichts bezahlt." {
		t.Errorf("%q", got)
	}
}

func TestBankSearchFindsByNameAliasBICAndBankCode(t *testing.T) {
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	for query, want := range map[string]string{"sandb": "sandbank", "sand & co": "sandbank", "SANDDEFF": "sandbank", "sand deff xxx": "sandbank",
		"5001": "sandbank", "cafe": "cafe", "KREDIT": "cafe"} {
		page := b.get(path + "?q=" + url.QueryEscape(query)).want(http.StatusOK)
		if page.find("bank-"+want) == nil {
			t.Errorf("%q does not find %s", query, want)
		}
		if other := map[string]string{"sandbank": "cafe", "cafe": "sandbank"}[want]; page.find("bank-"+other) != nil {
			t.Errorf("%q finds %s", query, other)
		}
	}
	none := b.get(path + "?q=" + url.QueryEscape(`<img src=x onerror=alert(1)>`)).want(http.StatusOK)
	if !strings.Contains(none.main(), "No bank matches") || strings.Contains(none.body, "<img") {
		t.Error("an unknown name must lead on, as text")
	}
}

func TestUnavailableBankIsGreyedWithItsReason(t *testing.T) {
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	page := b.get(path).want(http.StatusOK)
	if page.find("bank-closed") != nil {
		t.Error("a disabled bank can be chosen")
	}
	if got := page.text("why-not"); got != "Not connected yet" {
		t.Errorf("reason %q", got)
	}
	if !strings.Contains(page.main(), "1 bank is not connected yet") {
		t.Error("what cannot be chosen stands among what can")
	}
	action, fields := page.form("bank-sandbank")
	fields.Set("bank", "closed")
	to := b.do(http.MethodPost, action, fields).location()
	off := b.get(b.get(to).location()).want(http.StatusOK)
	if !strings.Contains(off.main(), "Closed Bank cannot take payments at the moment. Nothing has been paid.") {
		t.Errorf("choosing it anyway: %s", off.main())
	}
}

func TestPreselectedBankNeedsOneButton(t *testing.T) {
	w := newWorld(t)
	_, path := w.start(func(r *hub.StartRequest) { r.BankID = "cafe" })
	b := w.browser()
	page := b.get(path).want(http.StatusOK)
	if page.find("bank-sandbank") != nil || page.text("bank-cafe") != "Continue with Café Kredit" {
		t.Fatalf("%s", page.main())
	}
	others := b.get(attr(page.find("others"), "href")).want(http.StatusOK)
	if others.find("bank-sandbank") == nil {
		t.Error("another bank cannot be chosen")
	}
	confirm := b.get(b.submit(page, "bank-cafe").location()).want(http.StatusOK)
	if confirm.text("bank") != "Café Kredit" {
		t.Errorf("%s", confirm.main())
	}
}

func TestLastUsedBankComesFirst(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	_, path := w.start()
	b.toBank(path)
	_, path = w.start()
	page := b.get(path).want(http.StatusOK)
	banksList := first(page.doc, func(n *html.Node) bool { return attr(n, "class") == "banks" })
	button := first(banksList, func(n *html.Node) bool { return n.Data == "button" })
	if attr(button, "value") != "sandbank" || !strings.Contains(textOf(button), "Used last time") {
		t.Errorf("first is %s", textOf(button))
	}
}

func TestRefusedAttemptLeadsToAnotherTry(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
	page := b.get(b.get(w.returnPath() + "/failed").location()).want(http.StatusOK)
	if page.situation() != "try_again" || !strings.HasPrefix(page.text("lead"), "Nothing has been paid.") {
		t.Fatalf("%s %s", page.situation(), page.text("lead"))
	}
	if !strings.Contains(page.text("more"), "not enough money in the account at Sandbank") {
		t.Errorf("reason: %s", page.text("more"))
	}
	again := b.get(attr(page.find("retry"), "href")).want(http.StatusOK)
	b.submit(again, "pay").location()
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	done := b.get(b.get(w.returnPath()).location()).want(http.StatusOK)
	if done.situation() != "paid" || len(w.payment(id).Attempts) != 2 {
		t.Errorf("%s after %d attempts", done.situation(), len(w.payment(id).Attempts))
	}
}

func TestBankRefusesTheOrderAtOnce(t *testing.T) {
	w := newWorld(t)
	_, path := w.start()
	b := w.browser()
	w.sandbank.refuse = &banks.Error{Kind: banks.Refused, Code: "AC06", HTTPStatus: 400}
	page := b.get(b.toBank(path)).want(http.StatusOK)
	if page.situation() != "try_again" || page.find("retry") != nil || page.find("others") == nil {
		t.Errorf("%s: %s", page.situation(), page.main())
	}
}

func TestClosingTheTabAtTheBankStillEndsRight(t *testing.T) { // B22
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	w.clock.Add(2 * time.Second)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	if page := b.get("/pay/" + id).want(http.StatusOK); page.situation() != "paid" {
		t.Errorf("%s", page.situation())
	}
	// The callback that comes much later changes nothing and leads to the same page.
	if page := b.get(b.get(w.returnPath()).location()).want(http.StatusOK); page.situation() != "paid" {
		t.Errorf("after the late callback: %s", page.situation())
	}
}

func TestUnknownOutcomeIsNeverCalledFailed(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	w.sandbank.mu.Lock()
	w.sandbank.answers = nil
	w.sandbank.mu.Unlock()
	page := b.submit(b.get("/pay/"+id).want(http.StatusOK), "cancel")
	page = b.get(page.location()).want(http.StatusOK)
	if page.situation() != "cancelling" || w.payment(id).State != psd2.StateOutcomeUnknown {
		t.Fatalf("%s %s", page.situation(), w.payment(id).State)
	}
	if !strings.Contains(page.text("lead"), "has not confirmed yet that nothing is paid") {
		t.Errorf("lead: %s", page.text("lead"))
	}
}

func TestEndedPaymentsSayWhetherMoneyMoved(t *testing.T) {
	t.Run("expired", func(t *testing.T) {
		w := newWorld(t)
		_, path := w.start()
		b := w.browser()
		confirm := b.toConfirm(path)
		w.clock.Add(16 * time.Minute)
		page := b.get(b.get(confirm.Request.URL.RequestURI()).location()).want(http.StatusOK)
		if page.situation() != "expired" || !strings.HasPrefix(page.text("lead"), "Nothing has been paid.") || page.find("back") == nil {
			t.Errorf("%s", page.main())
		}
		stranger := w.browser().get(path).want(http.StatusGone)
		if !strings.HasPrefix(stranger.text("lead"), "Nothing has been paid.") {
			t.Errorf("%s", stranger.main())
		}
	})
	t.Run("canceled before a bank was chosen", func(t *testing.T) {
		w := newWorld(t)
		id, path := w.start()
		b := w.browser()
		page := b.get(b.submit(b.get(path), "cancel").location()).want(http.StatusOK)
		if page.situation() != "canceled" || w.payment(id).Failure != psd2.ReasonPayerCanceled {
			t.Errorf("%s", page.main())
		}
	})
	t.Run("already paid", func(t *testing.T) {
		w := newWorld(t)
		id, path := w.start()
		b := w.browser()
		b.toBank(path)
		w.sandbank.decide(banks.Status{Transaction: "ACSC"})
		b.get(w.returnPath())
		if to := b.get(path).location(); to != "/pay/"+id {
			t.Errorf("the payer's own browser is sent to %s", to)
		}
		stranger := w.browser().get(path).want(http.StatusGone)
		if !strings.Contains(stranger.text("lead"), "has been made already") || strings.Contains(stranger.body, "DEPOSIT 4711") {
			t.Errorf("%s", stranger.main())
		}
	})
}

func TestProviderFactsAreBehindOneLink(t *testing.T) { // PSD2 Art. 45(2)
	w := newWorld(t, func(c *consent.Config) { c.Provider = testProvider() })
	_, path := w.start()
	b := w.browser()
	choose := b.get(path)
	for _, page := range []*answer{choose, b.toConfirm(path)} {
		about := b.get(attr(page.find("about"), "href")).want(http.StatusOK)
		for _, fact := range []string{"Rialto Payments GmbH", "Brückenweg 1, 10115 Berlin", "help@rialto.example", "BaFin", "654321", "€0.00", "10 seconds"} {
			if !strings.Contains(about.body, fact) {
				t.Errorf("%s does not say %q", about.Request.URL.Path, fact)
			}
		}
		if page.find("sandbox") != nil {
			t.Error("a real provider's page says that it is a test")
		}
	}
}

func TestGamblingMerchantsCarryTheSpendingLine(t *testing.T) {
	w := newWorld(t)
	_, path := w.start()
	if w.browser().get(path).find("spending") == nil {
		t.Error("no line for a gambling merchant")
	}
	w.merchant.Gambling = false
	w.merchant.ID = "mer_00000000000000000000000002"
	w.put()
	_, path = w.start()
	if w.browser().get(path).find("spending") != nil {
		t.Error("a line for a shop")
	}
}

// vopBank says what a payee's bank says of a name.
type vopBank struct{ result psd2.VoPResult }

func (b *vopBank) Verify(context.Context, psd2.Party) (psd2.VoPResult, error) { return b.result, nil }

// TestPayeeVerificationIsShownBeforeThePayerConsents: each answer of the payee's
// bank in words, and never in the way.
func TestPayeeVerificationIsShownBeforeThePayerConsents(t *testing.T) {
	for match, want := range map[psd2.Match]string{
		psd2.MatchExact: "has confirmed it", psd2.MatchClose: "belongs to: Casino Example Holdings",
		psd2.MatchNone: "may reach somebody else", psd2.MatchNotPossible: "could not be checked",
	} {
		w := newWorld(t)
		w.vop.result = psd2.VoPResult{Match: match, CheckedAt: w.clock.Now()}
		if match == psd2.MatchClose {
			w.vop.result.MatchedName = "Casino Example Holdings"
		}
		b := w.browser()
		_, path := w.start()
		if page := b.toConfirm(path); page.find("vop") != nil {
			t.Fatal("something is shown before anybody was asked")
		}
		if _, err := w.hub.VerifyAccounts(t.Context(), w.merchant); err != nil {
			t.Fatal(err)
		}
		_, path = w.start()
		page := b.toConfirm(path)
		if got := page.text("vop"); !strings.Contains(got, want) {
			t.Errorf("%s: %q", match, got)
		}
		if to := b.submit(page, "pay").location(); !strings.HasPrefix(to, w.sandbank.site.URL) {
			t.Errorf("%s: the payer is not sent to his bank: %s", match, to)
		}
	}
}
