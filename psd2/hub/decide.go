package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Operator is a person who is signed in. psd2/ops says who it is; nobody else
// may propose or approve.
type Operator struct {
	ID   string // usr_…
	Name string
}

// Question is an order whose bank does not say what became of it.
type Question struct {
	ObjectID   string // pay_…, ref_… or pot_…
	EndToEndID string
	MerchantID string
	BankID     string // of a deposit
	AccountID  string // of the merchant: paid to by a deposit, paying a transfer
	Amount     psd2.Money
	Since      time.Time // unknown since
	// DecidableAt is when operators may decide it: until then only the bank can.
	DecidableAt time.Time
	Proposal    *Decision // the open one, if there is
}

// Draft is what somebody proposes.
type Draft struct {
	ObjectID string
	Verdict  psd2.Verdict
	Reason   string // why, 10 to 500 characters
	Evidence string // where it can be seen, 3 to 200 characters, e.g. a statement's reference
}

const (
	minReason, maxReason     = 10, 500
	minEvidence, maxEvidence = 3, 200
)

// Undecided lists orders whose outcome is unknown, oldest first, up to limit
// deposits and as many transfers.
func (h *Hub) Undecided(ctx context.Context, limit int) ([]Question, error) {
	deposits, transfers, err := h.store.Unknown(ctx, limit)
	if err != nil {
		return nil, err
	}
	open, err := h.openDecisions(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Question, 0, len(deposits)+len(transfers))
	add := func(q *Question) {
		if q == nil {
			return
		}
		if d, ok := open[q.EndToEndID]; ok {
			q.Proposal = &d
		}
		list = append(list, *q)
	}
	for _, p := range deposits {
		add(h.aboutPayment(p))
	}
	for _, t := range transfers {
		add(h.aboutTransfer(t))
	}
	slices.SortStableFunc(list, func(a, b Question) int { return a.Since.Compare(b.Since) })
	return list, nil
}

func (h *Hub) aboutPayment(p *psd2.Payment) *Question {
	a, since := p.Undecided()
	if a == nil {
		return nil
	}
	return &Question{ObjectID: p.ID, EndToEndID: a.EndToEndID, MerchantID: p.MerchantID, BankID: a.BankID, AccountID: p.PayeeAccountID,
		Amount: p.Amount, Since: since, DecidableAt: since.Add(h.cfg.DecideAfter)}
}

func (h *Hub) aboutTransfer(t *psd2.Transfer) *Question {
	if t.State != psd2.TransferUnknown {
		return nil
	}
	return &Question{ObjectID: t.ID, EndToEndID: t.EndToEndID, MerchantID: t.MerchantID, AccountID: t.AccountID,
		Amount: t.Amount, Since: *t.UnknownAt, DecidableAt: t.UnknownAt.Add(h.cfg.DecideAfter)}
}

// Question is what there is to decide about a payment or transfer; nil when
// nothing is.
func (h *Hub) Question(ctx context.Context, objectID string) (*Question, error) {
	q, _, err := h.question(ctx, objectID)
	if err != nil || q == nil {
		return nil, err
	}
	list, err := h.Decisions(ctx, objectID)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if d := &list[i]; d.End == nil && d.EndToEndID == q.EndToEndID {
			q.Proposal = d
		}
	}
	return q, nil
}

func (h *Hub) question(ctx context.Context, objectID string) (q *Question, personID string, err error) {
	if psd2.IsID(psd2.PrefixPayment, objectID) {
		p, err := h.store.Payment(ctx, objectID)
		if err != nil {
			return nil, "", err
		}
		return h.aboutPayment(p), p.PersonID, nil
	}
	t, err := h.AnyTransfer(ctx, objectID)
	if err != nil {
		return nil, "", err
	}
	return h.aboutTransfer(t), t.PersonID, nil
}

// AnyTransfer loads a refund or payout of whatever merchant, for operators.
func (h *Hub) AnyTransfer(ctx context.Context, id string) (*psd2.Transfer, error) {
	if !psd2.IsID(psd2.PrefixRefund, id) && !psd2.IsID(psd2.PrefixPayout, id) {
		return nil, psd2.NotFound("transfer")
	}
	return h.store.Transfer(ctx, id)
}

// Propose writes down what one person wants to decide. It changes nothing yet.
// While another proposal about the order waits it fails with *Overtaken.
func (h *Hub) Propose(ctx context.Context, by Operator, d Draft) (*Decision, error) {
	if err := checkDraft(by, &d); err != nil {
		return nil, err
	}
	q, person, err := h.question(ctx, d.ObjectID)
	switch {
	case err != nil:
		return nil, err
	case q == nil:
		return nil, psd2.Fail(psd2.CodeConflict, "outcome_known", "the outcome is no longer unknown: there is nothing to decide")
	case h.store.Now().Before(q.DecidableAt):
		return nil, psd2.Fail(psd2.CodeConflict, "decision_too_early", "the bank still has time to answer; nothing can be decided yet")
	}
	var made *Decision
	err = h.store.Tx(ctx, func(tx *store.Tx) (err error) {
		made, err = h.addProposal(tx, by, d, q, person)
		return err
	})
	return made, h.ended(err, "proposed", d.Verdict)
}

