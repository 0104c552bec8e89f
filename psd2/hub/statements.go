package hub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	statementsLease  = "statements"
	statementPage    = 100             // entries read at once
	statementPages   = 10              // of one account in one turn
	balanceFresh     = 5 * time.Minute // how long a balance is believed when nothing is booked
	expectationBatch = 500             // events looked at in one turn
)

// StepStatements reads what the banks booked on payee accounts, compares it
// with what the hub initiated, and lets deposits and transfers know. One
// process at a time does it; an entry counts once, whoever reads it.
func (h *Hub) StepStatements(ctx context.Context, now time.Time) (time.Time, error) {
	idle := now.Add(h.cfg.ReadStatementsEvery)
	if len(h.channels) == 0 {
		return now.Add(time.Hour), nil
	}
	_, held, err := h.own(ctx, statementsLease, followTTL)
	if err != nil || !held {
		return idle, err
	}
	next, err := h.ledger.Step(ctx, now)
	if err != nil {
		return idle, err
	}
	more := !next.After(now)
	var errs []error
	for _, err := range h.readAccounts(ctx) {
		switch {
		case errors.Is(err, errMore):
			more = true
		case err != nil:
			errs = append(errs, err)
		}
	}
	if more && len(errs) == 0 {
		return now, nil
	}
	return idle, errors.Join(errs...)
}

// readAccounts reads all accounts on, each at its bank's speed.
func (h *Hub) readAccounts(ctx context.Context) (results []error) {
	read := func(account string) error {
		unread, err := h.readAccount(ctx, account, h.channels[account])
		err = errors.Join(err, h.readRecalls(ctx, account, h.channels[account]))
		if unread && err == nil {
			err = errMore
		}
		return err
	}
	accounts := slices.Sorted(maps.Keys(h.channels))
	results = make([]error, len(accounts))
	var reading sync.WaitGroup
	for i, account := range accounts {
		if h.cfg.Followers == 1 {
			results[i] = read(account)
			continue
		}
		reading.Add(1)
		h.looking.Go(func() {
			defer reading.Done()
			results[i] = read(account)
		})
	}
	reading.Wait()
	return results
}

var errMore = errors.New("statement: there is more to read")

// dues are what an event lets expect on a statement, and what no longer.
type dues struct{ wanted, over []psd2.ExpectedEntry }

