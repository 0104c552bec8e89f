package ops_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// undecided is a payment that is unknown for longer than the bank has time.
func (w *world) undecided() *psd2.Payment {
	w.t.Helper()
	p := w.create("Deposit 7")
	w.attempt(p.ID, "sandbank")
	p = w.unknown(p.ID)
	w.clock.Add(time.Hour)
	return p
}

// transferOf makes a refund of a deposit whose bank does not say what became
// of it.
func (w *world) transferOf(p *psd2.Payment) *psd2.Transfer {
	w.t.Helper()
	now := w.clock.Add(time.Second)
	x := &psd2.Transfer{ID: psd2.NewID(psd2.PrefixRefund, now, rand.Reader), Kind: psd2.KindRefund, MerchantID: merchantID, PersonID: p.PersonID,
		Amount: psd2.Euro(1234), AccountID: "acc_1", PaymentID: p.ID, SourceID: "src_1",
		Personal: psd2.TransferPersonal{Reference: "Refund 7", Player: p.Personal.Player, Payer: psd2.Party{Name: "Casino Example Ltd", IBAN: payeeIBAN},
			Payee: psd2.Party{Name: holderName, IBAN: payerIBAN}}}
	x.Create(now)
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return tx.CreateTransfer(x) }))
	x, err := w.db.UpdateTransfer(w.t.Context(), x.ID, func(x *psd2.Transfer) error {
		if err := x.Submit(24*time.Hour, now); err != nil {
			return err
		}
		x.Lost(now)
		return nil
	})
	must(w.t, err)
	return x
}

var proposalForm = []string{"verdict", "executed", "reason", "The bank's desk confirmed it.", "evidence", "Statement 117, line 4"}

// TestTwoPeopleDecideOnThePages: the way through queue, proposal and approval.
func TestTwoPeopleDecideOnThePages(t *testing.T) {
	w := newWorld(t)
	p := w.undecided()
	olga, piet := w.as("olga/operator"), w.as("piet/operator")
	queue := olga.get("/unknown").want(http.StatusOK).says("To decide", "Sandbank", "1 h")
	if queue.count("row") != 1 || queue.text("who") != "Olga Beispiel" {
		t.Errorf("%d rows, signed in: %q", queue.count("row"), queue.text("who"))
	}
	form := olga.get("/payments/" + p.ID).want(http.StatusOK)
	if form.count("propose") != 1 {
		t.Fatal("nothing can be proposed")
	}
	if to := olga.post("/decisions", append([]string{"object", p.ID}, proposalForm...)...).location(); to != "/payments/"+p.ID+"#decision" {
		t.Errorf("proposing leads to %q", to)
	}
	mine := olga.get("/payments/" + p.ID).says("You have proposed this")
	if mine.count("approve") != 0 {
		t.Error("the proposer is offered to approve")
	}
	olga.get("/unknown").says("Waits for a second person", "proposed by Olga Beispiel")
	theirs := piet.get("/payments/"+p.ID).says("Olga Beispiel", "Statement 117, line 4")
	action := attr(parentForm(theirs, "approve"), "action")
	olga.post(action, "object", p.ID).want(http.StatusForbidden).says("whoever proposed it cannot approve")
	if to := piet.post(action, "object", p.ID).location(); to != "/payments/"+p.ID+"#decision" {
		t.Errorf("approving leads to %q", to)
	}
	piet.get("/payments/"+p.ID).says("Executed", "Piet Beispiel approved it")
	w.as("rita/operator").post(action, "object", p.ID).want(http.StatusConflict).says("Piet Beispiel approved a decision at")
	piet.get("/unknown").says("No outcome is unknown")
	if strings.Contains(w.log.String(), "Statement 117") || strings.Contains(w.log.String(), "Beispiel") {
		t.Error("the log holds what was written, or a name")
	}
}

