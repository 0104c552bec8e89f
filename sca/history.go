package sca

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// PaymentFacts is what the hub knows of a payment before it goes to the bank.
type PaymentFacts struct {
	PaymentID    string
	PersonID     string
	Amount       psd2.Money
	CreditorIBAN psd2.IBAN
	Approach     string // the bank's
	Merchant     Level  // the merchant's own wish; "" is none
	Risk         Risk
	DeviceSecret string // of the browser's __Host-rs_known cookie; "" when there is none
	DeviceProof  string // JWS by the browser's own key; see Recognise
	Behaviour    string // JSON of Behaviour, when the payer agreed; it moves the risk's score a little
}

// Requirement is what is asked of the payer.
type Requirement struct {
	Decision
	// PerformedBy says whose authentication is the one the law asks for: "aspsp",
	// or "delegated" when the bank has handed it over to us.
	PerformedBy string
	// Elsewhere says that the last confirmation came from another country than the
	// browser it was asked for in.
	Elsewhere bool
	// Keep writes the decision down with its facts. Call it in the transaction
	// that acts on the decision, before Recheck.
	Keep func(*store.Tx) error
}

// Require decides what a payment needs.
func (s *Service) Require(ctx context.Context, p PaymentFacts) (Requirement, error) {
	f := Facts{Amount: p.Amount, Approach: p.Approach, Merchant: p.Merchant}
	points, reasons, reported, err := s.signals(ctx, p)
	if err != nil {
		return Requirement{}, err
	}
	f.Reported, f.Risk = reported, p.Risk.and(points, reasons)
	if p.Risk.Score > 0 || len(p.Risk.Reasons) > 0 {
		own := Risk{}.and(points, reasons)
		f.Own = &own
	}
	if f.Country, err = s.confirmedFrom(ctx, p.PaymentID); err != nil {
		return Requirement{}, err
	}
	if f.History, err = s.history(ctx, p); err != nil {
		return Requirement{}, err
	}
	if f.Device, err = s.Recognise(ctx, p.PersonID, p.DeviceSecret, p.DeviceProof); err != nil {
		return Requirement{}, err
	}
	if f.Factors, err = s.Methods(ctx, p.PersonID); err != nil {
		return Requirement{}, err
	}
	if f.Fraud, err = s.rates.now(ctx, s); err != nil {
		return Requirement{}, err
	}
	r := Requirement{Decision: Decide(s.rules, f), PerformedBy: "aspsp", Elsewhere: f.Country == CountryOther}
	if p.Approach == ApproachDelegated {
		r.PerformedBy = "delegated"
	}
	r.Keep = func(tx *store.Tx) error { return s.keepDecision(tx, p.PaymentID, f, r.Decision) }
	return r, nil
}

func (s *Service) payee(iban psd2.IBAN) string { return s.db.Lookup("sca/payee", string(iban)) }

// historyLimit is how many of a person's transfers are looked at.
const historyLimit = 100

func (s *Service) history(ctx context.Context, p PaymentFacts) (History, error) {
	var rows []struct {
		PayeeHash   string `db:"payee_hash"`
		AmountMinor int64  `db:"amount_minor"`
		Strong      int    `db:"strong"`
	}
	err := s.db.Select(ctx, &rows, `SELECT payee_hash, amount_minor, strong FROM sca_transfers WHERE person_id = ? ORDER BY executed_at DESC, payment_id DESC LIMIT ?`, p.PersonID, historyLimit)
	if err != nil {
		return History{}, err
	}
	var h History
	payee, since, same := s.payee(p.CreditorIBAN), true, 0
	amounts := make([]int64, 0, len(rows))
	for _, r := range rows {
		if since = since && r.Strong == 0; since {
			h.Count++
			h.Sum += r.AmountMinor
		}
		if r.PayeeHash == payee && r.AmountMinor == p.Amount.AmountMinor {
			same++
			if r.Strong == 1 {
				h.Same = same // the series begins with it, or earlier
			}
		}
		amounts = append(amounts, r.AmountMinor)
	}
	if slices.Sort(amounts); len(amounts) > 0 {
		h.Usual = amounts[len(amounts)/2]
	}
	var trusted int
	err = s.db.Get(ctx, &trusted, `SELECT COUNT(*) FROM sca_trusted WHERE person_id = ? AND payee_hash = ?`, p.PersonID, payee)
	h.Trusted = trusted > 0
	return h, err
}

