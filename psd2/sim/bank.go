package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// manner is what kind of bank one is.
type manner struct {
	id       string
	approach banks.Approach
	life     time.Duration // how long an order waits for its payer
	says     time.Duration // how long its profile says that
	atOnce   bool          // it may need no authentication at all
	finds    bool          // it can be asked by our reference
	final    string        // the last status it reports: ACSC or ACCC
	exempts  bool          // now and then
}

// manners are the banks of every world.
var manners = []manner{
	{id: "plain", approach: banks.Redirect, life: 2 * time.Hour, final: "ACCC"},
	{id: "lapsing", approach: banks.Redirect, life: 20 * time.Minute, says: 20 * time.Minute, final: "ACSC"},
	{id: "slack", approach: banks.Redirect, life: 2 * time.Hour, says: 20 * time.Minute, final: "ACCC"}, // its profile is wrong
	{id: "risky", approach: banks.Redirect, life: 2 * time.Hour, atOnce: true, finds: true, final: "ACCC", exempts: true},
	{id: "app", approach: banks.Decoupled, life: 10 * time.Minute, says: 10 * time.Minute, finds: true, final: "ACCC"}, // asks as soon as it has an order
	{id: "code", approach: banks.Embedded, life: 15 * time.Minute, final: "ACCC"},
}

// bank is one bank's own books: the truth about its orders. NextGenPSD2 knows
// no idempotency, so an order that comes twice is two orders.
type bank struct {
	manner
	world  *world
	chance chance
	orders map[string]*order   // by its own id
	byRef  map[string][]*order // by EndToEndId
	down   time.Time           // it answers nobody until then
	faulty bool
}

// order is one credit transfer at its bank.
type order struct {
	id, ref  string
	attempt  string
	taken    time.Time
	bank     *bank
	amount   psd2.Money
	payer    psd2.Party
	status   string
	sca      string
	reason   string
	was      []string // earlier statuses, for answers that go backwards
	prompt   psd2.PromptKind
	executed int // how often money has left; the truth
}

func (o *order) final() bool {
	return o.status == "ACSC" || o.status == "ACCC" || o.status == "RJCT" || o.status == "CANC"
}

func (o *order) turn(status string) {
	o.was = append(o.was, o.status)
	o.status = status
	o.bank.world.activity++
	o.bank.world.say("bank %s: %s is %s", o.bank.id, o.id, status)
}

// take receives an initiation.
func (b *bank) take(in banks.Order) *order {
	n := len(b.byRef[in.EndToEndID])
	o := &order{
		id: fmt.Sprintf("%s-%d", in.EndToEndID, n+1), ref: in.EndToEndID, attempt: in.AttemptID, taken: b.world.now, bank: b, amount: in.Amount,
		status: "RCVD", sca: "received", payer: psd2.Party{Name: "BEISPIEL, ANNA", IBAN: "DE02120300000000202051"},
	}
	b.orders[o.id], b.byRef[o.ref] = o, append(b.byRef[o.ref], o)
	b.world.say("bank %s: takes %s for %s", b.id, o.id, in.AttemptID)
	b.world.activity++
	b.world.after(b.life, func() {
		if o.status == "RCVD" {
			o.reason = "DS02"
			o.turn("RJCT")
		}
	})
	switch {
	case b.exempts && b.chance.in(3):
		o.sca = psd2.SCAExempted
		b.proceed(o)
	case b.approach == banks.Decoupled:
		b.world.after(b.chance.between(2*time.Second, 3*time.Minute), func() { b.answered(o, b.chance.IntN(10)) })
	case b.approach == banks.Embedded:
		o.prompt = psd2.PromptCode
	}
	return o
}

// answered is what the payer does at his bank, by a die of ten.
func (b *bank) answered(o *order, die int) {
	switch {
	case o.status != "RCVD":
	case die < 7:
		o.sca = psd2.SCAFinalised
		b.proceed(o)
	case die < 9:
		o.sca, o.reason = psd2.SCAFailed, ""
		o.turn("RJCT")
	} // else he puts the phone away
}

