package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
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
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/store"
)

// recorder keeps every answer of the hub: what merchants and payers get.
type recorder struct {
	base http.RoundTripper

	mu  sync.Mutex
	got []string // address, headers and body of an answer
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
		r.got = append(r.got, req.Method+" "+req.URL.Path+"\n"+head.String()+"\n"+string(body))
	}
	return res, nil
}

// telling are words that only somebody who watches would use. Some are parts of
// ordinary ones (necessary, realm), so they stand alone or begin a word.
var telling = regexp.MustCompile(`(?i)\b(R[0-3][0-9]\b|aml\b|alr_|cas_|hld_|hit_|alert|sanction|suspic|verdacht|geldw|laundering|\bsar\b|fiu\b|watchlist|blacklist|screening|officer|compliance|held_at|look_at|\bheld\b|on[ _]hold|\bpep\b|step_up|tide-list)`)

// tells looks for a telling word.
func tells(t *testing.T, where, text string) {
	t.Helper()
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

// TestNobodyOutsideLearnsWhomOfficersLookAt: D08. A payout that a rule holds, a
// payout of a person who was reported, and a deposit that a sanctions hit stops
// look like any other that waits or does not happen: to the merchant's program,
// in webhooks, and on the payer's pages.
func TestNobodyOutsideLearnsWhomOfficersLookAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	tap := &recorder{base: &http.Transport{DialContext: payer.DialLoopback}}
	s := openShop(t, w.Hub, w.HubURL, "hook", tap)
	var house struct { // whose account is connected, so that money goes out
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
	people := &cast{t: t, w: w, s: s, tap: tap}

	// Payouts: one that just waits its turn, one that a rule holds, and one of a
	// person on whom a report is being made.
	pending := people.payout(people.paid("plain"), people.source("plain"))
	ordinary := shape(t, pending)
	if pending.Status != psd2.TransferPending {
		t.Fatalf("an ordinary payout begins as %s", pending.Status)
	}
	source := people.source("watched") // what he paid from, while nobody looked at him
	people.hold("watched")
	reported := people.payout(people.paid("watched"), source)
	people.settles(reported.ID)
	again, err := s.Client.GetPayout(t.Context(), reported.ID)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"at once": shape(t, reported), "later": shape(t, again)} {
		if got != ordinary {
			t.Errorf("a held payout, %s:\n%s\nan ordinary one that waits:\n%s", name, got, ordinary)
		}
	}
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
	d := s.deposit("Zacharias Querulin")
	d.Player.DateOfBirth, d.Player.Residence = "1961-04-05", "DE"
	p := s.create(t, d)
	until(t, func() bool { // he was looked up before he pays, never while
		var n int
		return h.Store.Get(t.Context(), &n, `SELECT COUNT(*) FROM screening_hits`) == nil && n > 0
	})
	page := payAt(t, p.HostedPage.URL, credentials[0], psu.Wish{}, tap)
	if page.Situation != "failed" || page.AtBank {
		t.Errorf("the stopped payer sees %q, at his bank: %v", page.Situation, page.AtBank)
	}
	got := s.await(t, p.ID, psd2.EventFailed)
	after, err := s.Client.Get(t.Context(), p.ID)
	if err != nil || after.FailureReason != psd2.ReasonPaymentNotPossible {
		t.Fatalf("%+v, %v", after, err)
	}
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, a := range tap.got {
		tells(t, "an answer", a)
	}
	for _, x := range got {
		tells(t, "a webhook", string(x.Body))
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

// cast are players of the shop, each with an account of his own.
type cast struct {
	t    *testing.T
	w    *demo.World
	s    *shop
	tap  *recorder
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

func (c *cast) paid(who string) psd2.Player { return c.player(who) }

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
	x, err := c.s.Client.Payout(c.t.Context(), apiclient.Payout{Amount: psd2.Euro(1000), AccountID: c.s.AccountID, Reference: "Payout", Player: p, SourceID: source}, rand.Text())
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

// hold makes everything of somebody wait, as a report to the FIU does.
func (c *cast) hold(who string) {
	c.t.Helper()
	person := c.w.Hub.Store.PersonID(c.s.ID, c.player(who).Reference)
	err := c.w.Hub.Store.Tx(c.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO compliance_holds (id, case_id, person_id, object_id, cause, since, wait_until, ended_at, ended_by, decision)
			VALUES ('hld_1', 'cas_1', ?, '', ?, ?, 0, 0, '', '')`, person, compliance.HoldReport, tx.Now.UnixMicro())
		return err
	})
	if err != nil {
		c.t.Fatal(err)
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

// neverTold fails when a webhook speaks of a payout that waits in another way
// than of one that was just made.
func (c *cast) neverTold(id string) {
	c.t.Helper()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, d := range c.s.got {
		if bytes.Contains(d.Body, []byte(id)) && !bytes.Contains(d.Body, []byte(`"type":"payout.created"`)) && !bytes.Contains(d.Body, []byte(`"type":"payout.pending"`)) {
			c.t.Errorf("the merchant was told of a waiting payout: %s", d.Body)
		}
	}
}
