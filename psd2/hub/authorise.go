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

// Authorise sends the payer's order to his bank: once; or, at a bank that wants
// him to log in first, sends him there; or, where the policy wants his
// confirmation here, to the page for that (a path of ours), and nothing is sent
// yet. A payment that must not go on comes back ended. It returns the address he has to go to
// now, if any; what else the bank wants of him is in the attempt's prompt. When
// the bank refused or could not be reached, the returned payment is open again,
// redirectURL is empty and the last attempt says why. nonce is the consent
// form's, good once: the page has checked that it belongs to this browser and
// to what was shown.
func (h *Hub) Authorise(ctx context.Context, paymentID, bankID, nonce string, psu psd2.PSU, from Browser) (p *psd2.Payment, redirectURL string, err error) {
	bank, _, ok := h.banks.Bank(bankID)
	if !ok {
		return nil, "", psd2.Invalid("bank_id", "bank_unknown", "there is no such bank")
	}
	if l, _ := h.banks.Listing(bankID); !l.Available {
		return nil, "", psd2.Fail(psd2.CodeUnavailable, "bank_unavailable", "this bank can't be reached just now")
	}
	if err := missing(bank.Info(), psu); err != nil {
		return nil, "", err
	}
	if p, err = h.Payment(ctx, paymentID); err != nil {
		return nil, "", err
	}
	if p.State == psd2.StateAuthorizationRequired { // else intend says what is in the way
		confirm, ended, err := h.mayGoOn(ctx, p, approachOf(bank.Info()), from)
		switch {
		case err != nil:
			return nil, "", err
		case ended != nil:
			return ended, "", nil
		case confirm != "":
			return p, confirm, nil
		}
	}
	attempt, p, err := h.intend(ctx, paymentID, bankID, nonce, bank.Info(), psu)
	if err != nil {
		if h.confirmation != nil && reasonOf(err) == "sca_void" {
			err = errors.Join(err, h.confirmation.Voided(context.WithoutCancel(ctx), paymentID))
		}
		return nil, "", err
	}
	if attempt.State == psd2.AttemptPreparing {
		return h.prepare(ctx, bank, p, attempt, psu)
	}
	return h.submit(ctx, bank, p, attempt, psu)
}

// approachOf is how the bank will authenticate the payer, as far as that is
// known before it is asked.
func approachOf(info banks.Info) string {
	if len(info.Approaches) == 0 {
		return ""
	}
	return string(info.Approaches[0])
}

func reasonOf(err error) string {
	var e *psd2.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// missing says what the payer has yet to tell us for this bank.
func missing(info banks.Info, psu psd2.PSU) error {
	if info.First == psd2.PromptIdentify && psu.ID == "" {
		return psd2.Invalid("psu_id", "psu_id_missing", "this bank wants the name by which it knows you")
	}
	if err := psd2.CheckText("psu_id", psu.ID, 70); err != nil {
		return err
	}
	if info.DebtorMandatory && psu.Account == "" {
		return psd2.Invalid("iban", "iban_missing", "this bank wants to know from which account you pay")
	}
	return nil
}

// prepare asks the bank where the payer logs in before it takes an order.
func (h *Hub) prepare(ctx context.Context, bank banks.Bank, p *psd2.Payment, a psd2.Attempt, psu psd2.PSU) (*psd2.Payment, string, error) {
	var answer banks.Initiation
	err := h.call(ctx, &a, "prepare", func(call context.Context) (err error) {
		answer, err = bank.(banks.Preparer).Prepare(call, h.order(p, a, psu, psd2.TraceOf(ctx)))
		return err
	})
	p, err = h.answered(context.WithoutCancel(ctx), p.ID, a, err, func(p *psd2.Payment, now time.Time) error {
		return p.Prepared(a.ID, string(answer.Approach), answer.Prompt, answer.State, now)
	})
	if err != nil {
		return nil, "", err
	}
	h.counted(p)
	h.nudge()
	return p, destination(p, a.ID), nil
}

// submit makes the one call that creates the order.
func (h *Hub) submit(ctx context.Context, bank banks.Bank, p *psd2.Payment, a psd2.Attempt, psu psd2.PSU) (*psd2.Payment, string, error) {
	var answer banks.Initiation
	err := h.call(ctx, &a, "initiate", func(call context.Context) (err error) {
		answer, err = bank.Initiate(call, h.order(p, a, psu, psd2.TraceOf(ctx)))
		return err
	})
	p, err = h.answered(context.WithoutCancel(ctx), p.ID, a, err, func(p *psd2.Payment, now time.Time) error {
		return h.accepted(p, a.ID, answer, now)
	}) // the call's own time may be used up
	if err != nil {
		return nil, "", err
	}
	if p, err = h.afterInitiation(ctx, p, a.ID); err != nil {
		return nil, "", err
	}
	h.counted(p)
	h.nudge()
	return p, destination(p, a.ID), nil
}

// destination is where the payer has to go now, if anywhere.
func destination(p *psd2.Payment, attemptID string) string {
	a := p.Attempt(attemptID)
	if waits := a.State == psd2.AttemptAuthorizing || a.State == psd2.AttemptPreparing; !waits || p.CancelledBy != "" || p.State.MoneyMoved() {
		return ""
	}
	return p.Personal.Attempts[a.ID].Prompt.RedirectURL
}

// call makes one call to a bank within its own time: a payer who closes his
// browser must not turn an answer into a lost one.
func (h *Hub) call(ctx context.Context, a *psd2.Attempt, what string, do func(context.Context) error) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.BankTimeout)
	defer cancel()
	began := time.Now()
	err := do(call)
	h.observe(a, what, err, time.Since(began))
	return err
}

