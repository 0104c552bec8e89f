package compliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Facts are what the hub knows of a case's person: unmasked, so they are shown
// through masks, one revealed field at a time.
type Facts struct {
	Known      bool // false: the case is about no person, or he was erased
	MerchantID string
	Player     psd2.Player
	Accounts   []psd2.Party // he paid from, newest first
	Devices    []string
	Movements  []Movement // oldest first
	Others     []Linked   // other people at the same accounts or devices
	LimitMinor int64      // a month's limit, for the chart
	Implicated []string   // ids of the payments, payouts and refunds that rules fired on

	paymentByID  map[string]*psd2.Payment
	transferByID map[string]*psd2.Transfer
}

// Kinds of movements.
const (
	Deposit = "deposit"
	Payout  = "payout"
	Refund  = "refund"
)

// Movement is money in or out.
type Movement struct {
	ID     string
	Kind   string
	At     time.Time
	Amount psd2.Money
	Failed bool
	Note   string // state, for the table beside the chart
}

// Linked is another person, and what he shares with this one.
type Linked struct {
	PersonID   string
	MerchantID string
	Via        string // "account" or "device"
	Index      int    // of that account or device in Facts
	Payments   int
}

// limits of what a case page gathers.
const (
	maxObjects   = 50
	maxPayments  = 100
	maxAccounts  = 8
	maxNeighbour = 12
)

// FactsOf gathers what is known of a case's person from the payments, payouts
// and refunds that its rules fired on and his others with that merchant.
func (d *Desk) FactsOf(ctx context.Context, c *Case) (*Facts, error) {
	f := &Facts{LimitMinor: d.MonthlyLimitMinor, paymentByID: map[string]*psd2.Payment{}, transferByID: map[string]*psd2.Transfer{}}
	err := d.Store.Select(ctx, &f.Implicated, `SELECT object_id FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id
		WHERE case_id = ? AND object_id <> '' GROUP BY object_id ORDER BY MAX(compliance_hits.at) DESC LIMIT ?`, c.ID, maxObjects)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	for _, id := range f.Implicated {
		err := d.gatherObject(ctx, c, f, id)
		if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound && !errors.Is(err, store.ErrErased) {
			return nil, fmt.Errorf("facts: %w", err)
		}
	}
	if f.Known {
		if err := d.gatherPerson(ctx, c, f); err != nil {
			return nil, err
		}
	}
	f.arrange()
	return f, nil
}

func (f *Facts) add(p *psd2.Payment) { f.paymentByID[p.ID] = p }

// gatherObject adds a payment, or a payout or refund with the deposit it
// belongs to.
func (d *Desk) gatherObject(ctx context.Context, c *Case, f *Facts, id string) error {
	know := func(person, merchant string, player psd2.Player) {
		if !f.Known && c.PersonID != "" && person == c.PersonID && player.Reference != "" {
			f.Known, f.MerchantID, f.Player = true, merchant, player
		}
	}
	if !strings.HasPrefix(id, psd2.PrefixPayment+"_") {
		t, err := d.Store.Transfer(ctx, id)
		if err != nil {
			return err
		}
		f.transferByID[t.ID] = t
		know(t.PersonID, t.MerchantID, t.Personal.Player)
		if id = t.PaymentID; id == "" {
			return nil
		}
	}
	p, err := d.Store.Payment(ctx, id)
	if err != nil {
		return err
	}
	f.add(p)
	know(p.PersonID, p.MerchantID, p.Personal.Player)
	return nil
}

// gatherPerson adds the person's other payments and who shares his accounts.
func (d *Desk) gatherPerson(ctx context.Context, c *Case, f *Facts) error {
	list, _, err := d.Store.Payments(ctx, store.Filter{MerchantID: f.MerchantID, PlayerReference: f.Player.Reference, Limit: maxPayments})
	if err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	for _, p := range list {
		f.add(p)
		f.addAccount(p.Personal.Source)
		if id := p.Personal.DeviceID; id != "" && !slices.Contains(f.Devices, id) && len(f.Devices) < maxAccounts {
			f.Devices = append(f.Devices, id)
		}
	}
	out, _, err := d.Store.Transfers(ctx, store.TransferFilter{MerchantID: f.MerchantID, PlayerReference: f.Player.Reference, Limit: maxPayments})
	if err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	for _, t := range out {
		f.transferByID[t.ID] = t
		f.addAccount(t.Personal.Payee)
	}
	for i, account := range f.Accounts {
		sharing, err := d.Store.Find(ctx, string(account.IBAN))
		if err != nil {
			return fmt.Errorf("facts: %w", err)
		}
		f.link(c.PersonID, i, sharing)
	}
	return nil
}

func (f *Facts) addAccount(a psd2.Party) {
	if a.IBAN == "" || len(f.Accounts) == maxAccounts ||
		slices.ContainsFunc(f.Accounts, func(b psd2.Party) bool { return b.IBAN == a.IBAN && b.Name == a.Name }) {
		return
	}
	f.Accounts = append(f.Accounts, a)
}

// link counts who else paid from an account, and on which of our devices.
func (f *Facts) link(self string, account int, payments []*psd2.Payment) {
	count := func(p *psd2.Payment, via string, index int) {
		for i := range f.Others {
			if o := &f.Others[i]; o.PersonID == p.PersonID && o.Via == via && o.Index == index {
				o.Payments++
				return
			}
		}
		if len(f.Others) < maxNeighbour {
			f.Others = append(f.Others, Linked{p.PersonID, p.MerchantID, via, index, 1})
		}
	}
	for _, p := range payments {
		if p.PersonID == self {
			continue
		}
		count(p, "account", account)
		if i := slices.Index(f.Devices, p.Personal.DeviceID); i >= 0 {
			count(p, "device", i)
		}
	}
}