// Approve carries a proposal out; whoever made it cannot. The order is marked
// as decided in the same transaction, and only while its bank still has not
// answered. Of two who approve or return it, the later gets *Overtaken.
func (h *Hub) Approve(ctx context.Context, by Operator, decisionID string) error {
	return h.end(ctx, by, decisionID, outcomeApproved, "")
}

// Return sends a proposal back without carrying it out; remark says why.
func (h *Hub) Return(ctx context.Context, by Operator, decisionID, remark string) error {
	remark = strings.TrimSpace(remark)
	if err := checkLength("remark", remark, minReason, maxReason); err != nil {
		return err
	}
	return h.end(ctx, by, decisionID, outcomeReturned, remark)
}

func (h *Hub) end(ctx context.Context, by Operator, decisionID, outcome, remark string) error {
	if by.ID == "" {
		return errNobody()
	}
	var d *Decision
	err := h.store.Tx(ctx, func(tx *store.Tx) (err error) {
		var person string
		if d, person, err = h.proposal(tx, decisionID); err != nil {
			return err
		}
		if d.By.ID == by.ID {
			return psd2.Fail(psd2.CodeForbidden, "four_eyes", "a proposal is approved or returned by somebody else than who made it")
		}
		if err := h.addEnd(tx, by, d, person, outcome, remark); err != nil || outcome == outcomeReturned {
			return err
		}
		return h.carryOut(tx, d)
	})
	if err = h.ended(err, outcome, verdictOf(d)); err == nil {
		h.log.Info("an unknown outcome was decided", "object", d.ObjectID, "decision", d.ID, "outcome", outcome, "verdict", string(d.Verdict))
	}
	return err
}

func verdictOf(d *Decision) psd2.Verdict {
	if d == nil {
		return ""
	}
	return d.Verdict
}

// carryOut applies an approved decision to its order. Nothing is sent.
func (h *Hub) carryOut(tx *store.Tx, d *Decision) error {
	if !psd2.IsID(psd2.PrefixPayment, d.ObjectID) {
		_, err := tx.UpdateTransfer(d.ObjectID, func(t *psd2.Transfer) error { return t.Decide(d.ID, d.Verdict, tx.Now) })
		return err
	}
	_, err := tx.UpdatePayment(d.ObjectID, func(p *psd2.Payment) error {
		i := slices.IndexFunc(p.Attempts, func(a psd2.Attempt) bool { return a.EndToEndID == d.EndToEndID })
		if i < 0 {
			return psd2.NotFound("attempt")
		}
		if err := p.Decide(p.Attempts[i].ID, d.ID, d.Verdict, tx.Now); err != nil {
			return err
		}
		p.JudgePayer(h.sourceID(p.MerchantID), SameHolder, tx.Now)
		return nil
	})
	return err
}

// ended counts a step and gives the error its words.
func (h *Hub) ended(err error, outcome string, v psd2.Verdict) error {
	switch {
	case err == nil:
		h.metrics.decisions.WithLabelValues(outcome, string(v)).Inc()
	case errors.Is(err, store.ErrErased):
		return psd2.Fail(psd2.CodeConflict, "person_erased", "the payer's data was erased; this payment can no longer be changed")
	}
	return err
}

// contradictions counts decisions that a bank has proved wrong.
func (h *Hub) contradictions(objectID string, n int) {
	if n > 0 {
		h.metrics.wrong.Add(float64(n))
		h.log.Error("the bank contradicts what operators decided", "object", objectID)
	}
}

func contradicted(t *psd2.Transfer) int {
	if t.Decision.Contradicted() {
		return 1
	}
	return 0
}

func errNobody() error {
	return psd2.Fail(psd2.CodeForbidden, "sign_in_needed", "only people who are signed in by name can decide")
}

func checkDraft(by Operator, d *Draft) error {
	d.Reason, d.Evidence = strings.TrimSpace(d.Reason), strings.TrimSpace(d.Evidence)
	if by.ID == "" {
		return errNobody()
	}
	if !slices.Contains(psd2.Verdicts, d.Verdict) {
		return psd2.Invalid("verdict", "verdict_unknown", "the order was either executed or not")
	}
	if err := checkLength("reason", d.Reason, minReason, maxReason); err != nil {
		return err
	}
	return checkLength("evidence", d.Evidence, minEvidence, maxEvidence)
}

func checkLength(field, text string, least, most int) error {
	if err := psd2.CheckText(field, text, most); err != nil {
		return err
	}
	if utf8.RuneCountInString(text) < least {
		return psd2.Invalid(field, "text_too_short", "please write a little more")
	}
	return nil
}
