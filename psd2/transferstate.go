package psd2

import "time"

// What happens to a transfer, as the second half of its events' types:
// "refund.executed". Only those in MerchantEvents are told by webhook.
const (
	happenedCreated       = "created"
	happenedAuthorized    = "authorized"
	happenedExecuted      = "executed"
	happenedFailed        = "failed"
	happenedUnknown       = "outcome_unknown"
	happenedReturned      = "returned"
	happenedRecalled      = "recalled"
	happenedRecallRefused = "recall_refused"
)

// holdAgain is how soon a held transfer is brought before compliance again.
const holdAgain = time.Minute

// Create finishes a new transfer: its references, first state, first event.
func (t *Transfer) Create(now time.Time) {
	t.State, t.CreatedAt, t.UpdatedAt = TransferPending, now, now
	t.MessageID, t.EndToEndID = NewMessageID(t.ID), NewEndToEndID(t.ID)
	t.emit(happenedCreated, now)
}

// Unsent reports whether nothing has been done yet that could move money.
func (t *Transfer) Unsent() bool { return t.State == TransferPending && t.SubmittedAt == nil }

// Hold lets an unsent transfer wait. No event and nothing in its view says so.
func (t *Transfer) Hold(now time.Time) {
	if !t.Unsent() {
		return
	}
	if t.HeldAt == nil {
		t.HeldAt = &now
	}
	again := now.Add(holdAgain)
	t.LookAt = &again
}

// Reconsider brings a held transfer before compliance at once.
func (t *Transfer) Reconsider(now time.Time) {
	if t.Unsent() {
		t.LookAt = &now
	}
}

// Refuse ends an unsent transfer: nothing was sent and nothing will be.
// retryable says that another one may succeed.
func (t *Transfer) Refuse(why FailureReason, retryable bool, now time.Time) {
	if t.Unsent() {
		t.fail(why, "", retryable, now)
	}
}

// Verified keeps the evidence that the payee's name was checked.
func (t *Transfer) Verified(r VoPResult) {
	if t.Unsent() {
		t.Personal.VoP = &r
	}
}

// Submit commits the intent to send the order: once. dedup is how long the
// bank recognises it.
func (t *Transfer) Submit(dedup time.Duration, now time.Time) error {
	if !t.Unsent() {
		return Fail(CodeConflict, "transfer_submitted", "the transfer was sent already")
	}
	t.SubmittedAt, t.Dedup, t.UpdatedAt, t.LookAt = &now, dedup, now, nil
	t.Personal.OrderHash = t.orderHash()
	return nil
}

// AsCommitted reports whether the order is still the one that was committed;
// any other must not be sent.
func (t *Transfer) AsCommitted() bool {
	return t.SubmittedAt != nil && t.Personal.OrderHash == t.orderHash()
}

// NotSent records that the call certainly did not reach the bank.
func (t *Transfer) NotSent(code string, now time.Time) {
	if t.inDoubt() && t.TakenAt == nil {
		t.fail(ReasonBankUnavailable, code, true, now)
	}
}

// Rejected records the bank's final no to the call.
func (t *Transfer) Rejected(code string, now time.Time) {
	if t.inDoubt() {
		t.fail(transferReason(code), code, false, now)
	}
}

// Lost records that nobody knows whether the bank took the order.
func (t *Transfer) Lost(now time.Time) {
	if t.inDoubt() {
		t.toUnknown(now)
	}
}

// inDoubt reports whether the order may have been sent and has no end yet.
func (t *Transfer) inDoubt() bool {
	return t.SubmittedAt != nil && (t.State == TransferPending || t.State == TransferAuthorized || t.State == TransferUnknown)
}

func (t *Transfer) fail(why FailureReason, code string, retryable bool, now time.Time) {
	t.State, t.Failure, t.BankCode, t.Retryable, t.FailedAt, t.LookAt = TransferFailed, why, code, retryable, &now, nil
	t.emit(happenedFailed, now)
}

func (t *Transfer) toUnknown(now time.Time) {
	if t.State == TransferUnknown {
		return
	}
	t.State, t.UnknownAt = TransferUnknown, &now
	t.emit(happenedUnknown, now)
}

// Report applies the bank's word about the order, raw codes as in pain.002. It
// never goes back, except that executed money is believed even of a transfer
// given up. patience is how long an accepted instant transfer may stay without
// its confirmation. It reports false when the code was not understood.
func (t *Transfer) Report(status, reason string, patience time.Duration, now time.Time) (understood bool) {
	if t.SubmittedAt == nil {
		t.Odd++ // an order that we never sent
		return true
	}
	t.AskedAt, t.BankStatus = &now, status
	if t.TakenAt == nil {
		t.TakenAt = &now
	}
	standing := StandingOf(status)
	switch standing {
	case StandingAuthorized:
		t.accepted(now)
	case StandingExecuted, StandingSettled:
		t.Decision.heard(true)
		t.executed(now)
	case StandingRefused, StandingCanceled:
		t.refused(reason, now)
	}
	if t.inDoubt() && now.Sub(*t.SubmittedAt) >= patience {
		t.toUnknown(now) // confirmed within ten seconds, or open (Reg. 260/2012 Art. 5a)
	}
	return standing != StandingKeep
}

func (t *Transfer) accepted(now time.Time) {
	switch t.State {
	case TransferPending:
		t.State = TransferAuthorized
		t.AuthorizedAt = &now
		t.emit(happenedAuthorized, now)
	case TransferExecuted, TransferReturned, TransferFailed:
		if !t.Decision.onlyWord() { // it may still be under way: that contradicts nobody
			t.Odd++
		}
	}
}

