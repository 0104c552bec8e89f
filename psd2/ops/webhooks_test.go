package ops_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
)

// ago is a time before the world's.
func (w *world) ago(d time.Duration) *time.Time {
	t := w.clock.Now().Add(-d)
	return &t
}

// endpoints are one of every kind.
func (w *world) endpoints() []ops.Endpoint {
	return []ops.Endpoint{
		{ID: "whe_01m7w6c478e4r9w60vqcy4mvpa", MerchantID: merchantID, Host: "old.casino.example", State: "disabled", Reason: "failing", BudgetUsed: 100,
			FailingSince: w.ago(121 * time.Hour), Waiting: 10_000, Crowded: true, WaitingFrom: w.ago(121 * time.Hour)},
		{ID: "whe_01m7w6c478e4r9w60vqcy4mvpb", MerchantID: merchantID, Host: "hooks.casino.example", State: "active", BudgetUsed: 62, FailingSince: w.ago(75 * time.Hour),
			DeliveredAt: w.ago(75 * time.Hour), Waiting: 1204, WaitingFrom: w.ago(74 * time.Hour)},
		{ID: "whe_01m7w6c478e4r9w60vqcy4mvpc", MerchantID: merchantID, Host: "pause.casino.example", State: "paused", Waiting: 3, WaitingFrom: w.ago(time.Minute)},
		{ID: "whe_01m7w6c478e4r9w60vqcy4mvpd", MerchantID: merchantID, Host: "fast.casino.example", State: "active", DeliveredAt: w.ago(time.Second)},
	}
}

func TestOperatorsSeeHowEndpointsDo(t *testing.T) {
	w := newWorld(t, func(d *ops.Deps) { d.Docs = "https://pay.example/docs#get-v1-webhook-endpoints" })
	b := w.operator()
	b.get("/webhooks").want(http.StatusOK).says("No endpoint is registered")
	w.webhooks.endpoints = w.endpoints()
	a := b.get("/webhooks").want(http.StatusOK).says("2 endpoints are failing or disabled", "old.casino.example", "Casino Example",
		"nothing but failures", "100 %", "over 10,000 oldest for 5 d", "none since 15 Nov 2026", "62 %", "1,204 oldest for 3 d", "Paused", "Active")
	if n := a.count("endpoint"); n != 4 {
		t.Errorf("%d rows", n)
	}
	if !strings.Contains(a.body, `href="https://pay.example/docs#get-v1-webhook-endpoints"`) {
		t.Error("nothing leads to what merchants read")
	}
	b.lang = "de"
	b.get("/webhooks").says("1.204", "Abgeschaltet", "keiner seit")
	w.webhooks.err = errDown
	if a := b.get("/webhooks").want(http.StatusInternalServerError); strings.Contains(a.body, errDown.Error()) {
		t.Errorf("the page shows the cause:\n%s", a.main())
	}
	if to := w.browser().get("/webhooks").location(); to != "/staff/login?next=%2Fwebhooks" {
		t.Errorf("a stranger is sent to %q", to)
	}
}

// recalled lets other banks want two payments back: one that is ours, one that
// nobody knows.
func (w *world) recalled(h *hub.Hub, p *psd2.Payment) {
	w.t.Helper()
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
		return tx.PutMerchant(&psd2.Merchant{ID: merchantID, Name: "Casino Example", PayerPolicy: psd2.PayerRequired,
			Accounts: []psd2.PayeeAccount{{ID: "acc_1", Name: "Casino Example Ltd", IBAN: payeeIBAN}}})
	}))
	for _, n := range []psd2.RecallNotice{
		{ID: "CXL-2026-11-0001", EndToEndID: p.Last().EndToEndID, Reason: "FRAD", ReceivedAt: w.clock.Now()},
		{ID: "CXL-2026-11-0002", EndToEndID: payerIBAN, Reason: "DUPL", ReceivedAt: w.clock.Now()},
		{ID: "CXL <b>3</b>", EndToEndID: "NOTPROVIDED", Reason: "XX99", ReceivedAt: w.clock.Now().Add(-26 * time.Hour)},
	} {
		must(w.t, h.RecallRequested(w.t.Context(), "acc_1", n))
	}
}

// TestRecallsNobodyHasMatchedAreSeen: those of our deposits are told on their
// pages; what fits none waits in a list, and repeats no account.
func TestRecallsNobodyHasMatchedAreSeen(t *testing.T) {
	var h *hub.Hub
	w := newWorld(t, func(d *ops.Deps) { h = d.Hub })
	b := w.operator()
	b.get("/recalls").want(http.StatusOK).says("There is no recall without a deposit")
	p := w.create("Deposit 1", func(p *psd2.Payment) { p.PayeeAccountID = "acc_1" })
	w.attempt(p.ID, "sandbank")
	p = w.report(p.ID, "ACSC", "")
	w.recalled(h, p)
	a := b.get("/recalls").want(http.StatusOK).says("2 recalls belong to no deposit", "Sent twice DUPL", "XX99", "Casino Example acc_1", "CXL-2026-11-0002")
	if n := a.count("recall"); n != 2 || strings.Contains(a.body, "CXL-2026-11-0001") || strings.Contains(a.body, "<b>3") {
		t.Errorf("%d rows:\n%s", n, a.main())
	}
	if due := a.text("due"); due != "11 Dec 2026" { // fifteen banking days from 20 November
		t.Errorf("the answer is due on %s", due)
	}
	w.clock.Add(22 * 24 * time.Hour)
	if late := first(b.get("/recalls").doc, func(n *html.Node) bool { return attr(n, "data-test") == "due" }); !strings.Contains(attr(late.FirstChild, "class"), "look") {
		t.Error("that the answer is overdue does not stand out")
	}
	b.get("/payments/"+p.ID).says("Recalled by payer’s bank", "FRAD")
	if to := w.browser().get("/recalls").location(); to != "/staff/login?next=%2Frecalls" {
		t.Errorf("a stranger is sent to %q", to)
	}
}
