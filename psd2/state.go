package psd2

import (
	"slices"
	"time"
)

// State is what a merchant sees of a payment.
type State string

// States of a payment.
const (
	StateAuthorizationRequired State = "authorization_required" // the payer has to choose a bank
	StateAuthorizing           State = "authorizing"            // an attempt is under way
	StateAuthorized            State = "authorized"             // the bank accepted the order
	StateExecuted              State = "executed"               // the payer's bank has sent the money
	StateSettled               State = "settled"                // the payee has it
	StateFailed                State = "failed"                 // no money moves
	StateOutcomeUnknown        State = "outcome_unknown"        // money may have moved; nothing is sent again
)

// States lists them all.
var States = []State{StateAuthorizationRequired, StateAuthorizing, StateAuthorized, StateExecuted, StateSettled, StateFailed, StateOutcomeUnknown}

// Final reports whether nothing more is expected of the payment.
func (s State) Final() bool { return s == StateSettled || s == StateFailed }

// MoneyMoved reports whether the payer's account is known to be debited.
func (s State) MoneyMoved() bool { return s == StateExecuted || s == StateSettled }

// AttemptState is where one try at one bank stands.
type AttemptState string

// States of an attempt. A lost answer to the initiation abandons it while
// nobody holds its link; later it is unknown until the bank says.
const (
	AttemptPreparing   AttemptState = "preparing"   // the payer logs in at a bank that wants that first; no order exists
	AttemptSubmitting  AttemptState = "submitting"  // intent committed, the one call to the bank not yet answered
	AttemptAuthorizing AttemptState = "authorizing" // the payer is at the bank: money is at risk
	AttemptAuthorized  AttemptState = "authorized"
	AttemptUnknown     AttemptState = "unknown"
	AttemptExecuted    AttemptState = "executed"
	AttemptSettled     AttemptState = "settled"
	AttemptRefused     AttemptState = "refused"   // the bank said no
	AttemptCanceled    AttemptState = "canceled"  // the bank confirmed the cancellation
	AttemptAbandoned   AttemptState = "abandoned" // never left our hands, or lapsed unused at the bank
)

func (s AttemptState) open() bool {
	return s == AttemptPreparing || s == AttemptSubmitting || s == AttemptAuthorizing || s == AttemptAuthorized || s == AttemptUnknown
}

// AtRisk reports whether money may still move by this attempt.
func (a *Attempt) AtRisk() bool { return a.AtRiskAt != nil && a.State.open() }

// FailureReason is why a payment or an attempt failed, in words a merchant may
// show.
type FailureReason string

// Reasons. PaymentNotPossible stands for everything a compliance rule decides
// that must not be said.
const (
	ReasonPayerCanceled        FailureReason = "payer_canceled"
	ReasonPayerRejected        FailureReason = "payer_rejected_at_bank"
	ReasonAuthenticationFailed FailureReason = "authentication_failed"
	ReasonExpired              FailureReason = "expired"
	ReasonMerchantCanceled     FailureReason = "merchant_canceled"
	ReasonBankRejected         FailureReason = "bank_rejected"
	ReasonInsufficientFunds    FailureReason = "insufficient_funds"
	ReasonAccountBlocked       FailureReason = "account_blocked"
	ReasonInvalidAccount       FailureReason = "invalid_account"
	ReasonLimitExceeded        FailureReason = "limit_exceeded"
	ReasonOwnAccountRequired   FailureReason = "own_account_required"
	ReasonKYCRequired          FailureReason = "kyc_required"
	ReasonBankUnavailable      FailureReason = "bank_unavailable"
	ReasonPaymentNotPossible   FailureReason = "payment_not_possible"
)

// Create finishes a new payment: first state, first event.
func (p *Payment) Create(now time.Time) {
	p.State, p.CreatedAt, p.UpdatedAt = StateAuthorizationRequired, now, now
	p.forgetSource()
	p.emit(EventCreated, now)
}