// newLedger is the walk that takes from the journal what was executed and so must come up on a
// statement, and takes back what turned out not to have been. What it notes
// twice counts once.
func (h *Hub) newLedger() *store.Walk[dues] {
	return &store.Walk[dues]{
		DB: h.store, Name: "ledger", Holder: h.holder, Batch: expectationBatch,
		Read: func(ctx context.Context, m store.Mark) (d dues, err error) {
			e, ok, err := h.expectation(ctx, m)
			if err != nil {
				return d, err
			}
			if ok && h.channels[e.AccountID] != nil {
				d.wanted = append(d.wanted, e)
			}
			d.over, err = h.withdrawn(ctx, m)
			return d, err
		},
		Take: func(tx *store.Tx, d dues) error {
			for _, e := range d.wanted {
				if err := tx.Expect(e); err != nil {
					return err
				}
			}
			for _, e := range d.over {
				if err := tx.Withdraw(e.AccountID, e.EndToEndID); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// expectation is what an event lets expect on a statement.
func (h *Hub) expectation(ctx context.Context, m store.Mark) (e psd2.ExpectedEntry, ok bool, err error) {
	switch m.Type {
	case psd2.EventExecuted:
		p, err := h.store.PaymentOutline(ctx, m.ObjectID)
		if err != nil {
			return e, false, err
		}
		for i := range p.Attempts {
			if a := &p.Attempts[i]; a.State == psd2.AttemptExecuted || a.State == psd2.AttemptSettled {
				e, ok = expectedDeposit(p, a)
				break
			}
		}
	case psd2.EventRefundExecuted, psd2.EventPayoutExecuted:
		t, err := h.store.TransferOutline(ctx, m.ObjectID)
		if err != nil {
			return e, false, err
		}
		e, ok = expectedTransfer(t)
	}
	return e, ok, nil
}

// withdrawn are the orders that an event lets expect no longer: those of an
// object that failed, after operators perhaps had thought them executed.
func (h *Hub) withdrawn(ctx context.Context, m store.Mark) (list []psd2.ExpectedEntry, err error) {
	switch m.Type {
	case psd2.EventFailed, psd2.EventAttemptFailed:
		p, err := h.store.PaymentOutline(ctx, m.ObjectID)
		if err != nil {
			return nil, err
		}
		for i := range p.Attempts {
			if a := &p.Attempts[i]; givenUp(a) {
				list = append(list, psd2.ExpectedEntry{AccountID: p.PayeeAccountID, EndToEndID: a.EndToEndID})
			}
		}
	case psd2.EventRefundFailed, psd2.EventPayoutFailed:
		t, err := h.store.TransferOutline(ctx, m.ObjectID)
		if err != nil {
			return nil, err
		}
		if t.State == psd2.TransferFailed {
			list = append(list, psd2.ExpectedEntry{AccountID: t.AccountID, EndToEndID: t.EndToEndID})
		}
	}
	return list, nil
}

func expectedDeposit(p *psd2.Payment, a *psd2.Attempt) (psd2.ExpectedEntry, bool) {
	if p.ExecutedAt == nil {
		return psd2.ExpectedEntry{}, false
	}
	return psd2.ExpectedEntry{AccountID: p.PayeeAccountID, EndToEndID: a.EndToEndID, Leg: psd2.LegOrder, ObjectID: p.ID,
		Incoming: true, Amount: p.Amount, ExpectedAt: *p.ExecutedAt}, true
}

func expectedTransfer(t *psd2.Transfer) (psd2.ExpectedEntry, bool) {
	if t.ExecutedAt == nil {
		return psd2.ExpectedEntry{}, false
	}
	return psd2.ExpectedEntry{AccountID: t.AccountID, EndToEndID: t.EndToEndID, Leg: psd2.LegOrder, ObjectID: t.ID,
		Amount: t.Amount, ExpectedAt: *t.ExecutedAt}, true
}

// readAccount reads an account's statement on from where it was left.
func (h *Hub) readAccount(ctx context.Context, accountID string, c banks.Channel) (more bool, err error) {
	place, balanceAt, err := h.store.StatementRead(ctx, accountID)
	if err != nil {
		return false, err
	}
	read := false
	for range statementPages {
		list, next, err := h.bookings(ctx, c, place.Place, statementPage)
		if err != nil {
			return false, err
		}
		if next == place.Place && len(list) == 0 {
			if !read && h.store.Now().Sub(balanceAt) < balanceFresh {
				return false, nil
			}
			return false, h.readBalance(ctx, accountID, c, place.Place)
		}
		moved, err := h.takePage(ctx, accountID, place.Place, list, next)
		if err != nil || !moved {
			return false, err
		}
		read = true
		place.Place = next
	}
	return true, nil
}

func (h *Hub) bookings(ctx context.Context, c banks.Channel, after string, limit int) (list []banks.Booking, next string, err error) {
	err = h.callChannel(ctx, c, "bookings", func(call context.Context) (err error) {
		list, next, err = c.Bookings(call, after, limit)
		return err
	})
	return list, next, err
}

// readBalance asks for the balance when everything has been read. It is kept
// only if nothing was booked meanwhile, so that the two can be compared.
func (h *Hub) readBalance(ctx context.Context, accountID string, c banks.Channel, place string) error {
	var balance psd2.Money
	var at time.Time
	err := h.callChannel(ctx, c, "balance", func(call context.Context) (err error) {
		balance, at, err = c.Balance(call)
		return err
	})
	if err != nil {
		return err
	}
	if _, next, err := h.bookings(ctx, c, place, 1); err != nil || next != place {
		return err
	}
	return h.store.Tx(ctx, func(tx *store.Tx) error {
		p, err := tx.ReadStatement(accountID)
		if err != nil || p.Place != place {
			return err
		}
		return tx.SetBalance(accountID, place, balance.AmountMinor, at)
	})
}

// takePage takes entries in and moves on, all at once. It does not move when
// an entry belongs to an order whose bank is just being asked to take it: that
// is decided in a moment.
func (h *Hub) takePage(ctx context.Context, accountID, place string, list []banks.Booking, next string) (moved bool, err error) {
	var classes []psd2.EntryClass
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		moved, classes = true, nil
		p, err := tx.ReadStatement(accountID)
		if err != nil {
			return err
		}
		if p.Place != place { // somebody else has read on
			moved = false
			return nil
		}
		for _, b := range list {
			class, err := h.book(tx, accountID, p.Entries+1, b)
			switch {
			case errors.Is(err, errTooEarly):
				moved = false
			case err != nil:
				return err
			case class != "":
				p.Entries++
				classes = append(classes, class)
			}
		}
		if moved {
			p.Place = next
		}
		return tx.MoveStatement(accountID, p)
	})
	if err != nil {
		return false, err
	}
	for _, class := range classes {
		h.metrics.entries.WithLabelValues(string(class)).Inc()
	}
	return moved, nil
}

var errTooEarly = errors.New("statement: the order is being sent")

// book takes one entry in: class is "" when it was taken in before.
func (h *Hub) book(tx *store.Tx, accountID string, number int64, b banks.Booking) (class psd2.EntryClass, err error) {
	if b.Amount.AmountMinor <= 0 {
		h.log.Error("a statement has an entry without an amount", "account", accountID)
		return "", nil
	}
	if known, err := tx.HasEntry(accountID, b.ID); err != nil || known {
		return "", err
	}
	e := &psd2.StatementEntry{
		AccountID: accountID, Number: number, BankID: b.ID, Kind: psd2.EntryKind(b.Kind), Incoming: b.In, Amount: b.Amount, BookedAt: b.BookedAt,
		EndToEndID: b.EndToEndID, Reason: b.Reason, Class: psd2.EntryForeign, Counterparty: b.Counterparty, Remittance: b.Remittance,
	}
	o, err := h.ordered(tx, b.EndToEndID)
	if errors.Is(err, store.ErrDamaged) {
		// It stays foreign, for operators to see: what comes after must not wait for it.
		h.log.Error("a statement's entry belongs to an order that is damaged", "account", accountID, "entry", number, "order", b.EndToEndID)
		o, err = nil, nil
	}
	if err != nil {
		return "", err
	}
	m := match{tx: tx, entry: e, lateAfter: h.cfg.MissingAfter}
	switch {
	case o == nil:
	case o.Payment != nil:
		err = h.bookDeposit(m, o)
	default:
		err = h.bookTransfer(m, o)
	}
	if err != nil {
		return "", err
	}
	return e.Class, tx.AddEntry(e, o != nil && o.Erased)
}

func (h *Hub) ordered(tx *store.Tx, endToEndID string) (*store.Ordered, error) {
	if endToEndID == "" || endToEndID == notProvided || !psd2.IsEPC(endToEndID) {
		return nil, nil
	}
	return tx.ByEndToEndID(endToEndID)
}

// match finds an entry's class.
type match struct {
	tx        *store.Tx
	entry     *psd2.StatementEntry
	lateAfter time.Duration
}

// judge compares the entry with an order of ours. since is when it could first
// be expected; given up is an order that had ended without money.
func (m match) judge(leg psd2.EntryLeg, amount psd2.Money, since *time.Time, givenUp bool) error {
	e := m.entry
	met, err := m.tx.IsMet(e.AccountID, e.EndToEndID, leg)
	switch {
	case err != nil:
		return err
	case e.Amount != amount:
		e.Class = psd2.EntryWrongAmount
	case met:
		e.Class = psd2.EntryDuplicate
	case givenUp || since != nil && e.BookedAt.Sub(*since) > m.lateAfter:
		e.Class = psd2.EntryLate
	default:
		e.Class = psd2.EntryMatched
	}
	return nil
}

// meet notes the expectation and that this entry meets it.
func (m match) meet(x psd2.ExpectedEntry, ok bool) error {
	if !ok {
		x = psd2.ExpectedEntry{ObjectID: m.entry.ObjectID, Leg: psd2.LegOrder, ExpectedAt: m.entry.BookedAt}
	}
	x.AccountID, x.EndToEndID, x.Amount, x.Incoming = m.entry.AccountID, m.entry.EndToEndID, m.entry.Amount, m.entry.Incoming
	if err := m.tx.Expect(x); err != nil {
		return err
	}
	return m.tx.Meet(x.AccountID, x.EndToEndID, x.Leg, m.entry.Number)
}

// cameBack is the expectation that a return makes for itself: nobody could
// know of it before.
func (m match) cameBack() psd2.ExpectedEntry {
	return psd2.ExpectedEntry{Leg: psd2.LegReturn, ObjectID: m.entry.ObjectID, ExpectedAt: m.entry.BookedAt}
}

func (h *Hub) bookDeposit(m match, o *store.Ordered) error {
	p, a, e := o.Payment, o.Attempt, m.entry
	arrived, sentBack := e.Kind == psd2.EntryCredit && e.Incoming, e.Kind == psd2.EntryReturn && !e.Incoming
	switch {
	case p.PayeeAccountID != e.AccountID, !arrived && !sentBack, a.State == psd2.AttemptPreparing:
		return nil // not what was ordered, even if it bears its name
	case a.State == psd2.AttemptSubmitting:
		return errTooEarly
	}
	e.ObjectID, e.PersonID = p.ID, p.PersonID
	if sentBack {
		if err := m.judge(psd2.LegReturn, p.Amount, nil, false); err != nil || !e.Class.Expected() {
			return err
		}
		if err := h.tellPayment(m.tx, o, func(p *psd2.Payment) { p.SentBack(e.Reason, m.tx.Now) }); err != nil {
			return err
		}
		return m.meet(m.cameBack(), true)
	}
	if err := m.judge(psd2.LegOrder, p.Amount, p.ExecutedAt, givenUp(a)); err != nil {
		return err
	}
	if e.Class.Expected() && paidByAnother(p, a) {
		e.Class = psd2.EntryDuplicate // the player has paid twice
	}
	if e.Class != psd2.EntryMatched && e.Class != psd2.EntryLate && e.Class != psd2.EntryDuplicate {
		return nil // another amount settles nothing
	}
	if err := h.tellPayment(m.tx, o, func(p *psd2.Payment) {
		p.Credited(a.ID, e.Counterparty, m.tx.Now)
		p.JudgePayer(h.sourceID(p.MerchantID), SameHolder, m.tx.Now)
	}); err != nil || !e.Class.Expected() {
		return err
	}
	return m.meet(expectedDeposit(o.Payment, a))
}

// tellPayment changes the payment of an order, unless its person was erased.
func (h *Hub) tellPayment(tx *store.Tx, o *store.Ordered, fn func(*psd2.Payment)) error {
	if o.Erased {
		return nil
	}
	wrong := o.Payment.Contradictions()
	p, err := tx.UpdatePayment(o.Payment.ID, func(p *psd2.Payment) error { fn(p); return nil })
	if err == nil {
		h.contradictions(p.ID, p.Contradictions()-wrong)
		o.Payment = p
	}
	return err
}

func givenUp(a *psd2.Attempt) bool {
	return a.State == psd2.AttemptRefused || a.State == psd2.AttemptCanceled || a.State == psd2.AttemptAbandoned
}

func paidByAnother(p *psd2.Payment, a *psd2.Attempt) bool {
	return slices.ContainsFunc(p.Attempts, func(o psd2.Attempt) bool {
		return o.ID != a.ID && (o.State == psd2.AttemptExecuted || o.State == psd2.AttemptSettled)
	})
}

func (h *Hub) bookTransfer(m match, o *store.Ordered) error {
	t, e := o.Transfer, m.entry
	paid, cameBack := e.Kind == psd2.EntryDebit && !e.Incoming, e.Kind == psd2.EntryReturn && e.Incoming
	if t.AccountID != e.AccountID || !paid && !cameBack || t.SubmittedAt == nil {
		return nil
	}
	e.ObjectID, e.PersonID = t.ID, t.PersonID
	leg, since := psd2.LegOrder, t.SubmittedAt
	if cameBack {
		leg, since = psd2.LegReturn, nil
	}
	if err := m.judge(leg, t.Amount, since, paid && t.State == psd2.TransferFailed); err != nil || !e.Class.Expected() {
		return err
	}
	if !o.Erased {
		before, odd, wrong := t.State, t.Odd, contradicted(t)
		var err error
		if o.Transfer, err = m.tx.UpdateTransfer(t.ID, func(t *psd2.Transfer) error {
			if cameBack {
				t.CameBack(e.Reason, m.tx.Now)
			} else {
				t.Booked(m.tx.Now)
			}
			return nil
		}); err != nil {
			return err
		}
		if o.Transfer.State != before {
			h.countedTransfer(o.Transfer)
		}
		h.contradictions(t.ID, contradicted(o.Transfer)-wrong)
		if o.Transfer.Odd > odd { // we had given it up: somebody may have been paid twice
			h.log.Error("the statement shows what was thought dead", "transfer", t.ID, "entry", e.BankID)
		}
	}
	if cameBack {
		return m.meet(m.cameBack(), true)
	}
	return m.meet(expectedTransfer(o.Transfer))
}
