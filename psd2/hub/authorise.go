package hub

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"strings"
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
// redirectURL is empty and the last attempt says why. A *LessLeft says that the
// payer may pay less instead. nonce is the consent
// form's, good once: the page has checked that it belongs to this browser and
// to what was shown.
func (h *Hub) Authorise(ctx context.Context, paymentID, bankID, nonce string, psu psd2.PSU, from Browser) (p *psd2.Payment, redirectURL string, err error) {
	at := h.newBeat()
	p, redirectURL, err = h.authorise(ctx, paymentID, bankID, nonce, psu, from, at)
	var less *LessLeft
	switch {
	case errors.As(err, &less), reasonOf(err) == notYet:
		at.answer(ctx)
	case err != nil:
	case redirectURL == "" && (p.State == psd2.StateFailed || p.State == psd2.StateAuthorizationRequired): // refused, by whomever
		at.answer(ctx)
	case strings.HasPrefix(redirectURL, "/"):
		at.step(ctx)
	}
	return p, redirectURL, err
}

func (h *Hub) authorise(ctx context.Context, paymentID, bankID, nonce string, psu psd2.PSU, from Browser, at beat) (p *psd2.Payment, redirectURL string, err error) {
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
	if from.Amount != (psd2.Money{}) && from.Amount != p.Amount {
		return nil, "", errLowered
	}
	var may leave
	if p.State == psd2.StateAuthorizationRequired { // else intend says what is in the way
		may, err = h.mayGoOn(ctx, p, approachOf(bank.Info()), from, at)
		switch {
		case err != nil:
			return nil, "", err
		case may.ended != nil:
			return may.ended, "", nil
		case may.confirm != "":
			return p, may.confirm, nil
		}
	}
	attempt, p, err := h.intend(ctx, p, bankID, nonce, bank.Info(), psu, may)
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

// ApproachDelegated is the approach of a bank that leaves authentication to us.
const ApproachDelegated = "delegated"

// approachOf is how the bank will authenticate the payer, as far as that is
// known before it is asked.
func approachOf(info banks.Info) string {
	if info.DelegatesSCA {
		return ApproachDelegated
	}
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
	answer, err := h.initiate(ctx, bank, p, a, psu)
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

// initiate makes the call itself. It is not made when the order differs from
// what was committed, nor when this process has slept since.
func (h *Hub) initiate(ctx context.Context, bank banks.Bank, p *psd2.Payment, a psd2.Attempt, psu psd2.PSU) (answer banks.Initiation, err error) {
	o := h.order(p, a, psu, psd2.TraceOf(ctx))
	said := psd2.Terms{EndToEndID: o.EndToEndID, RequestID: o.RequestID, Amount: o.Amount, Creditor: o.Creditor, Remittance: o.Remittance, Debtor: o.Debtor}
	if !p.AsCommitted(a.ID, said) {
		h.log.Error("an order differs from what was committed; it is not sent", "payment", p.ID, "attempt", a.ID)
		return answer, errNotAsCommitted
	}
	if h.tooLate(*p.Attempt(a.ID).SubmittedAt) {
		return answer, errTooLate
	}
	err = h.call(ctx, &a, "initiate", func(call context.Context) (err error) {
		answer, err = bank.Initiate(call, o)
		return err
	})
	return answer, err
}

var (
	// errTooLate keeps a call from being made that has waited for longer than its
	// answer is waited for: others may have given it up.
	errTooLate = &banks.Error{Kind: banks.Unavailable, Err: errors.New("not sent: too long after its intent")}
	// errNotAsCommitted keeps an order from being sent that nobody agreed to.
	errNotAsCommitted = &banks.Error{Kind: banks.Unavailable, Err: errors.New("not sent: not what was committed")}
)

// errLowered keeps an order of another amount from being sent than the payer and
// the gate have agreed to (RTS Art. 5(1)(d)): he has taken less in another tab.
var errLowered = psd2.Fail(psd2.CodeConflict, "amount_changed", "the payment's amount has changed; agree to it again")

// tooLate reports whether a call whose intent was committed at that time may no
// longer be made.
func (h *Hub) tooLate(intent time.Time) bool { return h.now().Sub(intent) >= h.cfg.BankTimeout }

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

// intend commits that we are about to ask the bank, with the decision that it
// may be asked. seen is the payment of which that was decided.
func (h *Hub) intend(ctx context.Context, seen *psd2.Payment, bankID, nonce string, info banks.Info, psu psd2.PSU, may leave) (a psd2.Attempt, p *psd2.Payment, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		for _, first := range []func(*store.Tx) error{may.recheck, may.keep} {
			if first == nil {
				continue
			}
			if err := first(tx); err != nil {
				return err
			}
		}
		id := psd2.NewID(psd2.PrefixAttempt, tx.Now, h.random)
		a = psd2.Attempt{
			ID: id, BankID: bankID, EndToEndID: psd2.NewEndToEndID(id), RequestID: psd2.NewUUID(tx.Now, h.random),
			RiskAtOnce: info.AtRiskOnceSent(), RedirectLife: info.RedirectLife, State: psd2.AttemptSubmitting,
			SCABy: cmp.Or(may.need.PerformedBy, psd2.SCAByASPSP), Exemptions: may.need.Exemptions,
		}
		if info.First == psd2.PromptRedirect {
			a.State = psd2.AttemptPreparing
		}
		p, err = tx.UpdatePayment(seen.ID, func(p *psd2.Payment) error {
			if p.Amount != seen.Amount {
				return errLowered
			}
			first, err := tx.Consume("consent", p.ID+"/"+nonce, h.latest(p))
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
		State: p.Personal.Attempts[a.ID].Adapter, Exemptions: a.Exemptions,
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
		h.undeclared(p.Attempt(attemptID), "needs no authentication")
	case answer.Prompt.Kind == psd2.PromptApp:
		h.undeclared(p.Attempt(attemptID), "asks in its app")
	}
	return nil
}

// undeclared tells the operator of a bank that does what its profile does not
// say: had this answer been lost, the order would have counted as harmless.
func (h *Hub) undeclared(a *psd2.Attempt, what string) {
	if !a.RiskAtOnce {
		h.log.Error("a bank's profile does not say that it "+what+"; a lost answer there may be paid twice", "bank", a.BankID, "attempt", a.ID)
	}
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
