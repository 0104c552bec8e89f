package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// askAgain is how soon the same order may be asked about again by a page.
const askAgain = time.Second

// back notes that the payer's browser is back and asks the bank; the answer
// decides.
func (h *Hub) back(ctx context.Context, attemptID string) (*psd2.Payment, error) {
	p, _, err := h.byAttempt(ctx, attemptID)
	if err != nil {
		return nil, err
	}
	news := p.Open() == p.Attempt(attemptID) && p.Open().ReturnedAt == nil
	if a := watched(p); !news && (a == nil || !h.mayAsk(a)) {
		return p, nil // a replayed callback, or one that comes after the end
	}
	return h.lookOnce(ctx, p, func(p *psd2.Payment, now time.Time) { p.Returned(attemptID, now) })
}

// Refresh asks the bank about a payment, unless it was asked a moment ago.
func (h *Hub) Refresh(ctx context.Context, paymentID string) (*psd2.Payment, error) {
	p, err := h.Payment(ctx, paymentID)
	if err != nil {
		return nil, err
	}
	if a := watched(p); a == nil || !h.mayAsk(a) {
		return p, nil
	}
	return h.lookOnce(ctx, p, nil)
}

// lookOnce is look for pages: however often they are loaded while the bank
// takes its time, this process asks it once. Who comes meanwhile sees what is
// known.
func (h *Hub) lookOnce(ctx context.Context, p *psd2.Payment, first func(*psd2.Payment, time.Time)) (*psd2.Payment, error) {
	if _, busy := h.asking.LoadOrStore(p.ID, nil); !busy {
		defer h.asking.Delete(p.ID)
		return h.look(ctx, p, first)
	}
	if first == nil {
		return p, nil
	}
	return h.store.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
		first(p, h.store.Now())
		return nil
	})
}

func (h *Hub) mayAsk(a *psd2.Attempt) bool {
	return a.AskedAt == nil || h.store.Now().Sub(*a.AskedAt) >= askAgain
}

// watched is the attempt whose bank should be asked, or nil.
func watched(p *psd2.Payment) *psd2.Attempt {
	if a := p.Open(); a != nil {
		if a.State == psd2.AttemptPreparing || a.State == psd2.AttemptAuthorizing && a.AtRiskAt == nil {
			return nil // no order yet, or one that only the payer's answer through us can bring on
		}
		return a
	}
	paying := psd2.AttemptExecuted
	if p.State == psd2.StateSettled {
		if p.SourceID != "" {
			return nil
		}
		paying = psd2.AttemptSettled // all that is missing is who paid
	}
	for i := range p.Attempts {
		if a := &p.Attempts[i]; a.State == paying {
			return a
		}
	}
	if a := p.Last(); a != nil && a.State == psd2.AttemptAbandoned && a.AtRiskAt != nil {
		return a
	}
	return nil
}

// look asks the bank about the watched attempt and commits what follows:
// first (the caller's own note), the answer or the silence, the payer check,
// and what has run out of time.
func (h *Hub) look(ctx context.Context, p *psd2.Payment, first func(*psd2.Payment, time.Time)) (*psd2.Payment, error) {
	a := watched(p)
	var status banks.Status
	var found []byte
	began, asked, err := h.store.Now(), false, error(nil)
	if a != nil && a.State != psd2.AttemptSubmitting {
		asked = true
		status, found, err = h.ask(ctx, p, a)
	}
	before, wrong := p.State, p.Contradictions()
	p, uerr := h.store.UpdatePayment(context.WithoutCancel(ctx), p.ID, func(p *psd2.Payment) error {
		now := h.store.Now()
		if first != nil {
			first(p, now)
		}
		if found != nil {
			_ = p.Initiated(a.ID, a.Approach, psd2.Prompt{}, found, now) // refused where it is known already
		}
		if asked && !overtaken(p.Attempt(a.ID), status, err, began) {
			h.apply(p, a.ID, status, err, began, now)
		}
		p.Lapse(h.cfg.SubmitTimeout(), now)
		return nil
	})
	if uerr != nil {
		return nil, uerr
	}
	if p.State != before {
		h.counted(p)
	}
	h.contradictions(p.ID, p.Contradictions()-wrong)
	return p, nil
}

// overtaken reports whether somebody else got an answer while we were asking,
// and ours, perhaps the older one, adds nothing to it. Applied, it would look
// like silence or like a bank that contradicts itself.
func overtaken(a *psd2.Attempt, s banks.Status, err error, began time.Time) bool {
	return a.AnsweredAt != nil && a.AnsweredAt.After(began) && (err != nil || psd2.StandingOf(s.Transaction) <= psd2.StandingAuthorized)
}