// intend commits that we are about to ask the bank.
func (h *Hub) intend(ctx context.Context, paymentID, bankID, nonce string, info banks.Info, psu psd2.PSU) (a psd2.Attempt, p *psd2.Payment, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		id := psd2.NewID(psd2.PrefixAttempt, tx.Now, h.random)
		a = psd2.Attempt{
			ID: id, BankID: bankID, EndToEndID: psd2.NewEndToEndID(id), RequestID: psd2.NewUUID(tx.Now, h.random),
			RiskAtOnce: info.RiskAtOnce, RedirectLife: info.RedirectLife, State: psd2.AttemptSubmitting,
		}
		if info.First == psd2.PromptRedirect {
			a.State = psd2.AttemptPreparing
		}
		p, err = tx.UpdatePayment(paymentID, func(p *psd2.Payment) error {
			first, err := tx.Consume("consent", p.ID+"/"+nonce, p.ExpiresAt)
			if err != nil {
				return err
			}
			if !first {
				return psd2.Fail(psd2.CodeConflict, "consent_used", "this confirmation was already used")
			}
			if h.confirmation != nil {
				if err := h.confirmation.Recheck(tx, p); err != nil {
					return err
				}
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
		Debtor: psu.Account, PSU: psu, ReturnURL: back, FailURL: back + "/failed", NotifyURL: h.cfg.PublicURL + "/notify/" + a.ID,
		State: p.Personal.Attempts[a.ID].Adapter,
	}
}

// answered commits what the bank said to the initiation, or to what comes
// before it.
func (h *Hub) answered(ctx context.Context, paymentID string, a psd2.Attempt, callErr error, took func(*psd2.Payment, time.Time) error) (*psd2.Payment, error) {
	return h.store.UpdatePayment(ctx, paymentID, func(p *psd2.Payment) error {
		now := h.store.Now()
		if callErr == nil {
			return took(p, now)
		}
		switch be := asBankError(callErr); be.Kind {
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

// asBankError takes a failure that an adapter did not explain for the worst.
func asBankError(err error) *banks.Error {
	var be *banks.Error
	if !errors.As(err, &be) {
		be = &banks.Error{Kind: banks.Uncertain}
	}
	return be
}

func (h *Hub) accepted(p *psd2.Payment, attemptID string, answer banks.Initiation, now time.Time) error {
	if err := p.Initiated(attemptID, string(answer.Approach), answer.Prompt, answer.State, now); err != nil {
		return err
	}
	switch standing := psd2.StandingOf(answer.Status); {
	case standing == psd2.StandingRefused || standing == psd2.StandingCanceled:
		p.Report(attemptID, psd2.Report{Status: answer.Status}, now)
	case answer.Prompt.Kind == psd2.PromptNone:
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
func (h *Hub) observe(a *psd2.Attempt, call string, err error, took time.Duration) {
	h.banks.Observe(a.BankID, banks.Approach(a.Approach), err, took)
	outcome := "ok"
	var be *banks.Error
	if errors.As(err, &be) {
		outcome = string(be.Kind)
	} else if err != nil {
		outcome = "error"
	}
	h.metrics.bankCalls.WithLabelValues(a.BankID, call, outcome).Observe(took.Seconds())
	if err != nil {
		h.log.Warn("bank call failed", "bank", a.BankID, "call", call, "outcome", outcome, "error", err.Error(), "ms", took.Milliseconds())
	}
}

func (h *Hub) counted(p *psd2.Payment) { h.metrics.payments.WithLabelValues(string(p.State)).Inc() }

func (h *Hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
