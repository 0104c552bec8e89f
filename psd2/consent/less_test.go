package consent_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// leaving is a gate whose limit leaves so much; at 0 it lets everything in.
type leaving struct {
	mu     sync.Mutex
	minor  int64
	reason psd2.FailureReason
	asked  []int64
}

func (l *leaving) leave(minor int64, reason psd2.FailureReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minor, l.reason = minor, reason
}

func (l *leaving) MayPayIn(_ context.Context, p *psd2.Payment, _ *psd2.Merchant) (hub.PayIn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, p.Amount.AmountMinor)
	if l.minor == 0 || p.Amount.AmountMinor <= l.minor {
		return hub.PayIn{}, nil
	}
	return hub.PayIn{Refuse: true, Reason: l.reason, LeftMinor: l.minor}, nil
}

func (l *leaving) MayPayOut(context.Context, psd2.TransferFacts) (psd2.GateDecision, string, error) {
	return psd2.GateAllow, "", nil
}

// lowering is a world whose merchant takes less, and whose payer's limit leaves
// 10 of 25 euros.
func lowering(w *world) {
	w.t.Helper()
	w.merchant.LowerToLimit = true
	w.put()
	w.gate.leave(1000, psd2.ReasonLimitExceeded)
}

// GlüStV §6c: a payer whose limit leaves less sees by how much, and pays the
// smaller amount only after he has consented to it: the order, the consent and
// what the merchant is told all carry it.
func TestPayerTakesWhatHisLimitLeaves(t *testing.T) {
	w := newWorld(t)
	lowering(w)
	id, path := w.start()
	b := w.browser()
	consent := b.toConfirm(path)
	offer := b.submit(consent, "pay").want(http.StatusConflict)
	if got := offer.text("lead"); !strings.Contains(got, "€10.00 of the €25.00") {
		t.Errorf("the page says %q", got)
	}
	if p := w.payment(id); p.Amount != psd2.Euro(2500) || p.State != psd2.StateAuthorizationRequired || len(w.sandbank.placed()) != 0 {
		t.Fatalf("nothing was accepted, yet %+v", p)
	}
	action, fields := offer.form("less")
	for name, change := range map[string]func(){ // for another amount, or from another form, it is no acceptance
		"amount": func() { fields.Set("amount_minor", "2400") },
		"token":  func() { fields.Set("token", "x") },
	} {
		was := fields.Encode()
		change()
		b.do(http.MethodPost, action, fields).want(http.StatusForbidden)
		_, fields = offer.form("less")
		if w.payment(id).Amount != psd2.Euro(2500) || fields.Encode() != was {
			t.Fatalf("%s: the amount changed", name)
		}
	}
	smaller := b.get(b.submit(offer, "less").location()).want(http.StatusOK)
	if got := smaller.text("pay"); !strings.Contains(got, "€10.00") {
		t.Errorf("the consent says %q", got)
	}
	b.submit(consent, "pay").want(http.StatusConflict) // the consent to the larger amount is worth nothing
	if n := len(w.sandbank.placed()); n != 0 {
		t.Fatalf("%d orders without consent", n)
	}
	b.submit(smaller, "pay").location()
	orders := w.sandbank.placed()
	if len(orders) != 1 || orders[0].Amount != psd2.Euro(1000) {
		t.Fatalf("orders %+v", orders)
	}
	view := w.payment(id).View()
	if view.Amount != psd2.Euro(1000) || view.Requested == nil || *view.Requested != psd2.Euro(2500) {
		t.Errorf("the merchant sees %+v, asked %+v", view.Amount, view.Requested)
	}
	events, err := w.db.PaymentEvents(t.Context(), id)
	if err != nil || len(events) < 3 || events[1].Type != psd2.EventAmountLowered || !strings.Contains(string(events[1].Data), `"requested_amount":{"amount_minor":2500`) {
		t.Errorf("events %+v, %v", events, err)
	}
	var minor int64
	if err := w.db.Get(t.Context(), &minor, `SELECT amount_minor FROM payments WHERE id = ?`, id); err != nil || minor != 1000 {
		t.Errorf("the column says %d, %v", minor, err)
	}
}

// Without the merchant's word, or for any other reason, there is no offer: the
// payment ends.
func TestNoOfferWhereNoneMayBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		lower  bool
		left   int64
		reason psd2.FailureReason
	}{
		"all or nothing":  {false, 1000, psd2.ReasonLimitExceeded},
		"another reason":  {true, 1000, psd2.ReasonPaymentNotPossible},
		"next to nothing": {true, 99, psd2.ReasonLimitExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.merchant.LowerToLimit = c.lower
			w.put()
			w.gate.leave(c.left, c.reason)
			id, path := w.start()
			b := w.browser()
			b.submit(b.toConfirm(path), "pay")
			if p := w.payment(id); p.State != psd2.StateFailed || p.Failure != c.reason {
				t.Errorf("%s %s", p.State, p.Failure)
			}
			if len(w.sandbank.placed()) != 0 {
				t.Error("an order was sent")
			}
			if _, err := w.hub.PayLess(t.Context(), id, psd2.Euro(1000)); psd2.CodeOf(err) != psd2.CodeConflict {
				t.Errorf("what has ended was made smaller: %v", err)
			}
		})
	}
}

func TestPersonTakesWhatIsLeftInChromium(t *testing.T) {
	for lang, want := range map[string][2]string{
		"en": {"Nothing has been paid. Your monthly deposit limit leaves €10.00 of the €25.00 asked for.", "Pay €10.00 instead"},
		"de": {"Es wurde nichts bezahlt. Ihr monatliches Einzahlungslimit lässt noch 10,00\u00a0€ von 25,00\u00a0€ zu.", "Stattdessen 10,00\u00a0€ bezahlen"},
	} {
		t.Run(lang, func(t *testing.T) {
			w := newLoopbackWorld(t)
			lowering(w)
			c := chromium.Open(t, chromium.Options{Name: "less", Width: 390, Language: lang})
			c.Axe()
			id, path := w.start()
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
			c.Press(chromium.Named("pay"), chromium.Named("less"))
			if lead, button := c.Text(chromium.Named("lead")), c.Text(chromium.Named("less")); lead != want[0] || button != want[1] {
				t.Errorf("%q, %q", lead, button)
			}
			c.Accessible("less")
			c.Press(chromium.Named("less"), chromium.Named("pay"))
			if w.payment(id).Amount != psd2.Euro(1000) {
				t.Error("the amount is as it was")
			}
			c.Press(chromium.Named("pay"), "#bank")
			if orders := w.sandbank.placed(); len(orders) != 1 || orders[0].Amount != psd2.Euro(1000) {
				t.Errorf("orders %+v", orders)
			}
		})
	}
}
