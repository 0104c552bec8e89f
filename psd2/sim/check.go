package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Kind is a promise that can be broken.
type Kind string

// The promises.
const (
	DoubleSubmission Kind = "double_submission" // one order reached its bank, or was executed, twice
	WrongFinal       Kind = "wrong_final"       // the hub's last word is not the bank's, or the books do not agree
	LostEvent        Kind = "lost_event"        // an event was not delivered, or not under one id, or not in order
	Stuck            Kind = "stuck"             // something was left undecided
)

// finding is one broken promise.
type finding struct {
	kind Kind
	what string
}

func (w *world) find(k Kind, format string, args ...any) {
	f := finding{k, fmt.Sprintf(format, args...)}
	w.say("FOUND %s: %s", f.kind, f.what)
	w.found = append(w.found, f)
}

// check holds the hub's books against what the world knows.
func (w *world) check() {
	p := w.somebody()
	if p == nil {
		w.find(Stuck, "no process is left")
		return
	}
	payments, transfers := w.objects(p)
	w.checkRepeats(payments, transfers)
	for _, x := range payments {
		w.ends["payment "+string(x.State)]++
		w.checkPayment(x)
	}
	for _, x := range transfers {
		w.ends[string(x.Kind)+" "+string(x.State)]++
		w.checkTransfer(x)
	}
	w.checkBooks(p)
	w.checkEvents(p, payments, transfers)
}

func (w *world) objects(p *process) (payments []*psd2.Payment, transfers []*psd2.Transfer) {
	payments = readAll(w, p, `SELECT id FROM payments ORDER BY id`, p.db.Payment)
	return payments, readAll(w, p, `SELECT id FROM transfers ORDER BY id`, p.db.Transfer)
}

func readAll[T any](w *world, p *process, query string, load func(context.Context, string) (T, error)) (list []T) {
	var ids []string
	if err := p.db.Select(context.Background(), &ids, query); err != nil {
		w.find(Stuck, "%s: %v", query, err)
	}
	for _, id := range ids {
		x, err := load(context.Background(), id)
		if err != nil {
			w.find(Stuck, "read %s: %v", id, err)
			continue
		}
		list = append(list, x)
	}
	return list
}

// checkRepeats: a wish repeated under one key is one object.
func (w *world) checkRepeats(payments []*psd2.Payment, transfers []*psd2.Transfer) {
	if n := len(payments) + len(transfers); n > w.wishes {
		w.find(DoubleSubmission, "%d wishes made %d payments and transfers", w.wishes, n)
	}
	if len(payments) > w.deposits {
		w.find(DoubleSubmission, "%d deposits were asked for, there are %d", w.deposits, len(payments))
	}
}

func (w *world) checkPayment(x *psd2.Payment) {
	moved, alive := 0, 0
	for _, a := range x.Attempts {
		orders := w.banks[a.BankID].byRef[a.EndToEndID]
		if len(orders) > 1 {
			w.find(DoubleSubmission, "%s: its bank got the order of %s %d times", x.ID, a.ID, len(orders))
		}
		for _, o := range orders {
			if o.amount != x.Amount {
				w.find(WrongFinal, "%s: another amount was ordered", x.ID)
			}
			w.checkInTime(x.ID, a.SubmittedAt, o.taken)
			if moved += o.executed; !o.final() {
				alive++
			}
		}
	}
	switch {
	case moved > 1:
		w.find(DoubleSubmission, "%s: paid %d times", x.ID, moved)
	case moved == 1 && x.State == psd2.StateFailed:
		w.find(WrongFinal, "%s: failed while its bank has executed it", x.ID)
	case moved == 0 && x.State.MoneyMoved():
		w.find(WrongFinal, "%s: %s while no bank has executed it", x.ID, x.State)
	case alive == 0 && !x.State.Final():
		w.find(Stuck, "%s: still %s", x.ID, x.State)
	case alive > 0:
		w.find(Stuck, "%s: the world has an order that is not final", x.ID) // of the model, not of the hub
	}
}

func (w *world) checkTransfer(x *psd2.Transfer) {
	orders := w.till.payments[x.EndToEndID]
	if len(orders) > 1 {
		w.find(DoubleSubmission, "%s: the bank got it %d times", x.ID, len(orders))
	}
	for _, o := range orders {
		w.checkInTime(x.ID, x.SubmittedAt, o.taken)
	}
	moved := slices.ContainsFunc(orders, func(p *payment) bool { return p.executed })
	switch {
	case moved && x.State == psd2.TransferFailed:
		w.find(WrongFinal, "%s: failed while its bank has executed it", x.ID)
	case !moved && (x.State == psd2.TransferExecuted || x.State == psd2.TransferReturned):
		w.find(WrongFinal, "%s: %s while its bank has not executed it", x.ID, x.State)
	case x.State == psd2.TransferPending || x.State == psd2.TransferAuthorized || x.State == psd2.TransferUnknown:
		w.find(Stuck, "%s: still %s", x.ID, x.State)
	}
}

// givenUp is when an order that its bank does not know counts as never sent.
const givenUp = 2 * time.Minute

