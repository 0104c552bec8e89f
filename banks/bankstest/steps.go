package bankstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// The checks of what comes between the order and the payer's yes: logins,
// answers given through us, apps, cancellations, news.

// prepared: a bank that wants a login first gets it first, and nobody else's
// return (B21) takes the place of the payer's.
func prepared(ctx context.Context, e *Env) error {
	p, ok := e.Bank.(banks.Preparer)
	if e.Bank.Info().First != psd2.PromptRedirect {
		return Skip("the bank wants no login before the order")
	}
	if !ok {
		return broken("Info.First wants a login, but the adapter is no banks.Preparer")
	}
	o := e.NewOrder(1000)
	in, err := p.Prepare(ctx, o)
	if err := e.judge("Prepare", err); err != nil {
		return err
	}
	if in.Prompt.Kind != psd2.PromptRedirect || in.Ready {
		return broken("Prepare does not lead the payer to his bank")
	}
	if err := e.prompted("Prepare", in.Prompt); err != nil {
		return err
	}
	early := o
	early.State = in.State
	if _, err := e.Bank.Initiate(ctx, early); wantKind(e.judge("Initiate", err), banks.BadRequest) != nil || e.Proxy.Creations() != 0 {
		return broken("an order was sent before the login, or refused otherwise than as invalid")
	}
	a := Act{Order: o, Now: in}
	landing, err := e.Approve(ctx, a)
	if err != nil {
		return fmt.Errorf("the payer could not log in: %w", err)
	}
	if err := e.foreign(ctx, &a, landing); err != nil {
		return err
	}
	if took, err := e.comeBack(ctx, &a, landing); err != nil || !took || !a.Now.Ready {
		return broken(fmt.Sprintf("the payer's own return does not end the login: %v", err))
	}
	o.State = a.Now.State
	if _, err := e.Initiate(ctx, o); err != nil {
		return err
	}
	_, err = e.held(ctx, o.EndToEndID, 1)
	return err
}

// foreign gives the adapter returns that are not the payer's: each must be
// refused as invalid, and nothing may be sent.
func (e *Env) foreign(ctx context.Context, a *Act, landing string) error {
	r, ok := e.Bank.(banks.Returner)
	if !ok {
		return broken("the payer brings something back, but the adapter is no banks.Returner")
	}
	u, err := url.Parse(landing)
	if err != nil || u.RawQuery == "" {
		return broken("the payer brings nothing back from his login")
	}
	sent := e.Proxy.Requests()
	for name, change := range map[string]func(url.Values){
		"state of another request": func(q url.Values) { q.Set("state", q.Get("state")+"x") },
		"no state":                 func(q url.Values) { q.Del("state") },
		"another issuer":           func(q url.Values) { q.Set("iss", "https://other.example") },
		"two codes":                func(q url.Values) { q.Add("code", "another") },
		"no code":                  func(q url.Values) { q.Del("code") },
		"empty code":               func(q url.Values) { q.Set("code", "") },
	} {
		q := u.Query()
		change(q)
		in, err := r.Return(ctx, e.ref(a), q)
		if kind := wantKind(e.judge("Return", err), banks.BadRequest); kind != nil || in.Ready {
			return broken(fmt.Sprintf("a return with %s: %v", name, kind))
		}
	}
	if e.Proxy.Requests() != sent {
		return broken("a foreign return was taken to the bank")
	}
	return nil
}