// forgetSource drops what an attempt told of its payer: the next one may pay
// from another person's account.
func (p *Payment) forgetSource() {
	p.Personal.Source, p.SourceID, p.PayerCheck = Party{}, "", PayerUnknown
	if p.PayerPolicy == PayerOff {
		p.PayerCheck = PayerWaived
	}
}

// BeginAttempt commits the intent to ask a bank. It refuses a second open
// attempt, whatever the two callers think: at most one order may be alive.
func (p *Payment) BeginAttempt(a Attempt, psu PSU, now time.Time) error {
	if err := p.mustBeOpenForPayer(now); err != nil {
		return err
	}
	a.StartedAt = now
	p.Attempts = append(p.Attempts, a)
	p.setPersonal(a.ID, func(ap *AttemptPersonal) { ap.PSU = psu })
	if a.State != AttemptPreparing {
		p.commit(p.Attempt(a.ID), now)
	}
	p.State = StateAuthorizing
	p.emit(EventAttemptStarted, now)
	return nil
}

// Refuse ends a payment that must not go on, before any order was sent.
func (p *Payment) Refuse(why FailureReason, now time.Time) error {
	if err := p.mustBeOpenForPayer(now); err != nil {
		return err
	}
	p.fail(p.State, why, "", now)
	return nil
}

// Lower makes the amount smaller, before any order was sent: the payer pays
// what his limit leaves.
func (p *Payment) Lower(to Money, now time.Time) error {
	if err := p.mustBeOpenForPayer(now); err != nil {
		return err
	}
	if !p.MayLower() {
		return Fail(CodeConflict, "order_sent", "an order of the whole amount was sent")
	}
	if to.Currency != p.Amount.Currency || to.AmountMinor <= 0 || to.AmountMinor >= p.Amount.AmountMinor {
		return Invalid("amount", "amount_not_lower", "the amount can only become smaller")
	}
	if p.AskedMinor == 0 {
		p.AskedMinor = p.Amount.AmountMinor
	}
	p.Amount = to
	p.emit(EventAmountLowered, now)
	return nil
}

// MayLower reports whether no order was sent yet. One that was given up may
// still be executed, and then with its own amount.
func (p *Payment) MayLower() bool {
	return !slices.ContainsFunc(p.Attempts, func(a Attempt) bool { return a.SubmittedAt != nil })
}

// commit is the intent to send the order, with what it says.
func (p *Payment) commit(a *Attempt, now time.Time) {
	a.State, a.SubmittedAt, a.Prompt = AttemptSubmitting, &now, PromptNone
	if a.RiskAtOnce {
		a.AtRiskAt = &now
	}
	p.setPersonal(a.ID, func(ap *AttemptPersonal) { ap.OrderHash = p.terms(a).hash() })
}

// closed is the refusal for an attempt that is not, or no longer, where its
// caller thinks.
func closed() error {
	return Fail(CodeConflict, "attempt_closed", "the attempt is no longer under way")
}

// Prepared records where the payer has to log in before the bank takes an
// order.
func (p *Payment) Prepared(attemptID, approach string, prompt Prompt, adapter []byte, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptPreparing {
		return closed()
	}
	a.Approach, p.UpdatedAt = approach, now
	p.ask(a, prompt, adapter)
	return nil
}

// Submit commits the intent to send the order of an attempt that has been
// prepared. It is refused when the payment was given up meanwhile.
func (p *Payment) Submit(attemptID string, adapter []byte, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptPreparing || p.CancelledBy != "" || !now.Before(p.ExpiresAt) || p.paidByOther(a) {
		return closed()
	}
	p.ask(a, Prompt{}, adapter)
	p.commit(a, now)
	p.UpdatedAt = now
	return nil
}

// ask notes what the bank wants of the payer now.
func (p *Payment) ask(a *Attempt, prompt Prompt, adapter []byte) {
	a.Prompt = prompt.Kind
	p.setPersonal(a.ID, func(ap *AttemptPersonal) {
		ap.Prompt = prompt
		if adapter != nil {
			ap.Adapter = adapter
		}
	})
}

