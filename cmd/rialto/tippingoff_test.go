package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/store"
)

// recorder keeps every answer of the hub: what merchants and payers get.
type recorder struct {
	base http.RoundTripper

	mu  sync.Mutex
	got []string // address, status, headers and body of an answer
	// form is what does not differ between two payments: address without ids,
	// status, and which headers there are.
	form []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.base.RoundTrip(req)
	if err != nil || strings.HasPrefix(req.URL.Hostname(), "bank.") {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	var head bytes.Buffer
	_ = res.Header.Write(&head) // into memory
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasPrefix(req.URL.Path, "/static/") {
		r.got = append(r.got, req.Method+" "+req.URL.Path+"\n"+res.Status+"\n"+head.String()+"\n"+string(body))
		path := regexp.MustCompile(`pay_[0-9a-z]+|/p/[^/]+`).ReplaceAllString(req.URL.Path, "·")
		r.form = append(r.form, fmt.Sprint(req.Method, " ", path, " ", res.StatusCode, " ", slices.Sorted(maps.Keys(res.Header))))
	}
	return res, nil
}

// telling are words that only somebody who watches would use. Some are parts of
// ordinary ones (necessary, realm), so they stand alone or begin a word.
var telling = regexp.MustCompile(`(?i)\b(R[0-3][0-9]\b|aml\b|alr_|cas_|hld_|hit_|alert|sanction|suspic|verdacht|geldw|laundering|\bsar\b|fiu\b|watchlist|blacklist|screening|officer|compliance|held_at|look_at|\bheld\b|on[ _]hold|\bpep\b|step_up|tide-list)`)

// longToken is a word of random characters, which by chance says anything.
var longToken = regexp.MustCompile(`[A-Za-z0-9_-]{36,}`)

// tells looks for a telling word.
func tells(t *testing.T, where, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, `role="alert"`, "") // a page's own, for screen readers
	text = longToken.ReplaceAllString(text, "")
	if m := telling.FindStringIndex(text); m != nil {
		t.Errorf("%s says %q: …%s…", where, text[m[0]:m[1]], text[max(m[0]-80, 0):min(m[1]+80, len(text))])
	}
}

// shape blanks what differs between any two objects: ids, times, tokens.
func shape(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`"(pay|att|pot|ref|src|evt)_[0-9a-z]+"|"RLT[0-9A-Z]+"|"[0-9]{4}-[0-9-]+T[0-9:.]+Z"|player-[0-9a-z-]+|•• [0-9]{4}"`).ReplaceAllString(string(b), `"·"`)
}