// ask asks the bank what became of an order; where the answer to the initiation
// was lost, by our own reference, and found is the state to ask with from now on.
//
// That a bank does not find a deposit proves nothing, however long it remembers
// orders (Info.Dedup): what it has not found may lie in its queue, or on the
// way, and be taken afterwards. Nothing ends such an order in time: in
// NextGenPSD2 it carries no time at all, where a transfer of ours (carry.go)
// carries its CreatedAt, after which an instant scheme refuses it. Recognising
// the same order twice helps only who sends it twice. Were the deposit called
// failed, the payer would pay anew, and then both would be executed. So it stays
// unknown, until the bank finds it, the statement shows it, or two operators
// decide.
func (h *Hub) ask(ctx context.Context, p *psd2.Payment, a *psd2.Attempt) (s banks.Status, found []byte, err error) {
	bank, _, ok := h.banks.Bank(a.BankID)
	finder, finds := bank.(banks.Finder)
	unnamed := a.TakenAt == nil
	if !ok || unnamed && !finds {
		return banks.Status{}, nil, &banks.Error{Kind: banks.NotFound, Err: errors.New("nothing to ask with")}
	}
	err = h.call(ctx, a, "status", func(call context.Context) (err error) {
		if unnamed { // the answer to the initiation was lost, but the bank knows our reference
			found, s, err = finder.Find(call, h.ref(ctx, p, a))
		} else {
			s, err = bank.Status(call, h.ref(ctx, p, a))
		}
		return err
	})
	return s, found, err
}

func (h *Hub) ref(ctx context.Context, p *psd2.Payment, a *psd2.Attempt) banks.Ref {
	ap := p.Personal.Attempts[a.ID]
	return banks.Ref{
		EndToEndID: a.EndToEndID, RequestID: psd2.NewUUID(h.now(), h.random), TraceID: psd2.TraceOf(ctx),
		State: ap.Adapter, PSU: ap.PSU, ReturnURL: h.cfg.PublicURL + "/return/" + a.ID, FailURL: h.cfg.PublicURL + "/return/" + a.ID + "/failed",
	}
}

func (h *Hub) apply(p *psd2.Payment, attemptID string, s banks.Status, err error, asked, now time.Time) {
	if err != nil {
		p.Silent(attemptID, h.cfg.Patience, now)
		return
	}
	a := p.Attempt(attemptID)
	odd := a.Odd
	report := psd2.Report{Status: s.Transaction, SCAStatus: s.SCA, ReasonCode: s.Reason, Payer: s.Payer, AskedAt: asked}
	if !p.Report(attemptID, report, now) {
		h.metrics.unknown.WithLabelValues(a.BankID, code(s.Transaction)).Inc()
	}
	if a = p.Attempt(attemptID); a.Odd > odd {
		h.metrics.odd.WithLabelValues(a.BankID).Inc()
		h.log.Error("bank contradicts itself", "bank", a.BankID, "payment", p.ID, "attempt", a.ID, "status", code(s.Transaction))
	}
	p.Overdue(attemptID, h.cfg.Patience, now)
	p.JudgePayer(h.sourceID(p.MerchantID), SameHolder, now)
}

// sourceID names a paying account for its merchant: the same account always
// gets the same id, and another merchant gets another.
func (h *Hub) sourceID(merchantID string) func(psd2.IBAN) string {
	return func(iban psd2.IBAN) string {
		sum := sha256.Sum256([]byte(h.store.Lookup("source/"+merchantID, string(iban))))
		return psd2.DeriveID(psd2.PrefixSource, [16]byte(sum[:16]))
	}
}

// CancelByMerchant cancels a merchant's own payment.
func (h *Hub) CancelByMerchant(ctx context.Context, merchantID, paymentID string) (*psd2.Payment, error) {
	if _, err := h.store.MerchantPayment(ctx, merchantID, paymentID); err != nil {
		return nil, err
	}
	return h.cancel(ctx, paymentID, psd2.ReasonMerchantCanceled)
}

// CancelByPayer cancels from the hosted page; the caller has checked that it
// is the payer's browser.
func (h *Hub) CancelByPayer(ctx context.Context, paymentID string) (*psd2.Payment, error) {
	return h.cancel(ctx, paymentID, psd2.ReasonPayerCanceled)
}

