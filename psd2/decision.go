package psd2

import "time"

// Verdict is what operators decide of an order whose bank does not say what
// became of it. It takes two of them; psd2/hub holds that.
type Verdict string

// Verdicts.
const (
	VerdictExecuted    Verdict = "executed"
	VerdictNotExecuted Verdict = "not_executed"
)

// Verdicts lists them all.
var Verdicts = []Verdict{VerdictExecuted, VerdictNotExecuted}

// OperatorDecision is the operators' word about one order. It stands in for the
// bank's until the bank gives its own, which is believed whenever it comes.
type OperatorDecision struct {
	ID      string    `json:"id"` // dec_…
	Verdict Verdict   `json:"verdict"`
	At      time.Time `json:"at"`
	Bank    BankWord  `json:"bank,omitempty"` // what it has said since
}

// BankWord is what a bank has said of an order after operators decided it.
type BankWord string

// Words.
const (
	BankConfirmed    BankWord = "confirmed"
	BankContradicted BankWord = "contradicted"
)

// heard notes the bank's own first word.
func (d *OperatorDecision) heard(executed bool) {
	if d == nil || d.Bank != "" {
		return
	}
	if d.Bank = BankContradicted; executed == (d.Verdict == VerdictExecuted) {
		d.Bank = BankConfirmed
	}
}

// onlyWord reports whether nothing but the operators' word says that money
// moved.
func (d *OperatorDecision) onlyWord() bool {
	return d != nil && d.Verdict == VerdictExecuted && d.Bank == ""
}

// Contradicted reports whether the bank has said the opposite.
func (d *OperatorDecision) Contradicted() bool { return d != nil && d.Bank == BankContradicted }

// watch is how long the bank is asked on: what only operators have said is
// asked about as long as if it were unknown.
func (d *OperatorDecision) watch(usual time.Duration) time.Duration {
	if d != nil && d.Bank == "" {
		return watchUnknown
	}
	return usual
}

// known is the refusal to decide what needs no decision.
func known() error {
	return Fail(CodeConflict, "outcome_known", "the outcome is no longer unknown: there is nothing to decide")
}

// Undecided is the attempt whose outcome operators may decide, nil when there
// is none, and since when it is unknown.
func (p *Payment) Undecided() (a *Attempt, since time.Time) {
	a = p.Open()
	if a == nil || a.State != AttemptUnknown || p.State != StateOutcomeUnknown {
		return nil, since
	}
	if p.UnknownAt == nil { // unknown since before this was kept
		return a, p.UpdatedAt
	}
	return a, *p.UnknownAt
}

// Decide applies a decision to the attempt it was made for.
func (p *Payment) Decide(attemptID, decisionID string, v Verdict, now time.Time) error {
	a, _ := p.Undecided()
	if a == nil || a.ID != attemptID {
		return known()
	}
	a.Decision = &OperatorDecision{ID: decisionID, Verdict: v, At: now}
	if v == VerdictExecuted {
		p.advance(a, StandingExecuted, now)
		return nil
	}
	p.endAttempt(a, AttemptAbandoned, ReasonBankUnavailable, "", now)
	return nil
}

// retract takes back what only operators had said: the bank says that it never
// executed the order.
func (p *Payment) retract(a *Attempt) {
	a.State, a.EndedAt = AttemptUnknown, nil
	if p.paidByOther(a) {
		return
	}
	p.State, p.ExecutedAt, p.CreditableAt = StateOutcomeUnknown, nil, nil
}

// Contradictions counts the payment's decisions that its bank contradicts.
func (p *Payment) Contradictions() (n int) {
	for i := range p.Attempts {
		if p.Attempts[i].Decision.Contradicted() {
			n++
		}
	}
	return n
}

// Decide applies a decision about an order whose outcome is unknown.
func (t *Transfer) Decide(decisionID string, v Verdict, now time.Time) error {
	if t.State != TransferUnknown {
		return known()
	}
	t.Decision = &OperatorDecision{ID: decisionID, Verdict: v, At: now}
	if v == VerdictExecuted {
		t.executed(now)
		return nil
	}
	t.fail(ReasonBankUnavailable, "", true, now)
	return nil
}

// retract takes back what only operators had said.
func (t *Transfer) retract() {
	if t.State == TransferExecuted && t.Decision.onlyWord() {
		t.State, t.ExecutedAt = TransferUnknown, nil
	}
}