// broughtBack: what the payer brings back after authorising (an OAuth code, a
// confirmation code) is taken to the bank, a wrong one authorises nothing.
func broughtBack(ctx context.Context, e *Env) error {
	o := e.NewOrder(1200)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return err
	}
	if in.Prompt.Kind != psd2.PromptRedirect {
		return Skip("the bank sends the payer nowhere")
	}
	a := Act{Order: o, Now: in}
	landing, err := e.Approve(ctx, a)
	if err != nil {
		return fmt.Errorf("the payer could not approve: %w", err)
	}
	u, err := url.Parse(landing)
	if err != nil || u.RawQuery == "" {
		return Skip("the payer brings nothing back")
	}
	r, ok := e.Bank.(banks.Returner)
	if !ok {
		return broken("the payer brings something back, but the adapter is no banks.Returner")
	}
	for _, name := range []string{"state", "code", "iss", "confirmationCode"} {
		q := u.Query()
		if q.Get(name) == "" || name == "code" { // a wrong code is the bank's to refuse, and may end the grant
			continue
		}
		q.Set(name, q.Get(name)+"x")
		wrong, err := r.Return(ctx, e.ref(&a), q)
		if err := e.judge("Return", err); err == nil || wrong.Ready {
			return broken("a return with another " + name + " was believed")
		} else if rule := broken(""); errors.As(err, &rule) {
			return err
		}
	}
	if _, err := e.comeBack(ctx, &a, landing); err != nil {
		return err
	}
	if a.Now.Prompt.Kind != psd2.PromptNone {
		return broken("after the payer's return the bank still waits for him")
	}
	return e.bookedOnce(ctx, o, a.Now)
}

// bookedOnce follows an order to its end and requires one debit.
func (e *Env) bookedOnce(ctx context.Context, o banks.Order, in banks.Initiation) error {
	s, err := e.follow(ctx, o, in)
	if err != nil {
		return err
	}
	if st := psd2.StandingOf(s.Transaction); st != psd2.StandingExecuted && st != psd2.StandingSettled {
		return broken("an authorised order ended as " + s.Transaction + " " + s.Reason)
	}
	held, err := e.held(ctx, o.EndToEndID, 1)
	if err != nil {
		return err
	}
	if !held[0].Booked {
		return broken("the bank did not debit the payer")
	}
	return nil
}

// asked takes a new order to the first relayed prompt of a kind.
func (e *Env) asked(ctx context.Context, kinds ...psd2.PromptKind) (*Act, error) {
	o := e.NewOrder(1300)
	in, err := e.Initiate(ctx, o)
	if err != nil {
		return nil, err
	}
	a := &Act{Order: o, Now: in}
	for range maxPrompts {
		for _, k := range kinds {
			if a.Now.Prompt.Kind == k {
				return a, nil
			}
		}
		if !a.Now.Prompt.Kind.Relayed() {
			return nil, Skip("the bank asks its customer for no such thing through us")
		}
		if err := e.relay(ctx, a, nil); err != nil {
			return nil, err
		}
	}
	return nil, broken("the bank never stops asking")
}

// spoil makes what the payer says wrong.
func spoil(a *psd2.PromptAnswer) {
	if a.Password != "" {
		a.Password += "x"
	}
	other := []byte(a.Code)
	for i, c := range other {
		if c >= '0' && c <= '9' {
			other[i] = '0' + (c-'0'+5)%10
		} else {
			other[i] = 'x'
		}
	}
	a.Code = string(other)
}

func wrongAnswer(ctx context.Context, e *Env) error {
	a, err := e.asked(ctx, psd2.PromptPassword, psd2.PromptCode)
	if err != nil {
		return err
	}
	for range maxPrompts {
		kind := a.Now.Prompt.Kind
		if kind == psd2.PromptPassword || kind == psd2.PromptCode {
			if err := e.relay(ctx, a, spoil); err != nil {
				return fmt.Errorf("a wrong answer: %w", err)
			}
			if a.Now.Prompt.Kind != kind || !a.Now.Prompt.Again {
				return broken("after a wrong answer the bank does not ask the same again")
			}
			if err := e.notBooked(ctx, a.Order); err != nil {
				return err
			}
		}
		if !kind.Relayed() {
			break
		}
		if err := e.relay(ctx, a, nil); err != nil {
			return err
		}
		if a.Now.Prompt.Again {
			return broken("a right answer is taken for a wrong one")
		}
	}
	return e.bookedOnce(ctx, a.Order, a.Now)
}

// maxWrong is more wrong answers than a bank may forgive (RTS on SCA, Art.
// 4(3)(b): five).
const maxWrong = 8

