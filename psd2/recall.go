package psd2

import "time"

// watchRecall is how long a recall's answer is asked for: 15 banking days and
// more (SCT Inst rulebook).
const watchRecall = 30 * 24 * time.Hour

func (r *TransferRecall) open() bool { return r != nil && r.State == RecallRequested }

// AskRecall records the merchant's wish to have an executed transfer back.
// There is one per transfer, within the scheme's time: ten banking days for
// duplicate and technical, thirteen months for the others.
func (t *Transfer) AskRecall(why RecallReason, now time.Time) error {
	switch {
	case why.Code() == "":
		return Invalid("reason", "recall_reason_unknown", "there is no such reason of a recall")
	case t.State != TransferExecuted || t.Decision.onlyWord(): // its bank has to have said so
		return Fail(CodeConflict, "transfer_not_recallable", "only an executed transfer can be recalled")
	case t.Recall != nil:
		return Fail(CodeConflict, "transfer_recalled", "the transfer was recalled before; there is one recall per transfer")
	case now.After(recallUntil(why, *t.ExecutedAt)):
		return Fail(CodeConflict, "recall_too_late", "the time to recall the transfer for this reason is over")
	}
	t.Recall = &TransferRecall{Reason: why, State: RecallRequested, RequestedAt: now}
	t.emit(happenedRecalled, now)
	return nil
}

func recallUntil(why RecallReason, executed time.Time) time.Time {
	if why == RecallDuplicate || why == RecallTechnical {
		return addBankingDays(executed, 10)
	}
	return executed.AddDate(0, 13, 0)
}

// SendRecall commits the intent to send the recall.
func (t *Transfer) SendRecall(now time.Time) error {
	if !t.Recall.open() || t.Recall.SentAt != nil {
		return Fail(CodeConflict, "transfer_recalled", "the recall was sent already")
	}
	t.Recall.SentAt = &now
	return nil
}

// RecallNotSent records that the recall certainly did not reach the bank: it
// may be sent again.
func (t *Transfer) RecallNotSent(now time.Time) {
	if t.Recall.open() {
		t.Recall.SentAt = nil
		t.Recall.RequestedAt = now.Add(time.Minute)
	}
}

// RecallAsked records a question about the recall that brought no decision.
func (t *Transfer) RecallAsked(now time.Time) {
	if t.Recall.open() {
		t.Recall.AskedAt = &now
	}
}

// RecallAnswered records the decision of the payee's bank; code is that of a
// refusal. That the money is back is told by CameBack alone.
func (t *Transfer) RecallAnswered(accepted bool, code string, now time.Time) {
	if !t.Recall.open() {
		return
	}
	t.Recall.AnsweredAt, t.Recall.AskedAt = &now, &now
	if accepted {
		t.Recall.State, t.UpdatedAt = RecallAccepted, now
		return
	}
	t.Recall.State, t.Recall.BankCode = RecallRefused, code
	t.emit(happenedRecallRefused, now)
}

// DueAt is until when the other bank may expect the answer to its recall: 15
// banking days from when it was received (SCT Inst rulebook).
func (n RecallNotice) DueAt() time.Time { return addBankingDays(n.ReceivedAt, 15) }

// addBankingDays counts days on which TARGET settles, from the day after.
func addBankingDays(from time.Time, days int) time.Time {
	for t := from; ; {
		if t = t.AddDate(0, 0, 1); isBankingDay(t) {
			days--
		}
		if days == 0 {
			return t
		}
	}
}

// isBankingDay reports whether TARGET is open: Monday to Friday but for New
// Year, Good Friday, Easter Monday, 1 May, 25 and 26 December.
func isBankingDay(t time.Time) bool {
	if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
		return false
	}
	switch t.Format("01-02") {
	case "01-01", "05-01", "12-25", "12-26":
		return false
	}
	fromEaster := t.YearDay() - easter(t.Year()).YearDay()
	return fromEaster != -2 && fromEaster != 1
}

// easter is Easter Sunday (Gregorian; the anonymous algorithm of 1876).
func easter(year int) time.Time {
	a, b, c := year%19, year/100, year%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return time.Date(year, time.Month(n/31), n%31+1, 0, 0, 0, 0, time.UTC)
}
