package hub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

const (
	transferLease = "transfers"
	// A gate that waits is asked again soon, and less and less often.
	gateAgain  = 50 * time.Millisecond
	gateSeldom = time.Second
	vopFresh   = time.Hour // after that a payee's name is checked again before money is sent
)

// publicReasons are what a gate may let a merchant know.
var publicReasons = []psd2.FailureReason{psd2.ReasonOwnAccountRequired, psd2.ReasonKYCRequired, psd2.ReasonLimitExceeded}

// StepTransfers sends and follows a bounded number of refunds and payouts. One
// process at a time does it; that each is sent once is held by the transfer
// itself.
func (h *Hub) StepTransfers(ctx context.Context, now time.Time) (time.Time, error) {
	idle := now.Add(time.Second)
	ids, next, err := h.store.DueTransfers(ctx, now, followBatch)
	if err != nil {
		return idle, err
	}
	if len(ids) == 0 {
		if next.IsZero() || next.After(idle) {
			next = idle // other processes create transfers too
		}
		return next, nil
	}
	_, held, err := h.own(ctx, transferLease, followTTL)
	if err != nil || !held {
		return idle, err
	}
	waiting, err := h.each(ctx, ids, h.carryIn, h.store.PostponeTransfer)
	if h.gateWaits.Swap(false) {
		idle = now.Add(gateAgain)
	}
	switch {
	case err != nil:
		return idle, err
	case len(ids) < followBatch:
		return idle, nil
	case waiting:
		return now.Add(askAgain / 10), nil
	}
	return now, nil
}

// carryIn takes one transfer on when its channel has room, else puts it off.
func (h *Hub) carryIn(ctx context.Context, id string) error {
	t, err := h.store.Transfer(ctx, id)
	if err != nil {
		return err
	}
	channel := h.channels[t.AccountID]
	if channel == nil {
		return errors.New("transfer: its account has no channel in this process")
	}
	leave, ok := h.enter("channel/" + t.AccountID)
	if !ok {
		return h.store.PostponeTransfer(ctx, id, h.store.Now().Add(askAgain))
	}
	defer leave()
	switch {
	case t.Unsent():
		return h.send(ctx, channel, t)
	case t.State == psd2.TransferExecuted && t.Recall != nil:
		return h.pursue(ctx, channel, t)
	}
	return h.inquire(ctx, channel, t)
}

// callChannel is call for a channel, which counts as a bank of its own.
func (h *Hub) callChannel(ctx context.Context, c banks.Channel, what string, do func(context.Context) error) error {
	return h.call(ctx, &psd2.Attempt{BankID: c.ChannelInfo().ID}, what, do)
}

// change commits what happened to a transfer.
func (h *Hub) change(ctx context.Context, t *psd2.Transfer, fn func(*psd2.Transfer, time.Time) error) (*psd2.Transfer, error) {
	before, wrong := t.State, contradicted(t)
	t, err := h.store.UpdateTransfer(context.WithoutCancel(ctx), t.ID, func(t *psd2.Transfer) error { return fn(t, h.store.Now()) })
	if err == nil && t.State != before {
		h.countedTransfer(t)
	}
	if err == nil {
		h.contradictions(t.ID, contradicted(t)-wrong)
	}
	return t, err
}

// send checks the payee, asks the gate, commits the intent and then makes the
// one call that moves money. Whoever commits the intent makes the call, so two
// processes cannot both. The gate is asked also about a payee whose bank says
// that he is somebody else: the officers have to learn of it.
func (h *Hub) send(ctx context.Context, c banks.Channel, t *psd2.Transfer) error {
	t, err := h.verify(ctx, t)
	if err != nil || !t.Unsent() {
		return err
	}
	at := h.newBeat()
	decision, why := h.mayPayOut(ctx, t)
	switch {
	case decision == psd2.GateReleased:
		decision = psd2.GateAllow
	case decision == psd2.GateAllow && someoneElses(t):
		decision, why = psd2.GateRefuse, psd2.ReasonOwnAccountRequired
	}
	switch decision {
	case psd2.GateWait:
		h.gateWaits.Store(true)
		now := h.store.Now()
		return h.store.PostponeTransfer(ctx, t.ID, now.Add(min(max(now.Sub(t.CreatedAt)/10, gateAgain), gateSeldom)))
	case psd2.GateRefuse:
		at.commit(ctx)
	}
	t, err = h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error {
		switch decision {
		case psd2.GateAllow:
			return t.Submit(c.ChannelInfo().Dedup, now)
		case psd2.GateRefuse:
			t.Refuse(why, false, now)
		default:
			t.Hold(now)
		}
		return nil
	})
	if decision != psd2.GateAllow || err != nil {
		return ignoreClosed(err) // sent by somebody else meanwhile
	}
	answer, callErr := h.pay(ctx, c, t)
	_, err = h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error {
		h.paid(t, c.ChannelInfo().ID, answer, callErr, now)
		return nil
	})
	return err
}