// TestNobodyOutsideLearnsWhomOfficersLookAt: D08. A payout that a rule holds and
// officers refuse, a payout of a person on whom a report is proposed at the
// desk, and a deposit that a sanctions hit stops look like any other that waits
// or does not happen: to the merchant's program, in webhooks, on the payer's
// pages, and in the lines of the log that name them.
func TestNobodyOutsideLearnsWhomOfficersLookAt(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &buffer{}
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	people := openCast(t, w, dir)
	s, tap := people.s, people.tap

	// An ordinary payout, and one that the bank refuses.
	people.bankRefusesNext()
	pending := people.payout(people.player("plain"), people.source("plain"))
	ordinary := shape(t, pending)
	if pending.Status != psd2.TransferPending {
		t.Fatalf("an ordinary payout begins as %s", pending.Status)
	}
	failed := people.failed(pending.ID)

	// R12 holds what was hardly played with; two officers refuse it.
	played := int64(0)
	quick := people.player("quick")
	source := people.source("quick")
	quick.StakeMinorSinceLastPayout = &played
	held := people.payout(quick, source)
	people.settles(held.ID)
	people.looksLike("a payout that R12 holds", ordinary, held)
	people.neverTold(held.ID)
	people.refuses(held.ID, "R12")
	refused := people.failed(held.ID)
	if refused.FailureReason != psd2.ReasonPaymentNotPossible {
		t.Errorf("a refused payout says %s", refused.FailureReason)
	}
	if failed.Payee.Verification == "" {
		t.Error("the payee was not verified")
	}
	// What no two failures need share: another account than his own, say, shows no
	// code of the bank either.
	failed.FailureReason, refused.FailureReason, failed.BankCode = "·", "·", ""
	if got, want := shape(t, refused), shape(t, failed); got != want {
		t.Errorf("a payout that officers refuse:\n%s\none that the bank refuses:\n%s", got, want)
	}

	// A report about somebody, proposed at the desk: his money waits.
	source = people.source("watched") // what he paid from, while nobody looked at him
	people.report("watched")
	reported := people.payout(people.player("watched"), source)
	people.settles(reported.ID)
	people.looksLike("a payout of a reported person", ordinary, reported)
	people.neverTold(reported.ID)

	// Deposits: a person who is reported pays like anybody else.
	if a, b := shape(t, people.deposit("plain")), shape(t, people.deposit("watched")); a != b {
		t.Errorf("the deposit of a reported person:\n%s\nof another:\n%s", b, a)
	}

	tap.mu.Lock()
	answers := slices.Clone(tap.got)
	tap.mu.Unlock()
	if len(answers) < 30 {
		t.Errorf("only %d answers were looked at", len(answers))
	}
	for _, a := range answers {
		tells(t, "an answer", a)
	}
	s.mu.Lock()
	hooks := slices.Clone(s.got)
	s.mu.Unlock()
	if len(hooks) < 8 {
		t.Errorf("only %d webhooks were looked at", len(hooks))
	}
	for _, d := range hooks {
		tells(t, "a webhook", string(d.Body))
	}
	about := []string{held.ID, reported.ID, people.last["watched"].ID, people.person("quick"), people.person("watched"), s.ID}
	lines := 0
	for line := range strings.Lines(log.String()) {
		if slices.ContainsFunc(about, func(id string) bool { return strings.Contains(line, id) }) {
			lines++
			tells(t, "a line of the log", line)
		}
	}
	if lines == 0 {
		t.Error("no line of the log was looked at")
	}
}

// openDesk is the officers' desk of the same hub, as another process would open
// it.
func openDesk(t *testing.T, w *demo.World) *compliance.Desk {
	t.Helper()
	desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: w.Hub.Store, Keys: w.Hub.Keys, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return desk
}