// Rate is fraudulent and all value of a span, in cents.
type Rate struct{ Fraudulent, All int64 }

// maxQuarters is how far back Art. 20 is looked at.
const maxQuarters = 8

// ratesLife is how long computed fraud rates serve: they are of 90 days and of
// whole quarters, and computing them reads all of these.
const ratesLife = time.Minute

// rates keeps the fraud rates. Fraud that this process learns of makes them
// void at once, that others learn of within ratesLife.
type rates struct {
	mu      sync.Mutex
	fraud   Fraud
	until   time.Time
	changed atomic.Bool // by a transaction that is perhaps not committed yet
}

func (r *rates) now(ctx context.Context, s *Service) (Fraud, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := s.db.Now()
	if left := r.until.Sub(now); left > 0 && left <= ratesLife {
		return r.fraud, nil
	}
	f, err := s.FraudRates(ctx, now)
	if err != nil {
		return Fraud{}, err
	}
	r.fraud, r.until = f, now
	if f.All > 0 { // before anything was executed there is nothing to be spared
		r.until = now.Add(ratesLife)
	}
	return f, nil
}

// committed makes the rates void if what was committed changes them.
func (r *rates) committed() {
	if !r.changed.Swap(false) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Time{}
}

// FraudRates is the fraud rate over the rolling window (Art. 19(1)) with the
// bands that Art. 20 has switched off. It is one rate, of all remote credit
// transfers, held against each band's reference: that is how Art. 19 has it.
func (s *Service) FraudRates(ctx context.Context, now time.Time) (Fraud, error) {
	window, err := s.rate(ctx, now.AddDate(0, 0, -s.rules.FraudWindowDays), now)
	if err != nil {
		return Fraud{}, err
	}
	f := Fraud{Fraudulent: window.Fraudulent, All: window.All}
	quarters := make([]Rate, 0, maxQuarters)
	end := quarterStart(now)
	for i := maxQuarters; i > 0; i-- {
		r, err := s.rate(ctx, end.AddDate(0, -3*i, 0), end.AddDate(0, -3*(i-1), 0))
		if err != nil {
			return Fraud{}, err
		}
		quarters = append(quarters, r)
	}
	for _, band := range s.rules.TRA {
		if ceased(quarters, band.FraudPPM, s.rules.CeaseAfterQuarters) {
			f.Ceased = append(f.Ceased, band.UpTo)
		}
	}
	return f, nil
}

// ceased reports whether an exemption is off: after so many quarters in a row
// above the reference, until one is not (Art. 20(1), (2)). Oldest first.
func ceased(quarters []Rate, ppm int64, after int) bool {
	above, off := 0, false
	for _, q := range quarters {
		if q.All > 0 && !withinRate(q.Fraudulent, q.All, ppm) {
			above++
			off = off || above >= after
			continue
		}
		above = 0
		if q.All > 0 { // an empty quarter shows nothing
			off = false
		}
	}
	return off
}

func quarterStart(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), (t.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC)
}

func (s *Service) rate(ctx context.Context, from, to time.Time) (Rate, error) {
	var r struct {
		Fraud int64 `db:"fraud"`
		All   int64 `db:"whole"`
	}
	err := s.db.Get(ctx, &r, `SELECT COALESCE(SUM(CASE WHEN fraud = 1 THEN amount_minor ELSE 0 END), 0) AS fraud, COALESCE(SUM(amount_minor), 0) AS whole FROM sca_transfers WHERE executed_at >= ? AND executed_at < ?`,
		from.UnixMicro(), to.UnixMicro())
	return Rate{r.Fraud, r.All}, err
}