// mayPayOut asks the gate; what it does not clearly allow waits.
func (h *Hub) mayPayOut(ctx context.Context, t *psd2.Transfer) (psd2.GateDecision, psd2.FailureReason) {
	if h.gate == nil {
		return psd2.GateAllow, ""
	}
	decision, public, err := h.gate.MayPayOut(ctx, t.Facts())
	if err != nil {
		h.log.Error("compliance could not be asked; the transfer waits", "transfer", t.ID, "error", err.Error())
		return psd2.GateHold, ""
	}
	why := psd2.FailureReason(public)
	if !slices.Contains(publicReasons, why) {
		why = psd2.ReasonPaymentNotPossible
	}
	return decision, why
}

// verify asks the payee's bank before a payout; the evidence is kept. A payout
// whose payee could not be verified ends here; one to somebody else is the
// gate's to judge first.
func (h *Hub) verify(ctx context.Context, t *psd2.Transfer) (*psd2.Transfer, error) {
	v := t.Personal.VoP
	if h.vop == nil || t.Kind != psd2.KindPayout || v != nil && h.store.Now().Sub(v.CheckedAt) < vopFresh {
		return t, nil
	}
	result, err := h.vop.Verify(ctx, t.Personal.Payee)
	if err != nil || result.Match == "" {
		result = psd2.VoPResult{Match: psd2.MatchNotPossible}
	}
	if result.CheckedAt.IsZero() {
		result.CheckedAt = h.store.Now()
	}
	return h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error {
		t.Verified(result)
		if why, retryable := unverified(t, result); retryable {
			t.Refuse(why, true, now)
		}
		return nil
	})
}

// unverified says why a payout must not be sent by what the payee's bank says.
// An account that the player has paid in from needs no more proof than that no
// bank contradicts it.
func unverified(t *psd2.Transfer, r psd2.VoPResult) (why psd2.FailureReason, retryable bool) {
	proven := t.SourceID != ""
	switch {
	case r.Match == psd2.MatchExact:
	case r.Match == psd2.MatchClose && (proven || SameHolder(r.MatchedName, t.Personal.Player.Name)):
	case r.Match == psd2.MatchNotPossible && proven:
	case r.Match == psd2.MatchNotPossible:
		return psd2.ReasonBankUnavailable, true
	default:
		return psd2.ReasonOwnAccountRequired, false
	}
	return "", false
}

// someoneElses reports whether the payee's bank knows another holder than the
// player.
func someoneElses(t *psd2.Transfer) bool {
	v := t.Personal.VoP
	if v == nil || t.Kind != psd2.KindPayout {
		return false
	}
	why, _ := unverified(t, *v)
	return why == psd2.ReasonOwnAccountRequired
}

// pay makes the one call. It is not made when the order differs from what was
// committed, nor when this process has slept since.
func (h *Hub) pay(ctx context.Context, c banks.Channel, t *psd2.Transfer) (answer banks.TransferStatus, err error) {
	order := banks.Transfer{
		MessageID: t.MessageID, EndToEndID: t.EndToEndID, RequestID: psd2.NewUUID(h.now(), h.random), TraceID: psd2.TraceOf(ctx),
		CreatedAt: *t.SubmittedAt, Amount: t.Amount, Creditor: t.Personal.Payee, Remittance: t.Personal.Reference,
	}
	switch { // the last thing before the call
	case !t.AsCommitted():
		h.log.Error("an order differs from what was committed; it is not sent", "transfer", t.ID)
		return answer, errNotAsCommitted
	case h.tooLate(*t.SubmittedAt):
		return answer, errTooLate
	}
	err = h.callChannel(ctx, c, "pay", func(call context.Context) (err error) {
		answer, err = c.Pay(call, order)
		return err
	})
	return answer, err
}