// arrange makes movements of payments.
func (f *Facts) arrange() {
	for _, p := range f.paymentByID {
		f.Movements = append(f.Movements, Movement{ID: p.ID, Kind: Deposit, At: p.CreatedAt, Amount: p.Amount,
			Failed: p.State == psd2.StateFailed, Note: string(p.State)})
	}
	for _, t := range f.transferByID {
		m := Movement{ID: t.ID, Kind: Payout, At: t.CreatedAt, Amount: t.Amount, Note: string(t.State),
			Failed: t.State == psd2.TransferFailed || t.State == psd2.TransferReturned}
		if t.Kind == psd2.KindRefund {
			m.Kind = Refund
		}
		f.Movements = append(f.Movements, m)
	}
	slices.SortFunc(f.Movements, func(a, b Movement) int {
		if n := a.At.Compare(b.At); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Prefill begins a report from what is known, so that an officer corrects
// rather than types. merchant is who was paid.
func (f *Facts) Prefill(c *Case, o Officer, merchant *psd2.Merchant, zone *time.Location) goaml.Report {
	r := goaml.Report{Complaint: "", Officer: goaml.Person{}, Subject: subjectOf(f.Player)}
	r.Officer.FirstName, r.Officer.LastName = splitName(o.Name)
	for _, id := range f.Implicated {
		if p := f.paymentByID[id]; p != nil && p.PersonID == c.PersonID {
			r.Transactions = append(r.Transactions, transactionOf(p, merchant, zone))
		}
		if t := f.transferByID[id]; t != nil && t.PersonID == c.PersonID {
			r.Transactions = append(r.Transactions, payoutOf(t, merchant, zone))
		}
	}
	slices.SortFunc(r.Transactions, func(a, b goaml.Transaction) int { return a.At.Compare(b.At) })
	return r
}

func subjectOf(p psd2.Player) goaml.Person {
	first, last := splitName(p.Name)
	return goaml.Person{FirstName: first, LastName: last, BirthDate: p.DateOfBirth, Residence: p.Residence}
}

// splitName takes the last word for the family name; an officer corrects it.
func splitName(name string) (first, last string) {
	words := strings.Fields(name)
	if len(words) == 0 {
		return "", ""
	}
	return strings.Join(words[:len(words)-1], " "), words[len(words)-1]
}

func transactionOf(p *psd2.Payment, m *psd2.Merchant, zone *time.Location) goaml.Transaction {
	t := goaml.Transaction{Number: p.ID, At: p.CreatedAt.In(zone), Amount: p.Amount, Purpose: p.Personal.Reference, FromSubject: true,
		Attempted: p.State == psd2.StateFailed, From: goaml.Account{Name: p.Personal.Source.Name, IBAN: p.Personal.Source.IBAN, BIC: p.Personal.Source.BIC}}
	if a := p.Last(); a != nil {
		t.EndToEndID = a.EndToEndID
	}
	t.To = goaml.Account{Name: p.Personal.Payee.Name, IBAN: p.Personal.Payee.IBAN, BIC: p.Personal.Payee.BIC}
	if m == nil {
		return t
	}
	if a, ok := m.Account(p.PayeeAccountID); ok && t.To.IBAN == "" {
		t.To = goaml.Account{Name: a.Name, IBAN: a.IBAN, BIC: a.BIC}
	}
	return t
}

// payoutOf is money out to the subject.
func payoutOf(p *psd2.Transfer, m *psd2.Merchant, zone *time.Location) goaml.Transaction {
	t := goaml.Transaction{Number: p.ID, EndToEndID: p.EndToEndID, At: p.CreatedAt.In(zone), Amount: p.Amount, Purpose: p.Personal.Reference,
		Attempted: p.State != psd2.TransferExecuted, To: goaml.Account{Name: p.Personal.Payee.Name, IBAN: p.Personal.Payee.IBAN, BIC: p.Personal.Payee.BIC}}
	if m != nil {
		if a, ok := m.Account(p.AccountID); ok {
			t.From = goaml.Account{Name: a.Name, IBAN: a.IBAN, BIC: a.BIC}
		}
	}
	return t
}

// Draft gives a case's report to work on: the saved one, or one prefilled.
func (d *Desk) Draft(ctx context.Context, o Officer, c *Case, f *Facts, p goaml.Profile) (*Report, error) {
	r, err := d.Report(ctx, o, c)
	if err == nil && (r.Status == ReportDraft || c.State != Investigating && c.State != AwaitingInfo) {
		return r, nil
	}
	if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound {
		return nil, err
	}
	var merchant *psd2.Merchant
	if f.MerchantID != "" {
		if m, err := d.Store.Merchant(ctx, f.MerchantID); err == nil {
			merchant = m
		}
	}
	fresh := f.Prefill(c, o, merchant, d.zone)
	if r != nil && r.FIURef != "" {
		fresh.Earlier = append(r.Draft.Earlier, r.FIURef)
	}
	return &Report{CaseID: c.ID, Status: ReportDraft, Profile: p, Draft: fresh}, nil
}
