package hub

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Authorise sends the payer's order to his bank: once. It returns where the
// payer has to go now. When the bank refused or could not be reached, the
// returned payment is open again, redirectURL is empty and the last attempt
// says why. nonce is the consent form's, good once: the page has checked that
// it belongs to this browser and to what was shown.
func (h *Hub) Authorise(ctx context.Context, paymentID, bankID, nonce string, psu psd2.PSU) (p *psd2.Payment, redirectURL string, err error) {
	bank, entry, ok := h.banks.Bank(bankID)
	if !ok {
		return nil, "", psd2.Invalid("bank_id", "bank_unknown", "there is no such bank")
	}
	if l, _ := h.banks.Listing(bankID); !l.Available {
		return nil, "", psd2.Fail(psd2.CodeUnavailable, "bank_unavailable", "this bank can't be reached just now")
	}
	attempt, p, err := h.intend(ctx, paymentID, bankID, nonce, bank.Info(), psu)
	if err != nil {
		return nil, "", err
	}
	// The call must end on its own terms: a payer who closes his browser must
	// not turn an answer into a lost one.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.BankTimeout)
	defer cancel()
	began := time.Now()
	answer, callErr := bank.Initiate(call, h.order(p, attempt, psu, psd2.TraceOf(ctx)))
	h.observe(entry.ID, "initiate", callErr, time.Since(began))
	p, err = h.answered(context.WithoutCancel(ctx), p.ID, attempt, answer, callErr) // the call's own time may be used up
	if err != nil {
		return nil, "", err
	}
	if p, err = h.afterInitiation(ctx, p, attempt.ID); err != nil {
		return nil, "", err
	}
	if a := p.Attempt(attempt.ID); a.State == psd2.AttemptAuthorizing && p.CancelledBy == "" && !p.State.MoneyMoved() {
		redirectURL = p.Personal.Attempts[a.ID].RedirectURL
	}
	h.counted(p)
	h.nudge()
	return p, redirectURL, nil
}

// intend commits that we are about to ask the bank.
func (h *Hub) intend(ctx context.Context, paymentID, bankID, nonce string, info banks.Info, psu psd2.PSU) (a psd2.Attempt, p *psd2.Payment, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		id := psd2.NewID(psd2.PrefixAttempt, tx.Now, h.random)
		a = psd2.Attempt{
			ID: id, BankID: bankID, EndToEndID: psd2.NewEndToEndID(id), RequestID: psd2.NewUUID(tx.Now, h.random),
			RiskAtOnce: info.RiskAtOnce, RedirectLife: info.RedirectLife,
		}
		p, err = tx.UpdatePayment(paymentID, func(p *psd2.Payment) error {
			first, err := tx.Consume("consent", p.ID+"/"+nonce, p.ExpiresAt)
			if err != nil {
				return err
			}
			if !first {
				return psd2.Fail(psd2.CodeConflict, "consent_used", "this confirmation was already used")
			}
			return p.BeginAttempt(a, psu, tx.Now)
		})
		return err
	})
	return a, p, err
}

func (h *Hub) order(p *psd2.Payment, a psd2.Attempt, psu psd2.PSU, trace string) banks.Order {
	back := h.cfg.PublicURL + "/return/" + a.ID
	return banks.Order{
		AttemptID: a.ID, EndToEndID: a.EndToEndID, RequestID: a.RequestID, TraceID: trace,
		Amount: p.Amount, Creditor: p.Personal.Payee, Remittance: p.Personal.Reference,
		PSU: psu, ReturnURL: back, FailURL: back + "/failed",
	}
}

// answered commits what the bank said to the initiation.
func (h *Hub) answered(ctx context.Context, paymentID string, a psd2.Attempt, answer banks.Initiation, callErr error) (*psd2.Payment, error) {
	return h.store.UpdatePayment(ctx, paymentID, func(p *psd2.Payment) error {
		now := h.store.Now()
		if callErr == nil {
			return h.accepted(p, a.ID, answer, now)
		}
		var be *banks.Error
		if !errors.As(callErr, &be) {
			be = &banks.Error{Kind: banks.Uncertain}
		}
		switch be.Kind {
		case banks.Refused:
			return p.InitiationFailed(a.ID, psd2.ReasonOf(be.Code), be.Code, now)
		case banks.BadRequest:
			return p.InitiationFailed(a.ID, psd2.ReasonBankRejected, be.Code, now)
		case banks.Unavailable:
			return p.InitiationFailed(a.ID, psd2.ReasonBankUnavailable, be.Code, now)
		}
		return p.InitiationLost(a.ID, now)
	})
}

func (h *Hub) accepted(p *psd2.Payment, attemptID string, answer banks.Initiation, now time.Time) error {
	if err := p.Initiated(attemptID, string(answer.Approach), answer.RedirectURL, answer.State, now); err != nil {
		return err
	}
	switch standing := psd2.StandingOf(answer.Status); {
	case standing == psd2.StandingRefused || standing == psd2.StandingCanceled:
		p.Report(attemptID, psd2.Report{Status: answer.Status}, now)
	case answer.RedirectURL == "" && answer.Approach == banks.Redirect:
		p.Returned(attemptID, now) // the bank wants nothing of the payer, so he is not away
	}
	return nil
}

// afterInitiation does what cannot wait for Step. An order cancelled while the
// bank was being asked is withdrawn. One that the bank exempted from SCA may
// have been executed already; only a status answer says so and who paid.
func (h *Hub) afterInitiation(ctx context.Context, p *psd2.Payment, attemptID string) (*psd2.Payment, error) {
	a := p.Open()
	switch {
	case a == nil || a.ID != attemptID || a.State != psd2.AttemptAuthorizing:
		return p, nil
	case p.CancelledBy != "" || p.State.MoneyMoved():
		return h.withdraw(ctx, p, a)
	case a.ReturnedAt != nil:
		return h.look(ctx, p, nil)
	}
	return p, nil
}

// observe feeds health, metrics and the log with the outcome of a bank call.
func (h *Hub) observe(bankID, call string, err error, took time.Duration) {
	h.banks.Observe(bankID, err, took)
	outcome := "ok"
	var be *banks.Error
	if errors.As(err, &be) {
		outcome = string(be.Kind)
	} else if err != nil {
		outcome = "error"
	}
	h.metrics.bankCalls.WithLabelValues(bankID, call, outcome).Observe(took.Seconds())
	if err != nil {
		h.log.Warn("bank call failed", "bank", bankID, "call", call, "outcome", outcome, "error", err.Error(), "ms", took.Milliseconds())
	}
}

func (h *Hub) counted(p *psd2.Payment) { h.metrics.payments.WithLabelValues(string(p.State)).Inc() }

func (h *Hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