// duplicate codes say that the bank has seen the order before. We send once,
// so something between us and the bank sent it twice, and the first may have
// been taken.
var duplicate = []string{"AM05", "DUPL", "DU01", "DU02", "DU03", "DU04", "DU05"}

// paid applies the answer to the one call.
func (h *Hub) paid(t *psd2.Transfer, channel string, s banks.TransferStatus, callErr error, now time.Time) {
	be := asBankError(callErr)
	rejected := callErr != nil && (be.Kind == banks.Refused || be.Kind == banks.BadRequest)
	switch {
	case callErr == nil && !(psd2.StandingOf(s.Status) == psd2.StandingRefused && slices.Contains(duplicate, s.Reason)):
		h.understood(t, channel, s, now)
	case rejected && !slices.Contains(duplicate, be.Code):
		t.Rejected(be.Code, now)
	case callErr != nil && be.Kind == banks.Unavailable:
		t.NotSent(be.Code, now)
	default:
		t.Lost(now)
	}
}

func (h *Hub) understood(t *psd2.Transfer, channel string, s banks.TransferStatus, now time.Time) {
	odd := t.Odd
	if !t.Report(s.Status, s.Reason, h.cfg.Patience, now) {
		h.metrics.unknown.WithLabelValues(channel, code(s.Status)).Inc()
	}
	if t.Odd > odd {
		h.metrics.odd.WithLabelValues(channel).Inc()
		h.log.Error("bank contradicts itself", "bank", channel, "transfer", t.ID, "status", code(s.Status))
	}
}

// inquire asks the bank what became of an order, by our own references.
func (h *Hub) inquire(ctx context.Context, c banks.Channel, t *psd2.Transfer) error {
	channel := c.ChannelInfo().ID
	var answer banks.TransferStatus
	callErr := h.callChannel(ctx, c, "find", func(call context.Context) (err error) {
		answer, err = c.Find(call, banks.TransferRef{
			MessageID: t.MessageID, EndToEndID: t.EndToEndID, RequestID: psd2.NewUUID(h.now(), h.random), TraceID: psd2.TraceOf(ctx),
		})
		return err
	})
	_, err := h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error {
		switch {
		case callErr == nil:
			h.understood(t, channel, answer, now)
		case asBankError(callErr).Kind == banks.NotFound:
			t.NotFound(h.cfg.NeverReceivedAfter, now)
		default:
			t.Silent(h.cfg.Patience, now)
		}
		t.Lapse(h.cfg.SubmitTimeout(), now)
		return nil
	})
	return err
}

// pursue sends a recall, once, and asks for its answer.
func (h *Hub) pursue(ctx context.Context, c banks.Channel, t *psd2.Transfer) error {
	ask, what := c.RecallStatus, "recall_status"
	if t.Recall.SentAt == nil {
		ask, what = c.Recall, "recall"
		var err error
		if t, err = h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error { return t.SendRecall(now) }); err != nil {
			return ignoreClosed(err)
		}
	}
	var answer banks.RecallStatus
	callErr := h.callChannel(ctx, c, what, func(call context.Context) (err error) {
		answer, err = ask(call, banks.Recall{
			ID: psd2.NewRecallID(t.ID), RequestID: psd2.NewUUID(h.now(), h.random), TraceID: psd2.TraceOf(ctx),
			MessageID: t.MessageID, EndToEndID: t.EndToEndID, Amount: t.Amount, Reason: t.Recall.Reason.Code(),
		})
		return err
	})
	_, err := h.change(ctx, t, func(t *psd2.Transfer, now time.Time) error {
		kind := banks.Kind("")
		if callErr != nil {
			kind = asBankError(callErr).Kind
		}
		switch {
		case kind == banks.Unavailable && what == "recall", kind == banks.NotFound && what == "recall_status":
			t.RecallNotSent(now)
		case kind == banks.Refused || kind == banks.BadRequest:
			t.RecallAnswered(false, asBankError(callErr).Code, now)
		case callErr == nil && answer.State == "accepted":
			t.RecallAnswered(true, "", now)
		case callErr == nil && answer.State == "refused":
			t.RecallAnswered(false, answer.Reason, now)
		default:
			t.RecallAsked(now)
		}
		return nil
	})
	return err
}