// TestStoppedDepositSaysNoMoreThanAnother: D08, with real lists.
func TestStoppedDepositSaysNoMoreThanAnother(t *testing.T) {
	t.Parallel()
	lists := t.TempDir()
	if err := os.WriteFile(filepath.Join(lists, "tide-list.csv"), []byte("id,name,dob,country\n7,Zacharias Querulin,1961-04-05,DE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := startBank(t)
	log := &buffer{}
	h := startHub(t, hubConfig(t, b, "compliance: {screening: {lists: "+lists+"}}\n"), log)
	tap := &recorder{base: &http.Transport{DialContext: payer.DialLoopback}}
	s := openShop(t, h, h.PublicURL, "hook", tap)
	credentials, err := b.Operator.Create(t.Context(), "sandbank", psu.NewCustomers{Count: 2, User: "stopped", Holder: "Zacharias Querulin", BalanceMinor: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	s.Gambling, s.Scopes = true, api.Scopes
	if err := run.PutMerchant(t.Context(), h.Store, &s.Merchant); err != nil {
		t.Fatal(err)
	}
	listed := s.deposit("Zacharias Querulin")
	listed.Player.DateOfBirth, listed.Player.Residence, listed.Player.KYCStatus = "1961-04-05", "DE", "verified"
	unverified := s.deposit("Quirin Ordentlich") // the ordinary refusal: his to know
	unverified.Amount, unverified.Player.Reference, unverified.Player.KYCStatus = psd2.Euro(20_000), "player-2", "pending"

	see := func(d apiclient.Deposit, why psd2.FailureReason) (forms []string, views []string) {
		t.Helper()
		p := s.create(t, d)
		if d.Player.Name == listed.Player.Name {
			until(t, func() bool { // he was looked up before he pays, never while
				var n int
				return h.Store.Get(t.Context(), &n, `SELECT COUNT(*) FROM screening_hits`) == nil && n > 0
			})
		}
		tap.mu.Lock()
		from := len(tap.form)
		tap.mu.Unlock()
		began := time.Now()
		page := payAt(t, p.HostedPage.URL, credentials[0], psu.Wish{}, tap)
		if page.Situation != "failed" || page.AtBank {
			t.Errorf("the stopped payer sees %q, at his bank: %v", page.Situation, page.AtBank)
		}
		tap.mu.Lock()
		forms = slices.Clone(tap.form[from:])
		tap.mu.Unlock()
		got := s.await(t, p.ID, psd2.EventFailed)
		after, err := s.Client.Get(t.Context(), p.ID)
		if err != nil || after.FailureReason != why {
			t.Fatalf("%+v, %v", after, err)
		}
		if at := time.Time(*after.FailedAt); at.Sub(began) < 400*time.Millisecond { // a beat after he pressed, at the earliest
			t.Errorf("%s after %v", why, at.Sub(began))
		}
		for _, x := range got {
			tells(t, "a webhook", string(x.Body))
			tells(t, "a webhook's head", fmt.Sprint(x.Header))
			views = append(views, regexp.MustCompile(`kyc_required|payment_not_possible|"amount_minor":[0-9]+`).ReplaceAllString(shape(t, json.RawMessage(x.Body)), "·"))
		}
		events, err := h.Store.PaymentEvents(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			views = append(views, e.Type)
		}
		return forms, views
	}
	stopped, told := see(listed, psd2.ReasonPaymentNotPossible)
	ordinary, toldOrdinary := see(unverified, psd2.ReasonKYCRequired)
	if !slices.Equal(stopped, ordinary) {
		t.Errorf("the stopped payer's answers:\n%s\nanother's:\n%s", strings.Join(stopped, "\n"), strings.Join(ordinary, "\n"))
	}
	if !slices.Equal(told, toldOrdinary) {
		t.Errorf("the merchant is told:\n%s\nof another:\n%s", strings.Join(told, "\n"), strings.Join(toldOrdinary, "\n"))
	}
	// What merchants may read of their webhooks, too.
	deliveries, err := apiclient.Read[json.RawMessage](t.Context(), s.Client, "/v1/webhook-endpoints/"+s.Endpoint.ID+"/deliveries")
	if err != nil {
		t.Fatal(err)
	}
	tells(t, "the log of deliveries", string(deliveries))
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, a := range tap.got {
		tells(t, "an answer", a)
	}
}

// until waits for something that has to come about.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.NewTimer(30*time.Second)
	defer tick.Stop()
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("it did not come about")
		}
	}
}

// openCast is a shop that may pay out: it has the casino's account, which is
// connected.
func openCast(t *testing.T, w *demo.World, dir string) *cast {
	t.Helper()
	tap := &recorder{base: &http.Transport{DialContext: payer.DialLoopback}}
	s := openShop(t, w.Hub, w.HubURL, "hook", tap)
	var house struct {
		AccountID string `json:"account_id"`
	}
	file, err := os.ReadFile(filepath.Join(dir, "casino.json"))
	if err == nil {
		err = json.Unmarshal(file, &house)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Scopes, s.AccountID = api.Scopes, house.AccountID
	s.Accounts = []psd2.PayeeAccount{{ID: house.AccountID, Name: "Lucky Tide Ltd", IBAN: demo.PayeeIBAN, BIC: "SANDDEFFXXX"}}
	if err := run.PutMerchant(t.Context(), w.Hub.Store, &s.Merchant); err != nil {
		t.Fatal(err)
	}
	return &cast{t: t, w: w, s: s, tap: tap, desk: openDesk(t, w)}
}

// cast are players of the shop, each with an account of his own.
type cast struct {
	t    *testing.T
	w    *demo.World
	s    *shop
	tap  *recorder
	desk *compliance.Desk
	last map[string]*apiclient.Payment
}

func (c *cast) player(who string) psd2.Player {
	return psd2.Player{Reference: "player-" + who, Name: "Quirin Ordentlich", KYCStatus: "verified"}
}

// deposit pays 25 euros to the end and gives what the merchant sees then.
func (c *cast) deposit(who string) psd2.PaymentView {
	c.t.Helper()
	list, err := psu.Operator{Client: payer.NewClient(nil), Origin: c.w.BankURL}.Create(c.t.Context(), "sandbank",
		psu.NewCustomers{Count: 1, User: "tip-" + strings.ToLower(rand.Text()), Holder: "Quirin Ordentlich", BalanceMinor: 1_000_000})
	if err != nil {
		c.t.Fatal(err)
	}
	d := c.s.deposit("")
	d.Player = c.player(who)
	p := c.s.create(c.t, d)
	payAt(c.t, p.HostedPage.URL, list[0], psu.Wish{}, c.tap)
	c.s.await(c.t, p.ID, psd2.EventCreditable)
	got, err := c.s.Client.Get(c.t.Context(), p.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.last == nil {
		c.last = map[string]*apiclient.Payment{}
	}
	c.last[who] = got
	return got.PaymentView
}

// source is the account somebody paid from; he pays first if he never did.
func (c *cast) source(who string) string {
	c.t.Helper()
	if c.last[who] == nil {
		c.deposit(who)
	}
	return c.last[who].PaymentSource.ID
}

func (c *cast) payout(p psd2.Player, source string) *apiclient.Transfer {
	c.t.Helper()
	x, err := c.s.Client.Payout(c.t.Context(), apiclient.Payout{Amount: psd2.Euro(2400), AccountID: c.s.AccountID, Reference: "Payout", Player: p, SourceID: source}, rand.Text())
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

// Officers of the desk: two are needed for everything.
var (
	desker = compliance.Officer{ID: "usr_1", Name: "Olga Officer", Roles: []compliance.Role{compliance.Analyst, compliance.MLRO}, Credential: "k1"}
	second = compliance.Officer{ID: "usr_2", Name: "Otto Officer", Roles: []compliance.Role{compliance.Analyst}, Credential: "k2"}
)

func (c *cast) person(who string) string {
	return c.w.Hub.Store.PersonID(c.s.ID, c.player(who).Reference)
}

// refuses lets two officers refuse a payout that this rule holds.
func (c *cast) refuses(id, rule string) {
	c.t.Helper()
	ctx := c.t.Context()
	holds, err := c.desk.Holds(ctx, second, 100)
	i := slices.IndexFunc(holds, func(h compliance.Hold) bool { return h.ObjectID == id && h.Cause == compliance.HoldRule })
	if err != nil || i < 0 {
		c.t.Fatalf("no rule holds %s: %+v %v", id, holds, err)
	}
	lines, err := c.desk.History(ctx, id, 10)
	if err != nil || len(lines) == 0 || lines[0].Actor != rule {
		c.t.Fatalf("it is held by %+v %v", lines, err)
	}
	if err := c.desk.ProposeHold(ctx, desker, holds[i].ID, compliance.HoldRefuse, "hardly played"); err != nil {
		c.t.Fatal(err)
	}
	if holds, err = c.desk.Holds(ctx, second, 100); err != nil {
		c.t.Fatal(err)
	}
	p, _ := holds[i].Proposed()
	if err := c.desk.DecideHold(ctx, second, holds[i].ID, p.At, true, "agreed"); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.w.Hub.Store.UpdateTransfer(ctx, id, func(x *psd2.Transfer) error { x.Reconsider(time.Now()); return nil }); err != nil {
		c.t.Fatal(err) // it would look by itself within a minute
	}
}

// report takes an alert about somebody to a proposed report of suspicion.
func (c *cast) report(who string) {
	c.t.Helper()
	ctx, person := c.t.Context(), c.person(who)
	var id string
	err := c.w.Hub.Store.Tx(ctx, func(tx *store.Tx) error {
		return c.desk.Raise(tx, compliance.Finding{ID: "hit_" + rand.Text(), EntityKind: "person", EntityKey: person, PersonID: person, MerchantID: c.s.ID,
			ObjectID: c.last[who].ID, Rule: "R08", Family: "structuring", RuleVersion: "1", Severity: compliance.SeverityHigh, Score: 70, At: time.Now()})
	})
	if err == nil {
		err = c.w.Hub.Store.Get(ctx, &id, `SELECT id FROM compliance_cases WHERE person_id = ? AND sample = 0`, person)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	act := func(a compliance.Act) {
		c.t.Helper()
		now, err := c.desk.Case(ctx, desker, id)
		if err == nil {
			a.By, a.Version, a.Note = desker, now.Version, "as the report says"
			_, err = c.desk.Act(ctx, id, a)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	act(compliance.Act{Do: compliance.Investigate})
	now, err := c.desk.Case(ctx, desker, id)
	if err != nil {
		c.t.Fatal(err)
	}
	facts, err := c.desk.FactsOf(ctx, now)
	if err != nil {
		c.t.Fatal(err)
	}
	profile := goaml.Sandbox()
	draft, err := c.desk.Draft(ctx, desker, now, facts, profile)
	if err != nil {
		c.t.Fatal(err)
	}
	r := draft.Draft
	r.Facts, r.Complaint, r.Indicators = strings.Repeat("Vier Einzahlungen knapp unter dem Schwellenwert. ", 3), "keine", []string{profile.Indicators[0].Code}
	r.Officer.Email = "fiu@casino.example"
	r.Subject = goaml.Person{FirstName: "Quirin", LastName: "Ordentlich", BirthDate: "1980-02-29", BirthPlace: "Görlitz", Nationality: "DE", Residence: "DE", Address: "Königstraße 5", City: "Berlin"}
	if err := c.desk.SaveReport(ctx, desker, id, profile, r); err != nil {
		c.t.Fatal(err)
	}
	act(compliance.Act{Do: compliance.ProposeSAR, Reason: "structuring"})
}

// bankRefusesNext makes the merchant's bank refuse the next order.
func (c *cast) bankRefusesNext() {
	c.t.Helper()
	res, err := payer.NewClient(nil).Post(c.w.BankURL+"/sandbox/sandbank/h2h/lucky-tide/switches", "application/json", strings.NewReader(`{"reject": 1}`))
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		c.t.Fatalf("the bank's switch: %d", res.StatusCode)
	}
}

// failed waits until a payout has failed and gives what the merchant sees then.
func (c *cast) failed(id string) (x *apiclient.Transfer) {
	c.t.Helper()
	until(c.t, func() bool {
		var err error
		x, err = c.s.Client.GetPayout(c.t.Context(), id)
		return err == nil && x.Status == psd2.TransferFailed
	})
	return x
}

// looksLike compares a payout, as it was made and as it is now, with one that
// just waits its turn.
func (c *cast) looksLike(name, ordinary string, made *apiclient.Transfer) {
	c.t.Helper()
	again, err := c.s.Client.GetPayout(c.t.Context(), made.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	for when, got := range map[string]string{"at once": shape(c.t, made), "later": shape(c.t, again)} {
		if got != ordinary {
			c.t.Errorf("%s, %s:\n%s\nan ordinary one that waits:\n%s", name, when, got, ordinary)
		}
	}
}

// settles waits until the hub has looked at a payout and made it wait.
func (c *cast) settles(id string) {
	c.t.Helper()
	until(c.t, func() bool {
		x, err := c.w.Hub.Store.Transfer(c.t.Context(), id)
		return err == nil && x.HeldAt != nil
	})
}

// neverTold fails when anything but its making was told of a payout that waits:
// webhooks and the list of events come from the journal.
func (c *cast) neverTold(id string) {
	c.t.Helper()
	events, err := c.w.Hub.Store.PaymentEvents(c.t.Context(), id)
	if err != nil || len(events) != 1 || events[0].Type != "payout.created" {
		c.t.Errorf("the merchant was told of a waiting payout: %+v %v", events, err)
	}
}