func (h *Hub) cancel(ctx context.Context, paymentID string, by psd2.FailureReason) (*psd2.Payment, error) {
	var askBank bool
	p, err := h.store.UpdatePayment(ctx, paymentID, func(p *psd2.Payment) (err error) {
		askBank, err = p.Cancel(by, h.store.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	if !askBank {
		h.counted(p)
		return p, nil
	}
	if p, err = h.withdraw(ctx, p, p.Open()); err == nil {
		h.counted(p)
	}
	return p, err
}

// withdraw asks the bank to cancel an order that somebody no longer wants, and
// commits what comes of it.
func (h *Hub) withdraw(ctx context.Context, p *psd2.Payment, a *psd2.Attempt) (*psd2.Payment, error) {
	answer := h.cancelAtBank(ctx, p, a)
	if answer.Prompt.Kind != psd2.PromptNone {
		_, err := h.store.UpdatePayment(context.WithoutCancel(ctx), p.ID, func(p *psd2.Payment) error {
			p.CancelPrompt(a.ID, answer.Prompt, answer.State, h.store.Now())
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if !answer.Done {
		return h.look(ctx, p, nil) // it may have been executed meanwhile; else Lapse makes it unknown
	}
	return h.store.UpdatePayment(context.WithoutCancel(ctx), p.ID, func(p *psd2.Payment) error {
		p.Report(a.ID, psd2.Report{Status: "CANC"}, h.store.Now())
		return nil
	})
}

func (h *Hub) cancelAtBank(ctx context.Context, p *psd2.Payment, a *psd2.Attempt) banks.Cancellation {
	bank, _, _ := h.banks.Bank(a.BankID)
	c, ok := bank.(banks.Canceller)
	if !ok || a.TakenAt == nil {
		return banks.Cancellation{}
	}
	var answer banks.Cancellation
	err := h.call(ctx, a, "cancel", func(call context.Context) (err error) {
		answer, err = c.Cancel(call, h.ref(ctx, p, a))
		return err
	})
	if err != nil {
		return banks.Cancellation{}
	}
	return answer
}

const (
	followLease = "follow"
	followTTL   = time.Minute
	followBatch = 64
	trouble     = time.Minute // how long a payment is left alone that cannot be looked at

	followersPerBank = 8
	followLinger     = 2 * time.Second // how long a step waits for slow banks
)

// Step looks at a bounded number of payments that are due. One process at a
// time does it; asking twice would harm nobody, but banks count requests.
func (h *Hub) Step(ctx context.Context, now time.Time) (time.Time, error) {
	idle := now.Add(time.Second)
	ids, next, err := h.store.Due(ctx, now, followBatch)
	if err != nil {
		return idle, err
	}
	if len(ids) == 0 {
		if next.IsZero() || next.After(idle) {
			next = idle // other processes create payments too
		}
		return next, nil
	}
	_, held, err := h.own(ctx, followLease, followTTL)
	if err != nil || !held {
		return idle, err
	}
	waiting, err := h.lookAll(ctx, ids)
	switch {
	case err != nil:
		return idle, err
	case len(ids) < followBatch:
		return idle, nil
	case waiting: // those being asked are still due: not at once
		return now.Add(askAgain / 10), nil
	}
	return now, nil
}

// lookAll looks at payments.
func (h *Hub) lookAll(ctx context.Context, ids []string) (waiting bool, err error) {
	return h.each(ctx, ids, h.lookIn, h.store.Postpone)
}

// each works at several objects, so many at once. It does not wait for the last
// answer of a bank: one that does not answer must not hold up all others. What
// is still being asked is left out of the next turn; what fails is put off, or
// the longest due would keep all others from their turn.
func (h *Hub) each(ctx context.Context, ids []string, work func(context.Context, string) error,
	postpone func(context.Context, string, time.Time) error) (waiting bool, err error) {
	if h.cfg.Followers == 1 {
		return false, h.oneByOne(ctx, ids, work, postpone)
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(ids))
	for _, id := range ids {
		if _, busy := h.asking.LoadOrStore(id, nil); busy {
			waiting = true
			continue
		}
		h.slots <- struct{}{}
		wg.Add(1)
		h.looking.Go(func() {
			defer wg.Done()
			defer func() { <-h.slots; h.asking.Delete(id) }()
			if err := work(ctx, id); err != nil {
				errs <- errors.Join(err, h.handOver(ctx, id, err), postpone(ctx, id, h.store.Now().Add(trouble)))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	linger := time.NewTimer(h.linger)
	defer linger.Stop()
	select {
	case <-done:
	case <-linger.C:
		waiting = true
	}
	return waiting, drain(errs)
}

func (h *Hub) oneByOne(ctx context.Context, ids []string, work func(context.Context, string) error,
	postpone func(context.Context, string, time.Time) error) error {
	var errs []error
	for _, id := range ids {
		if _, busy := h.asking.LoadOrStore(id, nil); busy {
			continue
		}
		err := work(ctx, id)
		h.asking.Delete(id)
		if err != nil {
			errs = append(errs, err, h.handOver(ctx, id, err), postpone(ctx, id, h.store.Now().Add(trouble)))
		}
	}
	return errors.Join(errs...)
}

// enter takes one of the few places that questions to one bank have; without
// ok there is none just now.
func (h *Hub) enter(bankID string) (leave func(), ok bool) {
	room, _ := h.perBank.LoadOrStore(bankID, make(chan struct{}, followersPerBank))
	select {
	case room.(chan struct{}) <- struct{}{}:
		return func() { <-room.(chan struct{}) }, true
	default:
		return nil, false
	}
}

// lookIn looks at one payment when its bank has room for another question,
// else puts it off a little.
func (h *Hub) lookIn(ctx context.Context, id string) error {
	p, err := h.store.Payment(ctx, id)
	if err != nil {
		return err
	}
	if a := watched(p); a != nil {
		leave, ok := h.enter(a.BankID)
		if !ok {
			return h.store.Postpone(ctx, id, h.store.Now().Add(askAgain))
		}
		defer leave()
	}
	_, err = h.look(ctx, p, nil)
	return err
}

func drain(errs <-chan error) error {
	var all []error
	for {
		select {
		case err := <-errs:
			all = append(all, err)
		default:
			return errors.Join(all...)
		}
	}
}

// Close waits for questions to banks that are still under way. Stop driving
// Step first.
func (h *Hub) Close() { h.looking.Wait() }
