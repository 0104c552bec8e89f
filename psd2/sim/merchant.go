package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// mood is how an endpoint takes deliveries for the time being.
type mood int

const (
	well mood = iota
	unreachable
	slow     // answers after 2 to 14 s
	hanging  // takes it, and never answers
	failing  // 500
	busy     // 503 with Retry-After
	refusing // webhook-delivery: abort-message
	gone     // 410, once
	moods
)

// endpoint is a merchant's receiver, and what it has seen.
type endpoint struct {
	id, host string
	families []string // of events that it wants; none: all
	verifier *verify.Verifier
	mood     mood
	chance   chance

	seen     map[string]int       // events by id, how often
	byPlace  map[string]string    // id by object and sequence: one each
	receipts map[string][]receipt // by object, first receipts only
	skipped  bool                 // it was disabled once, or gave an event up: no order is owed any more
	wrong    []string             // deliveries that are not what they must be
}

type receipt struct {
	sequence int64
	at       time.Time // of the world
	happened time.Time // as the event says, by the clock of the process that wrote it
	id       string
}

// deliver is the way of one webhook.
func (w *world) deliver(p *process, request *http.Request) (*http.Response, error) {
	w.port(p, "delivering")
	e := w.byHost[request.URL.Host]
	w.say("%s: posts %s to %s", p.name, request.Header.Get("Webhook-Id"), e.host)
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	began, c := w.now, e.chance
	w.await(c.between(time.Millisecond, 200*time.Millisecond))
	if w.now.Sub(began) >= hookTimeout { // it slept before it had sent anything
		return nil, context.DeadlineExceeded
	}
	m := e.mood
	if !w.chaos {
		m = well
	}
	switch m {
	case unreachable:
		return nil, errors.New("connection refused")
	case slow:
		w.await(c.between(2*time.Second, 14*time.Second))
	case hanging:
		if c.in(2) {
			_ = e.receive(w, request.Header, body) // whether or not, it does not answer
		}
		w.await(hookTimeout)
		return nil, context.DeadlineExceeded
	case failing:
		return e.answer(w, http.StatusInternalServerError, nil), nil
	case busy:
		return e.answer(w, http.StatusServiceUnavailable, http.Header{"Retry-After": {strconv.Itoa(1 + c.IntN(90))}}), nil
	case refusing:
		e.skipped = true
		return e.answer(w, http.StatusBadRequest, http.Header{"Webhook-Delivery": {"abort-message"}}), nil
	case gone:
		e.skipped, e.mood = true, well
		return e.answer(w, http.StatusGone, nil), nil
	}
	if !e.receive(w, request.Header, body) {
		return e.answer(w, http.StatusBadRequest, nil), nil
	}
	w.await(c.between(time.Millisecond, 100*time.Millisecond))
	if w.chaos && c.in(40) {
		return nil, errors.New("connection reset") // it was taken all the same
	}
	return e.answer(w, http.StatusNoContent, nil), nil
}

func (e *endpoint) answer(w *world, status int, header http.Header) *http.Response {
	if status >= 300 {
		w.say("endpoint %s: %d", e.host, status)
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(nil))}
}

// receive checks a delivery as a receiver should, and takes note of it. It
// reports false when it refuses it.
func (e *endpoint) receive(w *world, header http.Header, body []byte) (taken bool) {
	event, err := e.verifier.Verify(header, body, w.now)
	var refused *verify.Error
	if errors.As(err, &refused) && refused.Reason == verify.ReasonClock {
		return false // signed by a wrong clock, or long ago: it comes again
	}
	if err != nil {
		e.wrong = append(e.wrong, "a delivery that does not verify: "+err.Error())
		return true
	}
	object := objectOf(event.Data)
	place := fmt.Sprintf("%s/%d", object, event.Sequence)
	if known := e.byPlace[place]; known != "" && known != event.ID {
		e.wrong = append(e.wrong, fmt.Sprintf("%s came as %s and as %s", place, known, event.ID))
	}
	e.byPlace[place] = event.ID
	e.seen[event.ID]++
	w.say("endpoint %s: gets %s %s %s", e.host, event.Type, place, event.ID)
	if e.seen[event.ID] > 1 {
		return true
	}
	w.activity++
	e.receipts[object] = append(e.receipts[object], receipt{event.Sequence, w.now, event.CreatedAt, event.ID})
	if e.host == w.endpoints[0].host {
		w.react(event.Type, object)
	}
	return true
}

// objectOf finds whom an event is about: the one object with an id.
func objectOf(data json.RawMessage) string {
	var objects map[string]struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &objects) != nil {
		return ""
	}
	for _, o := range objects {
		return o.ID
	}
	return ""
}

// react is what the merchant does when he hears of something.
func (w *world) react(eventType, object string) {
	if eventType != psd2.EventCreditable || !w.chaos {
		return
	}
	switch w.chance.IntN(4) {
	case 0, 1:
		w.after(w.chance.between(time.Second, 2*time.Minute), func() { w.refund(object) })
	case 2:
		w.after(w.chance.between(time.Second, 2*time.Minute), func() { w.payout(object) })
	}
}

