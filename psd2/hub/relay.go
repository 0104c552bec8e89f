package hub

import (
	"context"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Answer relays the payer's answer to what his bank asks through us: once per
// nonce, and only if the bank is still asking for that kind of thing. The
// answer is in no log, no queue and no row. Like Authorise it returns where the
// payer has to go now, if anywhere.
func (h *Hub) Answer(ctx context.Context, attemptID, nonce string, kind psd2.PromptKind, answer psd2.PromptAnswer) (*psd2.Payment, string, error) {
	p, a, err := h.byAttempt(ctx, attemptID)
	if err != nil {
		return nil, "", err
	}
	bank, _, _ := h.banks.Bank(a.BankID)
	prompter, ok := bank.(banks.Prompter)
	if !ok {
		return nil, "", psd2.Fail(psd2.CodeConflict, "prompt_changed", "the bank is asking for something else by now")
	}
	if p, err = h.relaying(ctx, p.ID, a, nonce, kind); err != nil {
		return nil, "", err
	}
	before := p.Personal.Attempts[a.ID].Prompt
	var next banks.Initiation
	ref, callErr := h.ref(ctx, p, p.Attempt(a.ID)), error(errTooLate)
	if !h.tooLate(p.UpdatedAt) { // when it was committed that he answers
		callErr = h.call(ctx, a, "answer", func(call context.Context) (err error) {
			next, err = prompter.Answer(call, ref, answer)
			return err
		})
	}
	p, err = h.store.UpdatePayment(context.WithoutCancel(ctx), p.ID, func(p *psd2.Payment) error {
		return ignoreClosed(h.relayed(p, a.ID, before, next, callErr))
	})
	if err != nil {
		return nil, "", err
	}
	if open := p.Open(); open != nil && open.ID == a.ID && open.AtRiskAt != nil && open.Prompt != psd2.PromptApp && open.Prompt != psd2.PromptRedirect {
		if p, err = h.look(ctx, p, nil); err != nil { // his part is done, or nobody knows what came of it
			return nil, "", err
		}
	}
	h.counted(p)
	h.nudge()
	return p, destination(p, a.ID), nil
}

// relaying commits the intent to relay.
func (h *Hub) relaying(ctx context.Context, paymentID string, a *psd2.Attempt, nonce string, kind psd2.PromptKind) (p *psd2.Payment, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		p, err = tx.UpdatePayment(paymentID, func(p *psd2.Payment) error {
			first, err := tx.Consume("prompt", a.ID+"/"+nonce, h.latest(p))
			if err != nil {
				return err
			}
			if !first {
				return psd2.Fail(psd2.CodeConflict, "answer_used", "this form was already sent")
			}
			return p.Relaying(a.ID, kind, tx.Now)
		})
		return err
	})
	return p, err
}

// relayed applies what the bank said to an answer.
func (h *Hub) relayed(p *psd2.Payment, attemptID string, before psd2.Prompt, next banks.Initiation, callErr error) error {
	now := h.store.Now()
	if callErr == nil {
		if err := p.Relayed(attemptID, next.Prompt, next.State, now); err != nil {
			return err
		}
		if standing := psd2.StandingOf(next.Status); next.SCA == psd2.SCAFailed || standing == psd2.StandingRefused || standing == psd2.StandingCanceled {
			p.Report(attemptID, psd2.Report{Status: next.Status, SCAStatus: next.SCA}, now)
		}
		return nil
	}
	switch be := asBankError(callErr); be.Kind {
	case banks.Refused:
		why := psd2.ReasonOf(be.Code)
		if why == psd2.ReasonBankRejected {
			why = psd2.ReasonAuthenticationFailed
		}
		return p.RelayRefused(attemptID, why, be.Code, now)
	case banks.BadRequest, banks.Unavailable: // the bank did not take it: he may try again
		before.Again = before.Again || be.Kind == banks.BadRequest
		return p.Relayed(attemptID, before, nil, now)
	}
	return nil // it may have been taken: money stays at risk, and the bank is asked
}

// ignoreClosed lets the truth pass that somebody else learnt meanwhile.
func ignoreClosed(err error) error {
	if psd2.CodeOf(err) == psd2.CodeConflict {
		return nil
	}
	return err
}