func (p *Payment) mustBeOpenForPayer(now time.Time) error {
	switch {
	case p.State != StateAuthorizationRequired:
		return Fail(CodeConflict, "payment_not_open", "the payment is not waiting for a bank to be chosen")
	case !now.Before(p.ExpiresAt):
		return Fail(CodeConflict, "payment_expired", "the payment's time is over")
	}
	return nil
}

// Initiated records the bank's answer to the initiation. Once the payer holds
// the bank's link, or the bank's app has asked him, money is at risk; while he
// still has to answer through us, it is not. It is refused when the attempt was
// given up meanwhile: then nobody may get the link. An attempt at risk is never
// given up; a very late answer to it says how to ask for it, or that it is not
// at risk after all.
func (p *Payment) Initiated(attemptID, approach string, prompt Prompt, adapter []byte, now time.Time) error {
	a := p.Attempt(attemptID)
	late := a != nil && a.State == AttemptUnknown && a.TakenAt == nil
	if a == nil || a.State != AttemptSubmitting && !late {
		return closed()
	}
	a.Approach, a.TakenAt, p.UpdatedAt = approach, &now, now
	if late && !prompt.Kind.Relayed() {
		p.setPersonal(attemptID, func(ap *AttemptPersonal) { ap.Adapter = adapter })
		return nil
	}
	p.ask(a, prompt, adapter)
	ours := prompt.Kind.Relayed() || prompt.Kind == PromptRedirect && !a.RiskAtOnce // nobody can authorise it but through us
	if over := p.CancelledBy != "" || !now.Before(p.ExpiresAt) || p.paidByOther(a); over && ours {
		why := p.CancelledBy
		if why == "" {
			why = ReasonExpired
		}
		p.endAttempt(a, AttemptAbandoned, why, "", now)
		return nil
	}
	a.State = AttemptAuthorizing
	switch {
	case prompt.Kind.Relayed():
		a.AtRiskAt = nil
	case a.AtRiskAt == nil:
		a.AtRiskAt = &now
	}
	if late {
		p.State = StateAuthorizing
	}
	return nil
}

// Relaying commits the intent to relay the payer's answer to the prompt that
// the bank is waiting for: from now on money is at risk.
func (p *Payment) Relaying(attemptID string, kind PromptKind, now time.Time) error {
	a := p.Attempt(attemptID)
	switch {
	case a == nil || a.State != AttemptAuthorizing || p.CancelledBy != "":
		return closed()
	case !kind.Relayed() || a.Prompt != kind:
		return Fail(CodeConflict, "prompt_changed", "the bank is asking for something else by now")
	case !now.Before(p.ExpiresAt):
		return Fail(CodeConflict, "payment_expired", "the payment's time is over")
	}
	if a.AtRiskAt == nil {
		a.AtRiskAt = &now
	}
	p.UpdatedAt = now
	return nil
}

// Relayed records what the bank wants after an answer was relayed, or, when it
// certainly did not get the answer, what it still wants. adapter nil keeps the
// state. While the payer has yet to answer through us, no money can move.
func (p *Payment) Relayed(attemptID string, prompt Prompt, adapter []byte, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptAuthorizing {
		return closed()
	}
	p.ask(a, prompt, adapter)
	p.UpdatedAt = now
	switch {
	case prompt.Kind.Relayed():
		a.AtRiskAt = nil
	case prompt.Kind == PromptNone:
		p.Returned(attemptID, now) // his part is done
	}
	return nil
}

// RelayRefused records that the bank ended the authorisation: what the payer
// answered was wrong once too often.
func (p *Payment) RelayRefused(attemptID string, why FailureReason, code string, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptAuthorizing {
		return closed()
	}
	p.endAttempt(a, AttemptRefused, why, code, now)
	return nil
}

// CancelPrompt notes how the payer confirms at his bank that he wants to
// cancel.
func (p *Payment) CancelPrompt(attemptID string, prompt Prompt, adapter []byte, now time.Time) {
	if a := p.Attempt(attemptID); a != nil {
		p.setPersonal(attemptID, func(ap *AttemptPersonal) {
			ap.Cancel = prompt
			if adapter != nil {
				ap.Adapter = adapter
			}
		})
		p.UpdatedAt = now
	}
}