func tooManyWrong(ctx context.Context, e *Env) error {
	a, err := e.asked(ctx, psd2.PromptPassword, psd2.PromptCode)
	if err != nil {
		return err
	}
	ended := false
	for n := 0; n < maxWrong && !ended; n++ {
		err := e.relay(ctx, a, spoil)
		var rule broken
		if errors.As(err, &rule) {
			return err
		}
		var b *banks.Error
		switch {
		case errors.As(err, &b):
			if b.Kind != banks.Refused {
				return broken(fmt.Sprintf("the last wrong answer is %q, want refused", b.Kind))
			}
			ended = true
		case err != nil:
			return err
		case !a.Now.Prompt.Kind.Relayed():
			ended = true
		}
	}
	if !ended {
		return broken(fmt.Sprintf("%d wrong answers do not end the authorisation", maxWrong))
	}
	if err := e.relay(ctx, a, nil); err == nil && a.Now.Prompt.Kind == psd2.PromptNone && psd2.StandingOf(a.Now.Status) == psd2.StandingExecuted {
		return broken("the authorisation goes on after it has failed")
	}
	return e.notBooked(ctx, a.Order)
}

// lostStep: the code that authorises is taken by the bank, its answer is lost.
func lostStep(ctx context.Context, e *Env) error {
	a, err := e.asked(ctx, psd2.PromptCode)
	if err != nil {
		return err
	}
	writes := func(r *http.Request) bool { return r.Method != http.MethodGet }
	e.Proxy.Clear()
	e.Proxy.Set(Fault{Only: writes, CutAfter: true})
	if err := wantKind(e.relay(ctx, a, nil), banks.Uncertain); err != nil {
		return err
	}
	if n := e.Proxy.Requests(); n != 1 {
		return broken(fmt.Sprintf("one answer of the payer became %d requests", n))
	}
	e.Proxy.Clear()
	return e.bookedOnce(ctx, a.Order, a.Now)
}

// riskDeclared: the hub takes a lost answer for harmless where Info says so. A
// bank that then asks its customer in its app, or needs not ask him, would be
// paid a second time.
func riskDeclared(ctx context.Context, e *Env) error {
	in, err := e.Initiate(ctx, e.NewOrder(1100))
	if err != nil {
		return err
	}
	info := e.Bank.Info()
	switch standing := psd2.StandingOf(in.Status); {
	case info.AtRiskOnceSent(), standing == psd2.StandingRefused, standing == psd2.StandingCanceled:
		return nil
	case in.Prompt.Kind == psd2.PromptApp:
		return broken("the order makes the bank's app ask, and Info.Approaches has no decoupled: a lost answer would be paid twice")
	case in.Prompt.Kind == psd2.PromptNone:
		return broken("the order needs no authentication, and Info.RiskAtOnce is not set: a lost answer would be paid twice")
	}
	return nil
}

// inApp: until the payer has confirmed in his bank's app, nothing moves.
func inApp(ctx context.Context, e *Env) error {
	a, err := e.asked(ctx, psd2.PromptApp)
	if err != nil {
		return err
	}
	if p := a.Now.Prompt; utf8.RuneCountInString(p.Message) > 500 || p.RedirectURL != "" {
		return broken("the request of an app has a redirect, or a message of more than 500 characters")
	}
	s, err := e.Status(ctx, e.ref(a))
	if err != nil {
		return err
	}
	if st := psd2.StandingOf(s.Transaction); st > psd2.StandingAuthorized {
		return broken("before the payer confirmed, the order is " + s.Transaction)
	}
	if err := e.notBooked(ctx, a.Order); err != nil {
		return err
	}
	if err := e.authorise(ctx, a, e.Approve); err != nil {
		return err
	}
	return e.bookedOnce(ctx, a.Order, a.Now)
}