// Returned is called when the payer's browser comes back from the bank, with
// the parameters it brings. That he is back proves nothing, so the bank is
// asked; but a code among the parameters is taken to the bank, once. It returns
// where the payer has to go next, if anywhere: after a login he may still have
// to confirm.
func (h *Hub) Returned(ctx context.Context, attemptID string, query url.Values) (*psd2.Payment, string, error) {
	p, a, err := h.byAttempt(ctx, attemptID)
	if err != nil {
		return nil, "", err
	}
	bank, _, _ := h.banks.Bank(a.BankID)
	if r, ok := bank.(banks.Returner); ok && len(query) > 0 && p.Open() == a && (a.State == psd2.AttemptPreparing || a.State == psd2.AttemptAuthorizing) {
		next, err := h.takeBack(ctx, bank, r, p, a, query)
		if err != nil || next != nil {
			if err != nil {
				return nil, "", err
			}
			return next, destination(next, attemptID), nil
		}
	}
	if p, err = h.back(ctx, attemptID); err != nil {
		return nil, "", err
	}
	return p, "", nil
}

// takeBack hands what the payer brought to the adapter. It returns nil when
// only the bank's status can tell what it was worth.
func (h *Hub) takeBack(ctx context.Context, bank banks.Bank, r banks.Returner, p *psd2.Payment, a *psd2.Attempt, query url.Values) (*psd2.Payment, error) {
	first := false
	err := h.store.Tx(ctx, func(tx *store.Tx) (err error) {
		first, err = tx.Consume("bank_return", a.ID+"/"+hash(query.Encode()), h.latest(p).Add(24*time.Hour))
		return err
	})
	if err != nil || !first {
		return nil, err
	}
	var answer banks.Initiation
	callErr := h.call(ctx, a, "return", func(call context.Context) (err error) {
		answer, err = r.Return(call, h.ref(ctx, p, a), query)
		return err
	})
	if a.State == psd2.AttemptPreparing {
		return h.prepared(ctx, bank, p, a, answer, callErr)
	}
	if callErr != nil || answer.State == nil {
		return nil, nil
	}
	_, err = h.store.UpdatePayment(context.WithoutCancel(ctx), p.ID, func(p *psd2.Payment) error {
		return ignoreClosed(p.Relayed(a.ID, answer.Prompt, answer.State, h.store.Now()))
	})
	return nil, err
}

// prepared goes on after the payer has logged in at his bank: with the order.
func (h *Hub) prepared(ctx context.Context, bank banks.Bank, p *psd2.Payment, a *psd2.Attempt, answer banks.Initiation, callErr error) (*psd2.Payment, error) {
	if callErr != nil && asBankError(callErr).Kind == banks.BadRequest {
		return p, nil // not what his bank sent: as if he were not back yet
	}
	p, err := h.answered(context.WithoutCancel(ctx), p.ID, *a, callErr, func(p *psd2.Payment, now time.Time) error {
		if !answer.Ready {
			return p.Prepared(a.ID, string(answer.Approach), answer.Prompt, answer.State, now)
		}
		return p.Submit(a.ID, answer.State, now)
	})
	if err != nil || p.Attempt(a.ID).State != psd2.AttemptSubmitting {
		return p, err
	}
	p, _, err = h.submit(ctx, bank, p, *p.Attempt(a.ID), p.Personal.Attempts[a.ID].PSU)
	return p, err
}

// Notified is called when a bank says that there is news of an order
// (NextGenPSD2 TPP-Notification-URI). Whoever says so is believed in nothing:
// it is a reason to ask.
func (h *Hub) Notified(ctx context.Context, attemptID string) error {
	p, _, err := h.byAttempt(ctx, attemptID)
	if err != nil {
		return err
	}
	_, err = h.Refresh(ctx, p.ID)
	return err
}

func (h *Hub) byAttempt(ctx context.Context, attemptID string) (*psd2.Payment, *psd2.Attempt, error) {
	if !psd2.IsID(psd2.PrefixAttempt, attemptID) {
		return nil, nil, psd2.NotFound("payment")
	}
	p, err := h.store.PaymentByAttempt(ctx, attemptID)
	if err != nil {
		return nil, nil, err
	}
	return p, p.Attempt(attemptID), nil
}