// checkInTime: an order reaches its bank while somebody still waits for it. A
// process that slept since its intent must not send it any more, and what is on
// its way arrives soon.
func (w *world) checkInTime(id string, intent *time.Time, taken time.Time) {
	switch {
	case intent == nil:
		w.find(DoubleSubmission, "%s: its bank has an order that nobody meant to send", id)
	case w.jumps == 0 && taken.Sub(*intent) >= givenUp:
		w.find(WrongFinal, "%s: its bank got the order %s after the intent, when others had given it up", id, taken.Sub(*intent).Round(time.Second))
	}
}

// checkBooks: the ledger explains the statement to the cent.
func (w *world) checkBooks(p *process) {
	b, err := p.hub.Books(context.Background(), accountID)
	switch {
	case err != nil:
		w.find(Stuck, "books: %v", err)
	case b.Unexplained == nil:
		if len(w.till.entries) > 0 {
			w.find(Stuck, "the till's balance was never read")
		}
	case *b.Unexplained != 0:
		w.find(WrongFinal, "the books leave %d cents unexplained", *b.Unexplained)
	case b.Balance.AmountMinor != w.till.balance:
		w.find(WrongFinal, "the books say %d cents, the till has %d", b.Balance.AmountMinor, w.till.balance)
	case b.Missing.Count > 0:
		w.find(WrongFinal, "%d executed orders are on no statement", b.Missing.Count)
	}
	var sum int64
	err = p.db.Get(context.Background(), &sum, `SELECT COUNT(*) FROM ledger WHERE debit = credit OR amount_minor <= 0`)
	if err != nil || sum > 0 {
		w.find(WrongFinal, "the ledger has %d postings that balance nothing (%v)", sum, err)
	}
}

// row is an event of the journal.
type row struct {
	ID       string `db:"id"`
	ObjectID string `db:"object_id"`
	Sequence int64  `db:"sequence"`
	Type     string `db:"type"`
	Position *int64 `db:"position"`
}

func (w *world) checkEvents(p *process, payments []*psd2.Payment, transfers []*psd2.Transfer) {
	var rows []row
	if err := p.db.Select(context.Background(), &rows, `SELECT id, object_id, sequence, type, position FROM journal ORDER BY object_id, sequence`); err != nil {
		w.find(Stuck, "read the journal: %v", err)
		return
	}
	last, failed := map[string]int64{}, map[string]bool{}
	for _, r := range rows {
		switch r.Type { // a merchant who heard that may have sent another one
		case psd2.EventRefundFailed, psd2.EventPayoutFailed:
			failed[r.ObjectID] = true
		case psd2.EventRefundExecuted, psd2.EventPayoutExecuted:
			if failed[r.ObjectID] && w.jumps == 0 {
				w.find(WrongFinal, "%s: was called failed, and executed after that", r.ObjectID)
			}
		}
		if r.Sequence != last[r.ObjectID]+1 {
			w.find(LostEvent, "%s: event %d follows %d", r.ObjectID, r.Sequence, last[r.ObjectID])
		}
		last[r.ObjectID] = r.Sequence
		switch {
		case r.Position == nil:
			w.find(LostEvent, "%s %d has no position", r.ObjectID, r.Sequence)
		case !w.stream.acked[*r.Position]:
			w.find(LostEvent, "position %d was never acknowledged by the stream", *r.Position)
		}
		if slices.Contains(psd2.MerchantEvents, r.Type) {
			for _, e := range w.endpoints {
				if e.wants(r.Type) && r.ObjectID != e.id && e.seen[r.ID] == 0 { // of itself nobody is told
					w.find(LostEvent, "endpoint %s: never got %s %d, %s", e.host, r.ObjectID, r.Sequence, r.Type)
				}
			}
		}
	}
	gaps := w.gaps
	for _, p := range w.processes {
		if p != nil {
			gaps += p.gaps()
		}
	}
	if gaps > 0 { // nothing in this world destroys the fan-out's own place or rows
		w.find(LostEvent, "%d deliveries were never made by the fan-out, only by who looks for gaps", gaps)
	}
	for _, x := range payments {
		if last[x.ID] != x.Sequence {
			w.find(LostEvent, "%s has told %d events, the journal has %d", x.ID, x.Sequence, last[x.ID])
		}
	}
	for _, x := range transfers {
		if last[x.ID] != x.Sequence {
			w.find(LostEvent, "%s has told %d events, the journal has %d", x.ID, x.Sequence, last[x.ID])
		}
	}
	for _, e := range w.endpoints {
		for _, what := range e.wrong {
			w.find(LostEvent, "endpoint %s: %s", e.host, what)
		}
		w.checkOrder(e)
	}
}

// checkOrder: within an object events come in order, unless the earlier one
// has kept the later one waiting for five minutes.
func (w *world) checkOrder(e *endpoint) {
	if e.skipped {
		return
	}
	for object, list := range e.receipts {
		for i := 1; i < len(list); i++ {
			late := list[i-1] // a later event that came first
			if list[i].sequence > late.sequence {
				continue
			}
			if waited := late.at.Sub(late.happened); waited < 5*time.Minute-2*w.jumps {
				w.find(LostEvent, "endpoint %s: %s: %d came before %d after only %s", e.host, object, late.sequence, list[i].sequence, waited)
			}
		}
	}
}