// cancelAuthorised: where the payer has to authorise the cancellation, the
// order stands until he has, and is gone afterwards.
func cancelAuthorised(ctx context.Context, e *Env) error {
	c, ok := e.Bank.(banks.Canceller)
	if !ok {
		return Skip("the adapter cannot cancel")
	}
	for _, yes := range []bool{false, true} {
		if !yes && e.Decline == nil {
			continue
		}
		o := e.NewOrder(1400)
		in, err := e.Initiate(ctx, o)
		if err != nil {
			return err
		}
		answer, err := c.Cancel(ctx, e.Ref(o, in))
		if err := e.judge("Cancel", err); err != nil {
			return err
		}
		if answer.Prompt.Kind == psd2.PromptNone {
			return Skip("the payer has no part in a cancellation")
		}
		if answer.Done {
			return broken("a cancellation is done and still to be authorised")
		}
		if err := e.cancelBy(ctx, o, in, answer, yes); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) cancelBy(ctx context.Context, o banks.Order, in banks.Initiation, answer banks.Cancellation, yes bool) error {
	a := Act{Order: o, Now: banks.Initiation{State: in.State, Approach: in.Approach, Prompt: answer.Prompt}, Cancelling: true}
	if answer.State != nil {
		a.Now.State = answer.State
	}
	if err := e.prompted("Cancel", answer.Prompt); err != nil {
		return err
	}
	payer := e.Approve
	if !yes {
		payer = e.Decline
	}
	if _, err := payer(ctx, a); err != nil {
		return fmt.Errorf("the payer could not act: %w", err)
	}
	s, err := e.Status(ctx, e.ref(&a))
	if err != nil {
		return err
	}
	if gone := psd2.StandingOf(s.Transaction) == psd2.StandingCanceled; gone != yes {
		return broken(fmt.Sprintf("the payer's word on the cancellation was %t, the order is %s", yes, s.Transaction))
	}
	return e.notBooked(ctx, o)
}

// newsTimeout is how long a bank may take to tell that something happened.
const newsTimeout = 5 * time.Second

// notified: the bank learns where it may tell us that there is news.
func notified(ctx context.Context, e *Env) error {
	if !e.Notifies {
		return Skip("the bank tells no news")
	}
	told := make(chan struct{}, 1)
	here := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/news" {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}))
	defer here.Close()
	o := e.NewOrder(1500)
	o.NotifyURL = here.URL + "/news"
	if _, _, _, err := e.pay(ctx, o); err != nil {
		return err
	}
	late := time.NewTimer(newsTimeout)
	defer late.Stop()
	select {
	case <-told:
		return nil
	case <-late.C:
		return broken("the bank was not told where news are wanted")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func funds(ctx context.Context, e *Env) error {
	f, ok := e.Bank.(banks.FundsChecker)
	if !ok || e.Funds == nil {
		return Skip("nobody confirms funds here")
	}
	account, there, err := e.Funds(ctx)
	if err != nil {
		return fmt.Errorf("the target's account: %w", err)
	}
	e.secret(string(account))
	for minor, want := range map[int64]bool{there.AmountMinor: true, there.AmountMinor + 1: false} {
		o := e.NewOrder(minor)
		got, err := f.FundsAvailable(ctx, banks.Ref{RequestID: o.RequestID, TraceID: o.TraceID, PSU: o.PSU}, account, o.Amount)
		if err := e.judge("FundsAvailable", err); err != nil {
			var b *banks.Error
			if errors.As(err, &b) && b.Kind == banks.BadRequest && e.Proxy.Requests() == 0 {
				return Skip("the adapter's profile says that this bank confirms no funds")
			}
			return err
		}
		if got != want {
			return broken(fmt.Sprintf("of %s on the account, %s is available: %t", there.Decimal(), o.Amount.Decimal(), got))
		}
	}
	return nil
}

// found: an order whose answer was lost is found by our own reference, one that
// never arrived is not.
func found(ctx context.Context, e *Env) error {
	f, ok := e.Bank.(banks.Finder)
	if !ok {
		return Skip("the bank cannot be asked by our reference")
	}
	o, err := e.onlyOnce(ctx, Fault{CutAfter: true}, banks.Uncertain)
	if err != nil {
		return err
	}
	e.Proxy.Clear()
	state, s, err := f.Find(ctx, e.Ref(o, banks.Initiation{}))
	if err := e.judge("Find", err); err != nil {
		return err
	}
	if len(state) == 0 || s.Transaction == "" {
		return broken("what was found has no state or no status")
	}
	if _, err := e.Status(ctx, e.Ref(o, banks.Initiation{State: state})); err != nil {
		return err
	}
	if n := e.Proxy.Creations(); n != 0 {
		return broken("looking for an order sent it again")
	}
	_, _, err = f.Find(ctx, e.Ref(e.NewOrder(1000), banks.Initiation{}))
	return wantKind(e.judge("Find", err), banks.NotFound)
}
