package bankstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Checks lists the behaviour, in the order in which a newcomer should make it
// work.
func Checks() []Check {
	return []Check{
		{"info-constant", "Info is constant and names at least one approach", infoConstant},
		{"one-request", "one initiation is exactly one request that could create a payment", oneRequest},
		{"pays-once", "an approved order is debited once, with the amount and the payee it was given", paysOnce},
		{"amounts-exact", "amounts from 0.01 to 999,999,999.99 reach the bank exactly", amountsExact},
		{"state-travels", "any instance of the adapter can ask about an order", stateTravels},
		{"final-stays", "a final status stays", finalStays},
		{"declined", "an order the payer declines ends without a debit", declined},
		{"cancelled", "a cancelled order is never debited", cancelled},
		{"duplicates", "a declared dedup window holds; without one the same order twice is two orders", duplicates},
		{"parallel", "orders sent at once are not mixed up", parallel},
		{"refused-connection", "a refused connection is unavailable", refusedConnection},
		{"lost-request", "a connection that ends before the bank got the order is uncertain, and nothing is repeated", lostRequest},
		{"lost-answer", "a lost answer is uncertain, and nothing is repeated", lostAnswer},
		{"stale-connection", "a used connection that dies under an order is uncertain, and nothing is repeated", staleConnection},
		{"server-errors", "a 5xx is never repeated and never a refusal", serverErrors},
		{"busy", "429 and 503 carry Retry-After", busy},
		{"redirected", "an HTTP redirect is not followed", redirected},
		{"garbage", "garbage, HTML and half answers are typed errors", garbage},
		{"huge", "an endless answer is not read to its end", huge},
		{"slow", "a slow drip ends with the caller's patience", slow},
		{"cancel-context", "a call ends when its context does", cancelContext},
		{"redirect-elsewhere", "the payer is sent only to the bank's own pages", redirectElsewhere},
		{"bad-state", "a damaged state is an error, not a panic", badState},
		{"lost-status", "a status request that fails can be made again", lostStatus},
		{"wrong-order", "an order that no bank could take is invalid and never sent", wrongOrder},
		{"prepared", "a login before the order comes first, and only the payer's own return ends it", prepared},
		{"brought-back", "what the payer brings back is taken to the bank, and only if it is his", broughtBack},
		{"wrong-answer", "a wrong password or code is no error and may be given again", wrongAnswer},
		{"too-many-wrong", "too many wrong answers end the authorisation without a debit", tooManyWrong},
		{"lost-step", "a lost answer to the payer's code is uncertain, and nothing is repeated", lostStep},
		{"risk-declared", "what moves money without a further act of ours is declared before it is sent", riskDeclared},
		{"in-app", "nothing moves before the payer has confirmed in his bank's app", inApp},
		{"cancel-authorised", "a cancellation that the payer must authorise counts when he has", cancelAuthorised},
		{"notified", "the bank is told where news are wanted", notified},
		{"funds", "funds are confirmed to the cent", funds},
		{"found", "an order is found by our own reference, one that never arrived is not", found},
		{"quiet", "no account, name, token or key is in an error or a log", quiet},
	}
}

func infoConstant(_ context.Context, e *Env) error {
	a, b := e.Bank.Info(), e.Bank.Info()
	switch {
	case !reflect.DeepEqual(a, b):
		return broken("two calls of Info differ")
	case a.ID == "":
		return broken("Info.ID is empty")
	case len(a.Approaches) == 0:
		return broken("Info names no approach")
	case (slices.Contains(a.Approaches, banks.Redirect) || a.First == psd2.PromptRedirect) && len(a.RedirectOrigins) == 0:
		return broken("a redirect bank must say where payers may be sent")
	}
	if len(a.RedirectOrigins) > 0 { // what a caller does to its copy must not reach the adapter
		a.RedirectOrigins[0] = "https://changed.example"
		if !reflect.DeepEqual(e.Bank.Info(), b) {
			return broken("Info hands out the adapter's own memory")
		}
	}
	return nil
}