func (p *Payment) setPersonal(attemptID string, set func(*AttemptPersonal)) {
	if p.Personal.Attempts == nil {
		p.Personal.Attempts = map[string]AttemptPersonal{}
	}
	ap := p.Personal.Attempts[attemptID]
	set(&ap)
	p.Personal.Attempts[attemptID] = ap
}

// InitiationFailed records a definite no to the initiation, or to what comes
// before it: the order does not exist at the bank (refused, unreachable, or our
// request was wrong). Only the one caller hears that, so it counts even when he
// was given up for lost.
func (p *Payment) InitiationFailed(attemptID string, why FailureReason, code string, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptSubmitting && a.State != AttemptPreparing && !(a.State == AttemptUnknown && a.TakenAt == nil) {
		return closed()
	}
	p.endAttempt(a, AttemptRefused, why, code, now)
	return nil
}

// InitiationLost records that the answer to the initiation was lost. Before
// money is at risk the attempt is abandoned: nobody holds its link. After it,
// the outcome is unknown and nothing is sent again.
func (p *Payment) InitiationLost(attemptID string, now time.Time) error {
	a := p.Attempt(attemptID)
	if a == nil || a.State != AttemptSubmitting && a.State != AttemptPreparing {
		return closed()
	}
	if a.AtRiskAt != nil {
		a.AskedAt = &now // the call was the question
		p.toUnknown(a, now)
		return nil
	}
	p.endAttempt(a, AttemptAbandoned, ReasonBankUnavailable, "", now)
	return nil
}

// endAttempt closes an attempt by which no money moves. The payment waits for
// another try, unless its time is over or somebody cancelled it.
func (p *Payment) endAttempt(a *Attempt, s AttemptState, why FailureReason, code string, now time.Time) {
	stage := p.State
	a.State, a.Failure, a.BankReason, a.EndedAt = s, why, code, &now
	if p.paidByOther(a) {
		return // the other attempt leads
	}
	p.forgetSource()
	switch {
	case p.CancelledBy != "":
		p.fail(stage, p.CancelledBy, code, now)
	case !now.Before(p.ExpiresAt):
		if s == AttemptAbandoned {
			why = ReasonExpired
		}
		p.fail(stage, why, code, now)
	default:
		p.State, p.AuthorizedAt = StateAuthorizationRequired, nil
		p.emit(EventAttemptFailed, now)
	}
}

func (p *Payment) fail(stage State, why FailureReason, code string, now time.Time) {
	p.State, p.FailureStage, p.Failure, p.BankCode, p.FailedAt = StateFailed, stage, why, code, &now
	p.emit(EventFailed, now)
}

func (p *Payment) toUnknown(a *Attempt, now time.Time) {
	if a.State == AttemptUnknown {
		return
	}
	a.State = AttemptUnknown
	if p.paidByOther(a) {
		return // the other attempt leads
	}
	p.State, p.UnknownAt = StateOutcomeUnknown, &now
	p.emit(EventOutcomeUnknown, now)
}

// Cancel ends a payment by the payer's or the merchant's wish. When money is
// at risk it can only be asked for: askBank is true, and the caller asks the
// bank, reports a completed cancellation, and calls Lapse, which leaves the
// payment unknown if the bank could not be made to promise anything.
func (p *Payment) Cancel(by FailureReason, now time.Time) (askBank bool, err error) {
	a := p.Open()
	switch {
	case p.State == StateFailed && p.Failure == by:
		return false, nil // the same wish twice
	case p.State.Final() || p.State.MoneyMoved() || p.State == StateAuthorized:
		return false, Fail(CodeConflict, "payment_not_cancelable", "the payment can no longer be cancelled")
	case a == nil:
		p.fail(p.State, by, "", now)
		return false, nil
	}
	if p.CancelledBy == "" {
		p.CancelledBy, p.UpdatedAt = by, now
	}
	switch {
	case a.State == AttemptPreparing || a.State == AttemptAuthorizing && a.AtRiskAt == nil:
		p.endAttempt(a, AttemptAbandoned, by, "", now) // no order, or one that only we could have authorised
		return false, nil
	case a.AtRiskAt == nil:
		return false, nil // Initiated will see the wish
	}
	return true, nil
}