// proceed carries an authorised order out.
func (b *bank) proceed(o *order) {
	o.prompt = psd2.PromptNone
	o.turn(oneOf(b.chance, "ACTC", "ACSP", "ACCP"))
	wait := b.chance.between(50*time.Millisecond, 4*time.Second)
	if b.faulty && b.chance.in(5) {
		wait = b.chance.between(10*time.Second, 40*time.Minute) // late, and believed all the same
	}
	b.world.after(wait, func() {
		if o.final() {
			return
		}
		if b.chance.in(10) {
			o.reason = oneOf(b.chance, "AM04", "AC06", "AG01")
			o.turn("RJCT")
			return
		}
		o.executed++
		o.turn("ACSC")
		b.world.after(b.chance.between(time.Second, 30*time.Second), func() { b.world.till.credit(o) })
		if b.final == "ACCC" {
			b.world.after(b.chance.between(time.Second, time.Minute), func() { o.turn("ACCC") })
		}
	})
}

// link is one process's adapter to a bank. Faults of the way lie here.
type link struct {
	*bank
	of *process
}

// roles of links that banks have beyond banks.Bank.
type (
	findingLink   struct{ link }
	promptingLink struct{ link }
)

func (b *bank) adapter(p *process) banks.Bank {
	l := link{b, p}
	switch {
	case b.finds:
		return findingLink{l}
	case b.approach == banks.Embedded:
		return promptingLink{l}
	}
	return l
}

// Info implements banks.Bank.
func (l link) Info() banks.Info {
	says := l.approach
	if says == banks.Decoupled && l.world.plant.concealed {
		says = banks.Redirect
	}
	return banks.Info{ID: l.id, Approaches: []banks.Approach{says}, RiskAtOnce: l.atOnce, RedirectLife: l.says}
}

// travel is the way of one request to the bank and of its answer back, within
// the time that the hub allows for both.
func (l link) travel(what string, arrive func()) error {
	w := l.world
	w.port(l.of, what)
	began := w.now
	if w.chaos && l.chance.in(150) {
		l.of.suspend(l.chance.between(10*time.Second, 4*time.Minute))
	}
	w.await(l.chance.between(5*time.Millisecond, 300*time.Millisecond))
	uncertain := &banks.Error{Kind: banks.Uncertain, Err: errors.New("no answer")}
	if w.now.Sub(began) >= bankTimeout && !w.plant.unfenced { // it slept: the request has run out of time before it was written
		return &banks.Error{Kind: banks.Unavailable, Err: context.DeadlineExceeded}
	}
	if w.chaos && w.now.Before(l.down) {
		return &banks.Error{Kind: banks.Unavailable, Err: errors.New("refused")}
	}
	if l.faulty && w.chaos {
		fault := l.chance.IntN(24)
		if w.plant.concealed && l.approach == banks.Decoupled && what == "initiating" {
			fault = 3 // its answer is lost every time
		}
		switch fault {
		case 0:
			return &banks.Error{Kind: banks.Unavailable, HTTPStatus: 503, RetryAfter: l.chance.between(time.Second, time.Minute)}
		case 1: // lost on the way there
			w.await(l.chance.between(time.Second, bankTimeout))
			return uncertain
		case 2: // it arrives after we have hung up
			w.after(l.chance.between(bankTimeout, bankTimeout+10*time.Second), arrive)
			w.await(bankTimeout)
			return uncertain
		case 3: // lost on the way back
			arrive()
			w.await(l.chance.between(time.Second, bankTimeout))
			return uncertain
		case 4: // slow: it is on its way, whatever becomes of us meanwhile
			way := l.chance.between(time.Second, bankTimeout-time.Second)
			w.after(way, arrive)
			w.await(way)
			arrive = func() {}
		}
	}
	arrive()
	w.await(l.chance.between(5*time.Millisecond, 300*time.Millisecond))
	return nil
}