// TestReturningSaysWhy: without a remark nothing is returned, and what was
// typed is not lost.
func TestReturningSaysWhy(t *testing.T) {
	w := newWorld(t)
	x := w.transferOf(w.create("Deposit 8"))
	w.clock.Add(time.Hour)
	olga, piet := w.as("olga/operator"), w.as("piet/operator")
	bad := olga.post("/decisions", "object", x.ID, "verdict", "executed", "reason", "short", "evidence", "Line 4 <b>").want(http.StatusUnprocessableEntity)
	bad.says("something is missing", "10 to 500")
	if !strings.Contains(bad.body, `value="Line 4 &lt;b&gt;"`) {
		t.Error("what was typed is lost")
	}
	olga.post("/decisions", append([]string{"object", x.ID}, proposalForm...)...).want(http.StatusSeeOther)
	action := attr(parentForm(piet.get("/transfers/"+x.ID), "return"), "action")
	piet.post(action, "object", x.ID, "remark", "no").want(http.StatusUnprocessableEntity)
	piet.post(action, "object", x.ID, "remark", "The line is about another one.").want(http.StatusSeeOther)
	if again := olga.get("/transfers/"+x.ID).says("Piet Beispiel returned it", "another one"); again.count("propose") != 1 {
		t.Error("nothing new can be proposed")
	}
}

// TestRightsSayWhoReadsAndWhoDecides: an auditor reads, an officer does not even
// read, and deciding takes both.
func TestRightsSayWhoReadsAndWhoDecides(t *testing.T) {
	w := newWorld(t)
	p := w.undecided()
	if to := w.browser().get("/unknown").location(); to != "/staff/login?next=%2Funknown" {
		t.Errorf("a stranger is sent to %q", to)
	}
	w.as("otto/officer").get("/unknown").want(http.StatusForbidden)
	w.as("dora/decider").post("/decisions", append([]string{"object", p.ID}, proposalForm...)...).want(http.StatusForbidden)
	ada := w.as("ada/auditor")
	if page := ada.get("/payments/" + p.ID).want(http.StatusOK); page.count("propose") != 0 || !strings.Contains(page.text("why-not"), "role is for reading only") {
		t.Errorf("an auditor is told %q", page.text("why-not"))
	}
	ada.post("/decisions", append([]string{"object", p.ID}, proposalForm...)...).want(http.StatusForbidden).says("Nothing was decided")
	w.as("olga/operator").do(http.MethodPost, "/decisions", url.Values{"object": {p.ID}}, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
	list, err := w.db.Recent(t.Context(), psd2.StateOutcomeUnknown, 10)
	if err != nil || len(list) != 1 {
		t.Errorf("%d unknown %v", len(list), err)
	}
}

// TestNothingIsDecidedWhileTheBankHasTime: the page says from when.
func TestNothingIsDecidedWhileTheBankHasTime(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 7")
	w.attempt(p.ID, "sandbank")
	w.unknown(p.ID)
	olga := w.as("olga/operator")
	olga.get("/unknown").says("Bank is being asked", "can be decided from")
	if page := olga.get("/payments/" + p.ID); page.count("propose") != 0 || page.count("early") != 1 {
		t.Error("offered too early")
	}
	olga.post("/decisions", append([]string{"object", p.ID}, proposalForm...)...).want(http.StatusConflict).says("the bank still has time")
}

// TestTransfersAreFoundAndTold: by id, EndToEndId, reference and IBAN; the
// deposit's page shows its refunds; nothing of the payee is shown whole.
func TestTransfersAreFoundAndTold(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 9")
	x := w.transferOf(p)
	b := w.operator()
	if b.get("/transfers?state=outcome_unknown").want(http.StatusOK).count("transfer-row") != 1 || b.get("/transfers?state=failed").count("transfer-row") != 0 {
		t.Error("the list does not go by state")
	}
	b.get("/transfers?state=lost").want(http.StatusNotFound)
	for name, q := range map[string]string{"id": strings.ToUpper(x.ID), "EndToEndId": x.EndToEndID, "reference": "Refund 7", "IBAN": payerIBAN} {
		if got := b.search(q).want(http.StatusOK).text("transfer-id"); got != x.ID {
			t.Errorf("by %s: %q", name, got)
		}
	}
	story := b.get("/transfers/"+x.ID).want(http.StatusOK).says("Outcome unknown", "refund.outcome_unknown", "DE•• •••• 2051", "Bank knows it again until")
	if story.count("deliveries") != 1 {
		t.Error("no webhooks")
	}
	if b.get("/payments/"+p.ID).count("transfer-row") != 1 {
		t.Error("the deposit does not show its refund")
	}
	b.get("/transfers/ref_00000000000000000000000000").want(http.StatusNotFound)
	if to := w.browser().get("/transfers/" + x.ID).location(); to != "/staff/login?next="+url.QueryEscape("/transfers/"+x.ID) {
		t.Errorf("a stranger is sent to %q", to)
	}
}

// stuck notes orders that cannot be looked at, as the sweeper does.
func (w *world) stuck() (damaged string) {
	w.t.Helper()
	damaged = w.create("Deposit 4740").ID
	since := w.clock.Now().Add(-50 * time.Minute).UnixMicro()
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
		for id, tries := range map[string]int{damaged: 48, "ref_01m7w6c478e4r9w60vqcy4mvph": 3, "pot_01m7w6c478e4r9w60vqcy4mvph": 2} {
			if _, err := tx.Exec(`INSERT INTO stuck_work (object_id, since, last_at, tries, cause) VALUES (?, ?, ?, ?, ?)`, id, since, tx.Now.UnixMicro(), tries,
				"open payment "+payeeIBAN+": store: a sealed value does not open: damaged, moved, or sealed with another key"); err != nil {
				return err
			}
		}
		return nil
	}))
	return damaged
}