// Lapse ends what has run out of time. A payment nobody is paying fails. One
// at risk fails only when the bank's redirect has lapsed and the bank, asked
// after that, still has the order unauthorised; else it is unknown, because
// the payer may yet approve. submitTimeout is how long the initiation call can
// take at most: an older one has lost its caller.
func (p *Payment) Lapse(submitTimeout time.Duration, now time.Time) {
	a := p.Open()
	switch {
	case a != nil && a.calling(p):
		if now.Sub(a.calledAt()) >= submitTimeout {
			_ = p.InitiationLost(a.ID, now) // cannot fail: the attempt is submitting or preparing
		}
	case p.State.Final() || p.State.MoneyMoved():
	case a == nil:
		if !now.Before(p.ExpiresAt) {
			p.fail(p.State, ReasonExpired, "", now)
		}
	case a.AtRiskAt == nil:
		if !now.Before(p.ExpiresAt) {
			p.endAttempt(a, AttemptAbandoned, ReasonExpired, "", now)
		}
	case a.State == AttemptAuthorizing || a.State == AttemptUnknown:
		p.lapseAtRisk(a, now)
	}
}

// calling reports whether the attempt waits for the answer to a call of ours:
// one that never comes when our process died.
func (a *Attempt) calling(p *Payment) bool {
	return a.State == AttemptSubmitting || a.State == AttemptPreparing && p.Personal.Attempts[a.ID].Adapter == nil
}

func (a *Attempt) calledAt() time.Time {
	if a.SubmittedAt != nil {
		return *a.SubmittedAt
	}
	return a.StartedAt
}

func (p *Payment) lapseAtRisk(a *Attempt, now time.Time) {
	over := p.CancelledBy != "" || !now.Before(p.ExpiresAt)
	if !over {
		return
	}
	lapse, known := a.LapsesAt()
	switch {
	case known && (now.Before(lapse) || a.AskedAt == nil || a.AskedAt.Before(lapse)):
		return // soon decided: do not cry unknown for every abandoned checkout
	case known && a.AnsweredAt != nil && !a.AnsweredAt.Before(*a.AskedAt) && a.unused():
		p.endAttempt(a, AttemptAbandoned, ReasonExpired, "", now)
	default:
		p.toUnknown(a, now)
	}
}

// unused reports whether the bank last said that nobody authorised the order.
func (a *Attempt) unused() bool {
	return a.BankStatus == "RCVD" && a.SCAStatus != SCAFinalised && a.SCAStatus != SCAExempted && a.SCAStatus != SCAUnread
}

// JudgePayer records who held the paying account and decides whether the
// merchant may credit his player. check compares the holder with the player;
// it is only called when the holder is known. Call it after every Report.
func (p *Payment) JudgePayer(sourceID func(IBAN) string, check func(holder, player string) bool, now time.Time) {
	src := p.Personal.Source
	if src.IBAN != "" && p.SourceID == "" {
		p.SourceID = sourceID(src.IBAN)
	}
	if p.PayerCheck == PayerUnknown && src.Name != "" && p.Personal.Player.Name != "" {
		told := EventPayerMismatched
		p.PayerCheck = PayerMismatched
		if check(src.Name, p.Personal.Player.Name) {
			p.PayerCheck, told = PayerMatched, EventPayerChecked
		}
		p.emit(told, now)
	}
	if !p.State.MoneyMoved() || p.CreditableAt != nil || p.ReturnedAt != nil {
		return
	}
	switch {
	case p.PayerCheck == PayerMatched, p.PayerCheck == PayerWaived,
		p.PayerCheck == PayerUnknown && p.PayerPolicy == PayerOptional:
		p.CreditableAt = &now
		p.emit(EventCreditable, now)
	}
}