func oneRequest(ctx context.Context, e *Env) error {
	o := e.NewOrder(1000)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	if n := e.Proxy.Creations(); n != 1 {
		return broken(fmt.Sprintf("%d requests could have created a payment", n))
	}
	if in.Prompt.Kind == psd2.PromptNone && psd2.StandingOf(in.Status) <= psd2.StandingPending {
		return broken("the bank waits for the payer, but he is not told what for")
	}
	_, err = e.held(ctx, o.EndToEndID, 1)
	return err
}

// paid takes a new order to its end.
func (e *Env) paid(ctx context.Context, minor int64) (banks.Order, banks.Initiation, banks.Status, error) {
	return e.pay(ctx, e.NewOrder(minor))
}

func (e *Env) pay(ctx context.Context, o banks.Order) (banks.Order, banks.Initiation, banks.Status, error) {
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return o, in, banks.Status{}, err
	}
	a := Act{Order: o, Now: in}
	if err := e.authorise(ctx, &a, e.Approve); err != nil {
		return o, a.Now, banks.Status{}, err
	}
	in = a.Now
	s, err := e.follow(ctx, o, in)
	if err == nil && psd2.StandingOf(s.Transaction) > psd2.StandingSettled {
		err = broken("an approved order ended as " + s.Transaction + " " + s.Reason)
	}
	return o, in, s, err
}

func paysOnce(ctx context.Context, e *Env) error {
	o, _, _, err := e.paid(ctx, 1234)
	if err != nil {
		return err
	}
	orders, err := e.held(ctx, o.EndToEndID, 1)
	if err != nil {
		return err
	}
	if h := orders[0]; !h.Booked || h.Amount != o.Amount || h.Creditor != o.Creditor.IBAN {
		return broken("the bank's booking is not the order")
	}
	if n := e.Proxy.Creations(); n != 1 {
		return broken(fmt.Sprintf("%d requests could have created a payment", n))
	}
	return nil
}

func amountsExact(ctx context.Context, e *Env) error {
	for _, minor := range []int64{1, 9, 10, 99, 100, 101, 1990, 2999, 123456789, 900719925474, 99999999998, 99999999999} {
		o := e.NewOrder(minor)
		if minor > psd2.MaxSCTInstMinor { // beyond the scheme: not sent, and certainly not rounded
			_, err := e.Initiate(ctx, o)
			if err := wantKind(err, banks.BadRequest); err != nil {
				return err
			}
			continue
		}
		if _, err := e.Initiate(ctx, o); err != nil {
			return err
		}
		orders, err := e.held(ctx, o.EndToEndID, 1)
		if err != nil {
			return err
		}
		if orders[0].Amount != o.Amount {
			return broken(fmt.Sprintf("%s arrived as %s", o.Amount.Decimal(), orders[0].Amount.Decimal()))
		}
	}
	return nil
}

func stateTravels(ctx context.Context, e *Env) error {
	o := e.NewOrder(700)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	if e.Bank, err = e.New(e.base, e.log); err != nil {
		return err
	}
	in.State = bytes.Clone(in.State)
	_, err = e.Status(ctx, e.Ref(o, in))
	return err
}

func finalStays(ctx context.Context, e *Env) error {
	o, in, first, err := e.paid(ctx, 500)
	if err != nil {
		return err
	}
	for range 5 {
		s, err := e.Status(ctx, e.Ref(o, in))
		if err != nil {
			return err
		}
		if psd2.StandingOf(s.Transaction) < psd2.StandingOf(first.Transaction) || psd2.StandingOf(s.Transaction) > psd2.StandingSettled {
			return broken("after " + first.Transaction + " came " + s.Transaction)
		}
	}
	return nil
}