// TestOrdersThatCannotBeLookedAtAreSeen: beside those whose bank is silent, even
// when there is none of these; one that failed only twice may be a hiccup.
func TestOrdersThatCannotBeLookedAtAreSeen(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	if b.get("/unknown").want(http.StatusOK).count("stuck-summary") != 0 {
		t.Error("nothing is stuck, and there is a list")
	}
	damaged := w.stuck()
	a := b.get("/unknown").want(http.StatusOK).says("No outcome is unknown", "2 orders cannot be looked at", damaged, "50 min 0 s", "48", "does not open")
	if n := a.count("stuck"); n != 2 {
		t.Errorf("%d rows:\n%s", n, a.main())
	}
	german := w.operator()
	german.lang = "de"
	german.get("/unknown").says("2 Aufträge lassen sich nicht prüfen")
}

// TestBankPageShowsTheLegalMeasure: RTS Art. 33: five in a row.
func TestBankPageShowsTheLegalMeasure(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	if b.get("/banks").count("presumed-cafe") != 0 {
		t.Error("presumed unavailable without a call")
	}
	w.registry.Observe("sandbank", "redirect", nil, 120*time.Millisecond)
	w.silence("cafe", 5)
	page := b.get("/banks").want(http.StatusOK).says("redirect", "1 / 1", "100.0 %", "0 / 5")
	if page.count("presumed-cafe") != 1 || page.count("presumed-sandbank") != 0 {
		t.Error("the measure is not shown, or of the wrong bank")
	}
}

// silence lets a bank leave calls without answer.
func (w *world) silence(bank string, n int) {
	for range n {
		w.registry.Observe(bank, "redirect", &banks.Error{Kind: banks.Uncertain}, 30*time.Second)
	}
}

// parentForm is the form that the element with that name stands in.
func parentForm(a *answer, name string) *html.Node {
	a.w.t.Helper()
	n := first(a.doc, func(n *html.Node) bool { return attr(n, "data-test") == name })
	for ; n != nil; n = n.Parent {
		if n.Data == "form" {
			return n
		}
	}
	a.w.t.Fatalf("there is no form with %q:\n%s", name, a.main())
	return nil
}
