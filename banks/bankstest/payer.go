package bankstest

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// maxPrompts ends an authorisation that never comes to an end; the longest real
// one has identification, password, method and code.
const maxPrompts = 8

// play is a payer's part of an authorisation.
type play func(context.Context, Act) (string, error)

// authorise takes the payer through whatever the bank wants of him, until his
// part is done. a.Now is the latest state afterwards.
func (e *Env) authorise(ctx context.Context, a *Act, payer play) error {
	for range maxPrompts {
		before := a.Now.Prompt.Kind
		switch {
		case before == psd2.PromptNone:
			return nil
		case before.Relayed():
			if err := e.relay(ctx, a, nil); err != nil {
				return err
			}
			if a.Now.Prompt.Again {
				return broken("a right answer is taken for a wrong one")
			}
			continue
		}
		landing, err := payer(ctx, *a)
		if err != nil {
			return fmt.Errorf("the payer could not act: %w", err)
		}
		took, err := e.comeBack(ctx, a, landing)
		if err != nil || !took || a.Now.Ready {
			return err
		}
	}
	return broken("the bank never stops asking")
}

// relay gives one answer of the payer to the adapter; spoil makes it wrong. What
// he says may not be in anything the adapter says.
func (e *Env) relay(ctx context.Context, a *Act, spoil func(*psd2.PromptAnswer)) error {
	p, ok := e.Bank.(banks.Prompter)
	if !ok {
		return broken(fmt.Sprintf("the prompt %q is to be relayed, but the adapter is no banks.Prompter", a.Now.Prompt.Kind))
	}
	if e.Answer == nil {
		return Skip("the target has no payer who answers")
	}
	answer, err := e.Answer(ctx, *a)
	if err != nil {
		return fmt.Errorf("the payer could not answer: %w", err)
	}
	if spoil != nil {
		spoil(&answer)
	}
	e.secret(answer.Password, answer.Code)
	next, err := p.Answer(ctx, e.ref(a), answer)
	if err := e.judge("Answer", err); err != nil {
		return err
	}
	return e.next("Answer", a, next)
}

// comeBack takes what the payer brings from the bank to the adapter. took is
// false when there is nothing to take.
func (e *Env) comeBack(ctx context.Context, a *Act, landing string) (took bool, err error) {
	r, ok := e.Bank.(banks.Returner)
	u, err := url.Parse(landing)
	if err != nil {
		return false, broken("the bank sends the payer to an address that is none")
	}
	if !ok || u.RawQuery == "" {
		return false, nil
	}
	q := u.Query()
	for _, name := range []string{"code", "state", "confirmationCode"} {
		e.secret(q.Get(name))
	}
	next, err := r.Return(ctx, e.ref(a), q)
	if err := e.judge("Return", err); err != nil {
		return true, err
	}
	return true, e.next("Return", a, next)
}

// next makes an answer the latest. An empty state keeps the earlier one, as the
// hub does.
func (e *Env) next(call string, a *Act, in banks.Initiation) error {
	if in.State == nil {
		in.State = a.Now.State
	}
	if in.Approach == "" {
		in.Approach = a.Now.Approach
	}
	a.Now = in
	return e.prompted(call, in.Prompt)
}

// loginTimeout bounds a login before the order.
const loginTimeout = 10 * time.Second

// loggedIn takes the payer through what the bank wants before the order, and
// returns the state to initiate with.
func (e *Env) loggedIn(ctx context.Context, o banks.Order) ([]byte, error) {
	p, ok := e.Bank.(banks.Preparer)
	if !ok {
		return nil, broken("Info.First wants a login, but the adapter is no banks.Preparer")
	}
	defer e.Proxy.Pause()()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout) // however short the call that is looked at
	defer cancel()
	in, err := p.Prepare(ctx, o)
	if err := e.judge("Prepare", err); err != nil {
		return nil, err
	}
	if err := e.prompted("Prepare", in.Prompt); err != nil {
		return nil, err
	}
	a := Act{Order: o, Now: in}
	if err := e.authorise(ctx, &a, e.Approve); err != nil {
		return nil, err
	}
	if !a.Now.Ready || len(a.Now.State) == 0 {
		return nil, broken("after the login the adapter is not ready to initiate")
	}
	return a.Now.State, nil
}

// Ref names an order for a later call, with a request id of its own.
func (e *Env) Ref(o banks.Order, in banks.Initiation) banks.Ref {
	return banks.Ref{EndToEndID: o.EndToEndID, RequestID: e.Order(o.Amount).RequestID, TraceID: o.TraceID, State: in.State, PSU: o.PSU,
		ReturnURL: o.ReturnURL, FailURL: o.FailURL}
}

func (e *Env) ref(a *Act) banks.Ref { return e.Ref(a.Order, a.Now) }