func declined(ctx context.Context, e *Env) error {
	if e.Decline == nil {
		return Skip("the target has no payer who declines")
	}
	o := e.NewOrder(600)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	a := Act{Order: o, Now: in}
	if a.Now.Prompt.Kind == psd2.PromptIdentify {
		if err := e.relay(ctx, &a, nil); err != nil {
			return err
		}
	}
	if a.Now.Prompt.Kind.Relayed() {
		return Skip("here a payer declines by not answering")
	}
	var said *banks.Error // what the payer brings back may be a no
	if err := e.authorise(ctx, &a, e.Decline); err != nil && !errors.As(err, &said) {
		return err
	}
	s, err := e.follow(ctx, o, a.Now)
	if err != nil {
		return err
	}
	if st := psd2.StandingOf(s.Transaction); st != psd2.StandingRefused && st != psd2.StandingCanceled {
		return broken("a declined order ended as " + s.Transaction)
	}
	return e.notBooked(ctx, o)
}

func (e *Env) notBooked(ctx context.Context, o banks.Order) error {
	orders, err := e.Ledger(ctx, o.EndToEndID)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for _, h := range orders {
		if h.Booked {
			return broken("the payer was debited")
		}
	}
	return nil
}

func cancelled(ctx context.Context, e *Env) error {
	c, ok := e.Bank.(banks.Canceller)
	if !ok {
		return Skip("the adapter cannot cancel")
	}
	o := e.NewOrder(800)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	answer, err := c.Cancel(ctx, e.Ref(o, in))
	if err := e.judge("Cancel", err); err != nil {
		return err
	}
	if !answer.Done {
		return e.notBooked(ctx, o)
	}
	s, err := e.Status(ctx, e.Ref(o, in))
	if err == nil {
		if st := psd2.StandingOf(s.Transaction); st != psd2.StandingCanceled && st != psd2.StandingRefused {
			return broken("a cancelled order is " + s.Transaction)
		}
	} else if wantKind(err, banks.NotFound) != nil {
		return err
	}
	return e.notBooked(ctx, o)
}

// duplicates: the hub never sends an order twice. Here it is done on purpose,
// to see that the adapter's word about its bank is true.
func duplicates(ctx context.Context, e *Env) error {
	o := e.NewOrder(900)
	if _, err := e.Initiate(ctx, o); err != nil {
		return err
	}
	_, err := e.Initiate(ctx, o)
	if e.Bank.Info().Dedup == 0 {
		if err != nil {
			return err
		}
		if n := e.Proxy.Creations(); n != 2 {
			return broken(fmt.Sprintf("two calls were %d requests", n))
		}
		_, err = e.held(ctx, o.EndToEndID, 2)
		return err
	}
	if _, err := e.held(ctx, o.EndToEndID, 1); err != nil {
		return err
	}
	o.Amount = psd2.Euro(901)
	_, err = e.Initiate(ctx, o)
	return wantKind(err, banks.BadRequest)
}

func parallel(ctx context.Context, e *Env) error {
	const n = 24
	orders, ends, errs := make([]banks.Order, n), make([]banks.Initiation, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		orders[i] = e.NewOrder(int64(100 + i))
		wg.Go(func() { ends[i], errs[i] = e.Initiate(ctx, orders[i]) })
	}
	wg.Wait()
	redirects := map[string]bool{}
	for i := range n {
		if errs[i] != nil {
			return errs[i]
		}
		redirects[ends[i].Prompt.RedirectURL+string(ends[i].State)] = true
		held, err := e.held(ctx, orders[i].EndToEndID, 1)
		if err != nil {
			return err
		}
		if held[0].Amount != orders[i].Amount {
			return broken("two orders were mixed up")
		}
	}
	if len(redirects) != n || e.Proxy.Creations() != n {
		return broken(fmt.Sprintf("%d orders were %d requests with %d different answers", n, e.Proxy.Creations(), len(redirects)))
	}
	return nil
}
