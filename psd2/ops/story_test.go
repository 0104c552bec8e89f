package ops_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/ops"
)

func TestSearchFindsAPaymentByEachKey(t *testing.T) {
	w := newWorld(t)
	w.create("Other 1")
	p := w.create("Deposit 4711")
	w.attempt(p.ID, "sandbank")
	p = w.report(p.ID, "ACSC", "")
	b := w.operator()
	a := p.Last()
	for name, q := range map[string]string{
		"payment id": p.ID, "payment id in capitals": strings.ToUpper(p.ID), "attempt id": a.ID, "EndToEndId": a.EndToEndID,
		"EndToEndId in small letters": strings.ToLower(a.EndToEndID), "reference": "Deposit 4711", "IBAN": payerIBAN,
		"IBAN as printed": psd2.IBAN(payerIBAN).Grouped(), "IBAN in small letters": strings.ToLower(payerIBAN),
		"IBAN with odd blanks": "\u200bDE02\u00a01203 0000\u202f0000 2020 51 ", "reference with blanks around": "  Deposit 4711\t",
	} {
		page := b.search(q).want(http.StatusOK)
		if got := page.text("payment-id"); got != p.ID {
			t.Errorf("%s: found %q", name, got)
		}
		if page.Request.URL.RawQuery != "" {
			t.Errorf("%s: the term is in the URL", name)
		}
	}
	for name, q := range map[string]string{"part of a reference": "Deposit", "other case": "deposit 4711", "payee's IBAN": payeeIBAN, "SQL": "' OR 1=1 --"} {
		if page := b.search(q).want(http.StatusOK); page.count("row") != 0 || page.count("payment-id") != 0 {
			t.Errorf("%s finds a payment", name)
		}
	}
}