func (t *Transfer) refused(code string, now time.Time) {
	t.retract()
	t.Decision.heard(false)
	switch t.State {
	case TransferExecuted, TransferReturned:
		t.Odd++
	case TransferFailed:
		t.Retryable = false // it had arrived after all, and was refused
	default:
		t.fail(transferReason(code), code, false, now)
	}
}

// executed believes money that moved, whatever was thought before.
func (t *Transfer) executed(now time.Time) {
	switch t.State {
	case TransferExecuted, TransferReturned:
		return
	case TransferFailed:
		if !t.Decision.Contradicted() { // then it was not the bank that said otherwise
			t.Odd++
		}
		t.FailedAt, t.Failure, t.BankCode, t.Retryable = nil, "", "", false
	}
	t.State = TransferExecuted
	if t.AuthorizedAt == nil {
		t.AuthorizedAt = &now
		t.emit(happenedAuthorized, now)
	}
	t.ExecutedAt = &now
	t.emit(happenedExecuted, now)
}

// Booked believes the statement: our account was debited with this order.
func (t *Transfer) Booked(now time.Time) {
	if t.SubmittedAt == nil {
		t.Odd++
		return
	}
	if t.TakenAt == nil {
		t.TakenAt = &now
	}
	t.Decision.heard(true)
	t.executed(now)
}

// CameBack records that the money was returned and credited back (pacs.004);
// code says why, e.g. AC04, or FOCR after a recall.
func (t *Transfer) CameBack(code string, now time.Time) {
	if t.SubmittedAt == nil || t.State == TransferReturned {
		t.Odd++
		return
	}
	t.Decision.heard(true)
	t.executed(now) // what came back had gone
	if r := t.Recall; r != nil && r.State != RecallAccepted {
		r.State, r.AnsweredAt = RecallAccepted, &now
	}
	t.State, t.ReturnedAt, t.ReturnReason = TransferReturned, &now, code
	t.emit(happenedReturned, now)
}

// NotFound records that the bank does not know the order. Only of an order
// that was never acknowledged, after patience and while the bank would still
// recognise it, this proves that it never arrived: then it has failed and the
// merchant may make a new one. Once the bank's memory is over it proves
// nothing; only a statement or an operator can tell.
func (t *Transfer) NotFound(patience time.Duration, now time.Time) {
	if t.SubmittedAt != nil && t.TakenAt == nil && now.Sub(*t.SubmittedAt) >= patience && now.Sub(*t.SubmittedAt) < t.Dedup {
		t.retract()
		t.Decision.heard(false)
	}
	if !t.inDoubt() {
		if t.SubmittedAt != nil {
			t.AskedAt = &now
		}
		return
	}
	t.AskedAt = &now
	since := now.Sub(*t.SubmittedAt)
	switch {
	case since < patience:
		return // it may still be on its way
	case t.TakenAt == nil && since < t.Dedup:
		t.fail(ReasonBankUnavailable, "", true, now)
	default:
		t.toUnknown(now)
	}
}

// Silent records that the bank did not answer the question.
func (t *Transfer) Silent(patience time.Duration, now time.Time) {
	if t.SubmittedAt == nil {
		return
	}
	t.AskedAt = &now
	if t.inDoubt() && now.Sub(*t.SubmittedAt) >= patience {
		t.toUnknown(now)
	}
}

// Lapse ends the wait for an answer whose caller has died.
func (t *Transfer) Lapse(submitTimeout time.Duration, now time.Time) {
	if t.calling() && now.Sub(*t.SubmittedAt) >= submitTimeout {
		t.toUnknown(now)
	}
}

// calling reports whether the one call may still be under way.
func (t *Transfer) calling() bool {
	return t.State == TransferPending && t.SubmittedAt != nil && t.TakenAt == nil
}

// transferReason is why our own bank refused, in words a merchant may act on.
// Nobody authorises a transfer but the merchant, so the payer's reasons mean
// no more than a refusal.
func transferReason(code string) FailureReason {
	switch why := ReasonOf(code); why {
	case ReasonPayerRejected, ReasonExpired, ReasonAuthenticationFailed:
		return ReasonBankRejected
	default:
		return why
	}
}

// Times of questions about a transfer that its bank has, and watches.
var (
	watchUnsent = []time.Duration{time.Hour, 6 * time.Hour}
	pollRecall  = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}
)

// NextStep says when background work should look at the transfer again, and
// whether at all. submitTimeout is as in Lapse.
func (t *Transfer) NextStep(submitTimeout time.Duration) (time.Time, bool) {
	switch {
	case t.Unsent() && t.LookAt != nil:
		return *t.LookAt, true
	case t.Unsent():
		return t.CreatedAt, true
	case t.calling():
		return t.SubmittedAt.Add(submitTimeout), true
	case t.State == TransferUnknown:
		return nextPoll(pollUnknown, *t.UnknownAt, t.AskedAt, watchUnknown)
	case t.inDoubt():
		return nextPoll(pollAfterReturn, *t.SubmittedAt, t.AskedAt, watchUnknown)
	case t.Recall.open():
		if t.Recall.SentAt == nil {
			return t.Recall.RequestedAt, true
		}
		return nextPoll(pollRecall, *t.Recall.SentAt, t.Recall.AskedAt, watchRecall)
	case t.State == TransferExecuted && t.Decision.onlyWord():
		return nextPoll(watchUnsent, *t.ExecutedAt, t.AskedAt, watchUnknown)
	case t.State == TransferFailed && t.SubmittedAt != nil && t.Retryable: // it must not turn up after all
		return nextPoll(watchUnsent, *t.FailedAt, t.AskedAt, t.Decision.watch(watchFailed))
	}
	return time.Time{}, false
}