// wish is one request of the merchant's that must be done once: he repeats it
// under one key until he hears what became of it.
func (w *world) wish(name string, do func(tx *store.Tx, p *process) (string, error), heard func(id string)) {
	w.wishes++
	key := fmt.Sprintf("key-%d", w.wishes)
	var try func()
	again := func() {
		w.after(w.chance.between(2*time.Second, 40*time.Second), try)
	}
	try = func() {
		p := w.somebody()
		if p == nil {
			again()
			return
		}
		var answer string
		var failed error
		w.spawn(p, "merchant "+name, func() {
			failed = p.db.Tx(context.Background(), func(tx *store.Tx) error {
				old, err := tx.ReserveKey(merchantID, key, name)
				if err != nil {
					return err
				}
				if old != nil {
					answer = string(old.Body)
					return nil
				}
				if answer, err = do(tx, p); err != nil {
					return err
				}
				return tx.FinishKey(merchantID, key, name, http.StatusCreated, []byte(answer))
			})
		}, func(whole bool) {
			switch {
			case whole && failed == nil && !(w.chaos && w.chance.in(12)): // else the answer was lost on its way
				w.say("merchant: %s is %s", name, answer)
				heard(answer)
			case whole && psd2.CodeOf(failed) != psd2.CodeInternal:
				w.say("merchant: %s: %v", name, failed) // told no
			default:
				again()
			}
		})
	}
	try()
}

func (w *world) deposit() {
	w.deposits++
	n := w.deposits
	policy := oneOf(w.chance, psd2.PayerRequired, psd2.PayerOptional, psd2.PayerOff)
	m := *merchant
	m.PayerPolicy = policy
	r := hub.StartRequest{
		Amount: psd2.Euro(int64(100 + w.chance.IntN(20_000))), PayeeAccountID: accountID, Reference: fmt.Sprintf("Deposit %d", n),
		Player: psd2.Player{Reference: fmt.Sprintf("player-%d", n), Name: "Anna Beispiel"}, ReturnURI: merchant.ReturnURIs[0],
	}
	w.wish(fmt.Sprintf("deposit %d", n), func(tx *store.Tx, p *process) (string, error) {
		made, _, err := p.hub.StartIn(tx, &m, r)
		if err != nil {
			return "", err
		}
		return made.ID, nil
	}, func(id string) {
		if w.chance.in(12) {
			w.after(w.chance.between(time.Second, 10*time.Minute), func() { w.merchantCancels(id) })
		}
		w.arrive(id)
	})
}

func (w *world) refund(paymentID string) {
	part := int64(1 + w.chance.IntN(100))
	w.wish("refund of "+paymentID, func(tx *store.Tx, p *process) (string, error) {
		t, err := p.hub.RefundIn(tx, merchant, paymentID, hub.RefundRequest{Amount: psd2.Euro(part), Reference: "Refund"})
		if err != nil {
			return "", err
		}
		return t.ID, nil
	}, func(string) {})
}

func (w *world) payout(paymentID string) {
	w.ask("source", func(p *process) error {
		paid, err := p.hub.Payment(context.Background(), paymentID)
		if err != nil || paid.SourceID == "" {
			return err
		}
		source, player := paid.SourceID, paid.Personal.Player
		w.wish("payout to "+source, func(tx *store.Tx, p *process) (string, error) {
			t, err := p.hub.PayoutIn(tx, merchant, hub.PayoutRequest{
				Amount: psd2.Euro(777), AccountID: accountID, Reference: "Winnings", Player: player, SourceID: source,
			})
			if err != nil {
				return "", err
			}
			return t.ID, nil
		}, func(string) {})
		return nil
	})
}

func (w *world) merchantCancels(id string) {
	w.ask("merchant cancels", func(p *process) error {
		_, err := p.hub.CancelByMerchant(context.Background(), merchantID, id)
		return err
	})
}

// ask is a request without a sequel: whoever it reaches does it, or dies of it.
func (w *world) ask(name string, do func(p *process) error) {
	p := w.somebody()
	if p == nil {
		return
	}
	w.spawn(p, name, func() {
		if err := do(p); err != nil {
			w.say("%s: %v", name, err)
		}
	}, nil)
}

// reconcile is what merchants do after trouble: they open endpoints again that
// were disabled, and have delivered again what was given up meanwhile. Who has
// missed nothing by his own fault asks for nothing: what never got there is the
// hub's to find.
func (w *world) reconcile(e *endpoint) {
	p, done := w.somebody(), false
	if p == nil {
		w.after(time.Minute, func() { w.reconcile(e) })
		return
	}
	w.spawn(p, "merchant reconciles", func() {
		ctx := context.Background()
		now, err := p.hooks.Endpoint(ctx, merchantID, e.id)
		if err == nil && now.State != webhooks.EndpointActive {
			e.skipped, now.State = true, webhooks.EndpointActive
			_, err = p.hooks.Put(ctx, *now)
		}
		if err == nil && e.skipped {
			err = p.db.Tx(ctx, func(tx *store.Tx) error {
				_, err := p.hooks.ReplayIn(tx, merchantID, e.id, webhooks.Range{Which: webhooks.ReplayMissing})
				return err
			})
		}
		if done = err == nil; !done {
			w.say("endpoint %s: %v", e.host, err)
		}
	}, func(bool) {
		if !done {
			w.after(time.Minute, func() { w.reconcile(e) })
		}
	})
}