func TestSearchTermsStayOutOfURLsLogsAndPages(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	for range 2 { // two payments from one account and with one reference: a list
		p := w.create("Deposit for Paula Canary")
		w.attempt(p.ID, "sandbank")
		w.report(p.ID, "ACSC", "")
	}
	list := b.search(payerIBAN).want(http.StatusOK).says("the payer’s account DE•• •••• 2051")
	if list.count("row") != 2 {
		t.Errorf("%d rows", list.count("row"))
	}
	b.search("Deposit for Paula Canary").want(http.StatusOK).says("a reference")
	if got := b.search("Nobody's Reference").want(http.StatusOK).body; strings.Contains(got, "Nobody&#39;s") {
		t.Errorf("the page repeats an unknown term")
	}
	b.search("DE02 1203 0000 0000 2020 52").want(http.StatusOK).says("looks like an IBAN", "may be mistyped")
	b.search("").want(http.StatusUnprocessableEntity)
	b.search(strings.Repeat("x", 141)).want(http.StatusUnprocessableEntity)
	if to := b.get("/search?q=" + url.QueryEscape(payerIBAN)).location(); to != "/payments" {
		t.Errorf("GET /search leads to %q", to)
	}
	logged := strings.ReplaceAll(w.log.String(), " ", "")
	// An account's last digits alone, not as part of a trace id or a time.
	if tail := regexp.MustCompile(`(^|[^0-9a-f])(2051|2020)([^0-9a-f]|$)`); tail.MatchString(logged) {
		t.Errorf("the log holds an account's last digits: %s", tail.FindString(logged))
	}
	for _, secret := range append([]string{"Canary", "Nobody"}, secrets...) {
		if strings.Contains(logged, strings.ReplaceAll(secret, " ", "")) {
			t.Errorf("the log holds %q", secret)
		}
	}
	for _, want := range []string{`"search":"iban"`, `"search":"reference"`, `"found":2`} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func TestStoryTellsEverythingMasked(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 1")
	w.attempt(p.ID, "sandbank")
	w.report(p.ID, "RJCT", "AM04")
	w.attempt(p.ID, "cafe")
	p = w.report(p.ID, "ACSC", "")
	w.sequence()
	next := w.clock.Now().Add(time.Minute)
	w.webhooks.list = []ops.Delivery{
		{ID: "dlv_1", EventID: "evt_1", Type: psd2.EventExecuted, EndpointID: "whe_1", Host: "casino.example", State: "delivered", Attempts: 2, CreatedAt: w.clock.Now(),
			Tries: []ops.Try{{At: w.clock.Now(), Took: 10 * time.Second, Error: "timeout"}, {At: w.clock.Now(), Took: 43 * time.Millisecond, Status: 204}}},
		{ID: "dlv_2", EventID: "evt_2", Type: psd2.EventCreditable, EndpointID: "whe_1", Host: "casino.example", State: "pending", Attempts: 1, CreatedAt: w.clock.Now(),
			NextAt: &next, Tries: []ops.Try{{At: w.clock.Now(), Took: time.Second, Status: 503}}},
	}
	a := w.operator().get("/payments/" + p.ID).want(http.StatusOK)
	for name, want := range map[string]string{
		"state": "Executed", "state-code": "executed", "payment-id": p.ID, "fact.merchant": "Casino Example " + merchantID,
		"fact.reference": "Deposit 1", "fact.payee": "Casino Example Ltd DE•• •••• 3000", "fact.player": "E•••• M••••••••• player-7",
		"fact.source": "E•••• M••••••••• H••••• DE•• •••• 2051", "fact.payer_check": "Account holder is the player", "fact.creditable": "20 Nov 2026 11:00:10",
		"fact.end_to_end_id": p.Attempts[1].EndToEndID, "fact.request_id": p.Attempts[1].RequestID, "fact.bank_status": "payer’s account debited ACSC",
		"fact.sca_status": "finalised", "fact.risk": "Over, had been since 20 Nov 2026 11:00:08",
	} {
		if got := a.text(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a.count("attempt") != 2 || a.count("delivery") != 2 {
		t.Errorf("%d attempts, %d deliveries", a.count("attempt"), a.count("delivery"))
	}
	journal := a.text("journal")
	at := 0
	for _, want := range []string{"payment.created", "no. 1 · position 1 evt_", "+ 1.5 s", "payment.attempt_failed", "Insufficient funds · AM04", "no. 3 · position 3", "payment.executed", "payment.payer_checked",
		"Account holder is the player", "payment.creditable"} {
		i := strings.Index(journal[at:], want)
		if i < 0 {
			t.Fatalf("the journal lacks %q in its place:\n%s", want, journal)
		}
		at += i
	}
	for _, want := range []string{"timeout", "10.0 s", "43 ms", "204", "Delivered", "503", "Pending", "next try 20 Nov 2026 11:01:10", "casino.example"} {
		if !strings.Contains(a.text("deliveries"), want) {
			t.Errorf("the deliveries lack %q:\n%s", want, a.text("deliveries"))
		}
	}
	for _, want := range []string{"Consented to pay €25.00 with Sandbank", "Read that nothing was paid: Insufficient funds", "Sent to Café Kredit", "“You have paid”"} {
		if !strings.Contains(a.text("saw"), want) {
			t.Errorf("what the payer saw lacks %q:\n%s", want, a.text("saw"))
		}
	}
	if want := `"payment_id":"` + p.ID + `"`; !strings.Contains(w.log.String(), want) {
		t.Errorf("the log lacks %s", want)
	}
}

func TestStoryNeedsNoDeliveries(t *testing.T) {
	w := newWorld(t, func(d *ops.Deps) { d.Webhooks = nil })
	w.operator().get("/payments/"+w.create("Deposit 1").ID).want(http.StatusOK).says("No deliveries are known.", "No bank has been asked yet.")
	w = newWorld(t)
	w.webhooks.err = errDown
	w.operator().get("/payments/"+w.create("Deposit 1").ID).want(http.StatusOK).says("could not be read", "Deposit 1")
	if !strings.Contains(w.log.String(), "down") {
		t.Error("the log does not say why")
	}
}

func TestUnknownOutcomesComeFirst(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	b.get("/payments?state=outcome_unknown").want(http.StatusOK).says("No outcome is unknown.")
	w.create("Waiting 1")
	p := w.create("Lost 1")
	w.attempt(p.ID, "sandbank")
	w.unknown(p.ID)
	all := b.get("/payments").want(http.StatusOK).says("Waiting 1", "Lost 1")
	if all.text("unknown-count") != "1" || all.count("row") != 2 {
		t.Errorf("count %q, rows %d", all.text("unknown-count"), all.count("row"))
	}
	only := b.get("/payments?state=outcome_unknown").want(http.StatusOK).says("Lost 1")
	if only.count("row") != 1 {
		t.Errorf("%d rows", only.count("row"))
	}
	b.get("/payments/"+p.ID).want(http.StatusOK).says("Nothing is sent again", "Money may move, since", "please do not pay again")
}

func TestEveryStateAndReasonHasAPageInBothLanguages(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	lives := map[psd2.State]func(id string){
		psd2.StateAuthorizationRequired: func(string) {},
		psd2.StateAuthorizing:           func(id string) { w.attempt(id, "sandbank") },
		psd2.StateAuthorized:            func(id string) { w.attempt(id, "sandbank"); w.report(id, "ACSP", "") },
		psd2.StateExecuted:              func(id string) { w.attempt(id, "sandbank"); w.report(id, "ACSC", "") },
		psd2.StateSettled:               func(id string) { w.attempt(id, "sandbank"); w.report(id, "ACCC", "") },
		psd2.StateOutcomeUnknown:        func(id string) { w.attempt(id, "sandbank"); w.unknown(id) },
		psd2.StateFailed: func(id string) {
			w.change(id, func(p *psd2.Payment, now time.Time) { _, err := p.Cancel(psd2.ReasonPayerCanceled, now); must(t, err) })
		},
	}
	for _, state := range psd2.States {
		p := w.create("Deposit " + string(state)[:4])
		lives[state](p.ID)
		for _, b.lang = range []string{"en", "de"} {
			page := b.get("/payments/" + p.ID).want(http.StatusOK)
			if got := page.text("state-code"); got != string(state) {
				t.Errorf("state %s shown as %s", state, got)
			}
			complete(t, page)
			complete(t, b.get("/payments?state="+string(state)).want(http.StatusOK))
		}
	}
	for _, code := range []string{"AM04", "AC06", "AC01", "AM14", "AB05", "DS02", "XX99", ""} {
		p := w.create("Refused " + code)
		w.attempt(p.ID, "sandbank")
		w.report(p.ID, "RJCT", code)
		for _, b.lang = range []string{"en", "de"} {
			complete(t, b.get("/payments/"+p.ID).want(http.StatusOK))
		}
	}
}

// complete fails when a page shows a text's key instead of the text.
func complete(t *testing.T, a *answer) {
	t.Helper()
	main := a.main()
	for _, key := range []string{"state.", "attempt.", "reason.", "standing.", "check.", "policy.", "risk.", "saw.", "fact.", "story.", "delivery.", "col."} {
		for _, word := range strings.Fields(main) {
			if strings.HasPrefix(word, key) {
				t.Errorf("the page shows the key %q", word)
			}
		}
	}
}

func TestContradictionsAndForeignHoldersStandOut(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	p := w.create("Deposit 1")
	w.attempt(p.ID, "sandbank")
	w.report(p.ID, "ACSC", "")
	w.report(p.ID, "RJCT", "AM04")
	b.get("/payments/" + p.ID).want(http.StatusOK).says("The bank contradicts what it said before")
	p = w.create("Deposit 2")
	w.attempt(p.ID, "sandbank")
	w.change(p.ID, func(p *psd2.Payment, now time.Time) {
		p.Report(p.Last().ID, psd2.Report{Status: "ACSC", Payer: psd2.Party{Name: "Otto Other", IBAN: payerIBAN}}, now)
		p.JudgePayer(func(psd2.IBAN) string { return "src_1" }, func(string, string) bool { return false }, now)
	})
	a := b.get("/payments/"+p.ID).want(http.StatusOK).says("never becomes creditable", "O••• O••••")
	if strings.Contains(a.body, "Otto") {
		t.Error("the holder's name is shown")
	}
}

func TestIBANInAReferenceIsMasked(t *testing.T) {
	w := newWorld(t)
	p := w.create("AB12 From "+payerIBAN+" ok", func(p *psd2.Payment) { p.Personal.Player.Reference = payerIBAN })
	b := w.operator()
	b.get("/payments").says("AB12 From DE•• •••• 2051 ok")
	b.get("/payments/" + p.ID).says("AB12 From DE•• •••• 2051 ok") // guarded() looks for the rest
}

func TestForeignTextStaysText(t *testing.T) { // B14
	w := newWorld(t)
	evil := `<img src=x onerror=alert(1)>"'><script>alert(2)</script>`
	p := w.create(evil, func(p *psd2.Payment) {
		p.Personal.Payee.Name, p.Personal.Player.Name, p.Personal.Player.Reference = evil, evil, evil
	})
	w.attempt(p.ID, evil)
	w.report(p.ID, "ACSC", "")
	w.report(p.ID, evil, evil)
	w.webhooks.list = []ops.Delivery{{ID: evil, Type: evil, EndpointID: evil, Host: evil, State: evil, Tries: []ops.Try{{Error: evil}}}}
	b := w.operator()
	for _, a := range []*answer{b.get("/payments"), b.get("/payments/" + p.ID), b.get("/banks"), b.search(evil), b.get("/payments/" + url.PathEscape(evil)),
		b.get("/payments?state=" + url.QueryEscape(evil))} {
		low := strings.ToLower(a.body)
		for _, live := range []string{"<img", "<script>", "onerror=alert(1)>\"", "<b>yet"} {
			if strings.Contains(low, live) {
				t.Errorf("%s: %q is alive", a.Request.URL.Path, live)
			}
		}
	}
}

func TestBanksShowAvailabilityReasonAndLatency(t *testing.T) {
	w := newWorld(t)
	b := w.operator()
	w.registry.Observe("sandbank", "", nil, 120*time.Millisecond)
	for range 10 {
		w.registry.Observe("cafe", "", &banks.Error{Kind: banks.Unavailable}, time.Second)
	}
	a := b.get("/banks").want(http.StatusOK)
	for name, words := range map[string][]string{
		"summary":       {"1 of 3 banks can be chosen."},
		"bank-sandbank": {"Sandbank", "Available", "120 ms", "SANDDEFFXXX", "DE AT", "stub (redirect)"},
		"bank-cafe":     {"Not answering", "Several calls in a row got no answer.", "Tried again at"},
		"bank-closed":   {"Disabled", "no contract <b>yet</b>"},
	} {
		for _, word := range words {
			if !strings.Contains(a.text(name), word) {
				t.Errorf("%s lacks %q: %s", name, word, a.text(name))
			}
		}
	}
}

func TestOpenStoryHearsOfChanges(t *testing.T) {
	clock := time.Now // the bus runs on the real clock
	nats, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, bus.Options{Now: clock})
	must(t, err)
	t.Cleanup(nats.Close)
	w := newWorld(t, func(d *ops.Deps) { d.Bus = nats })
	p := w.create("Deposit 1")
	b := w.operator()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/payments/"+p.ID+"/live", nil)
	must(t, err)
	resp, err := b.client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	await("data: 1")
	w.change(p.ID, func(p *psd2.Payment, now time.Time) { _, err := p.Cancel(psd2.ReasonPayerCanceled, now); must(t, err) })
	w.sequence()
	_, err = nats.Relay(w.db, "test").Step(t.Context(), w.clock.Now())
	must(t, err)
	await("data: 2")
	w.room.Close()
	for lines.Scan() { // ends, so that a server can shut down
	}
}

// attentive is a desk that counts what it is told is a person's doing.
type attentive struct {
	desk
	touches atomic.Int64
}

func (a *attentive) Person(r *http.Request, touch bool) (ops.Person, bool, error) {
	if touch {
		a.touches.Add(1)
	}
	return a.desk.Person(r, touch)
}

func TestOpenStoryDoesNotKeepTheSession(t *testing.T) {
	door := &attentive{}
	w := newWorld(t, func(d *ops.Deps) { d.Staff = door })
	p := w.create("Deposit 1")
	b := w.operator()
	b.do(http.MethodHead, "/payments/"+p.ID+"/live", nil).want(http.StatusOK)
	if n := door.touches.Load(); n != 0 {
		t.Errorf("an open page counts as use %d times", n)
	}
	b.get("/payments/" + p.ID).want(http.StatusOK)
	if n := door.touches.Load(); n != 1 {
		t.Errorf("a page that was opened counts as use %d times", n)
	}
}

func TestLogHoldsOneWideEventPerRequest(t *testing.T) {
	w := newWorld(t)
	p := w.create("Deposit 1")
	w.operator().get("/payments/" + p.ID).want(http.StatusOK)
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines:\n%s", len(lines), w.log)
	}
	var event map[string]any
	must(t, json.Unmarshal([]byte(lines[0]), &event))
	for key, want := range map[string]any{"room": "ops", "route": "/payments/:id", "status": 200.0, "payment_id": p.ID, "merchant_id": merchantID, "user_id": "usr_olga"} {
		if event[key] != want {
			t.Errorf("%s is %v, want %v", key, event[key], want)
		}
	}
}