// Initiate implements banks.Bank.
func (l link) Initiate(_ context.Context, in banks.Order) (banks.Initiation, error) {
	var o *order
	refused := l.faulty && l.world.chaos && l.chance.in(15)
	send := func() error {
		return l.travel("initiating", func() {
			if refused {
				return
			}
			o = l.take(in)
		})
	}
	err := send()
	if l.world.plant.resend && asError(err).Kind == banks.Uncertain {
		err = send()
	}
	switch {
	case err != nil:
		return banks.Initiation{}, err
	case refused:
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, Code: "AG01", HTTPStatus: 400}
	}
	out := banks.Initiation{State: []byte(o.id), Approach: l.approach, Status: o.status, SCA: o.sca}
	switch {
	case o.status != "RCVD":
	case l.approach == banks.Redirect:
		out.Prompt = psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://" + l.id + ".example/" + o.id}
	case l.approach == banks.Decoupled:
		out.Prompt = psd2.Prompt{Kind: psd2.PromptApp}
	default:
		out.Prompt = psd2.Prompt{Kind: o.prompt, Method: "SMS"}
	}
	return out, nil
}

func asError(err error) *banks.Error {
	var e *banks.Error
	if !errors.As(err, &e) {
		return &banks.Error{}
	}
	return e
}

// Status implements banks.Bank.
func (l link) Status(_ context.Context, r banks.Ref) (s banks.Status, err error) {
	o := l.orders[string(r.State)]
	if o == nil {
		return s, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	if err := l.travel("asking", func() { s = l.told(o) }); err != nil {
		return banks.Status{}, err
	}
	return s, nil
}

// told is what the bank says of an order, not always the truth.
func (l link) told(o *order) banks.Status {
	s := banks.Status{Transaction: o.status, SCA: o.sca, Reason: o.reason}
	if o.executed > 0 {
		s.Payer = o.payer
	}
	if l.faulty && l.world.chaos {
		switch l.chance.IntN(16) {
		case 0:
			s.Transaction = oneOf(l.chance, "PART", "XQZ1", "")
		case 1: // backwards
			if n := len(o.was); n > 0 {
				s.Transaction, s.SCA = o.was[l.chance.IntN(n)], psd2.SCAUnread
			}
		case 2:
			s.SCA = psd2.SCAUnread
		}
	}
	if m := l.world.plant.statuses; m != nil && m[s.Transaction] != "" {
		s.Transaction = m[s.Transaction]
	}
	return s
}

// Cancel implements banks.Canceller.
func (l link) Cancel(_ context.Context, r banks.Ref) (out banks.Cancellation, err error) {
	o := l.orders[string(r.State)]
	if o == nil {
		return out, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	err = l.travel("cancelling", func() {
		if o.status == "RCVD" {
			o.turn("CANC")
			out.Done = true
		}
	})
	if err == nil && !out.Done {
		err = &banks.Error{Kind: banks.Refused, HTTPStatus: 409}
	}
	if err != nil {
		return banks.Cancellation{}, err
	}
	return out, nil
}

// Find implements banks.Finder.
func (l findingLink) Find(_ context.Context, r banks.Ref) (state []byte, s banks.Status, err error) {
	var o *order
	err = l.travel("finding", func() {
		lies := l.faulty && l.world.chaos && l.chance.in(4) // whoever answers has not heard of it yet
		if list := l.byRef[r.EndToEndID]; len(list) > 0 && !lies {
			o = list[0]
			s = l.told(o)
		}
	})
	switch {
	case err != nil:
		return nil, banks.Status{}, err
	case o == nil:
		return nil, s, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	return []byte(o.id), s, nil
}

// Answer implements banks.Prompter.
func (l promptingLink) Answer(_ context.Context, r banks.Ref, a psd2.PromptAnswer) (banks.Initiation, error) {
	o := l.orders[string(r.State)]
	if o == nil {
		return banks.Initiation{}, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	var out banks.Initiation
	err := l.travel("answering", func() {
		switch {
		case o.status != "RCVD":
		case a.Code != "right":
			out.Prompt = psd2.Prompt{Kind: psd2.PromptCode, Method: "SMS", Again: true}
		default:
			o.sca = psd2.SCAFinalised
			l.proceed(o)
		}
		out.State, out.Status, out.SCA = []byte(o.id), o.status, o.sca
	})
	if err != nil {
		return banks.Initiation{}, err
	}
	return out, nil
}
