package hub

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Decision is a proposal about an order and, once somebody has, how another
// person ended it. The journal of them is only ever added to.
type Decision struct {
	ID         string // dec_…
	ObjectID   string
	EndToEndID string
	Verdict    psd2.Verdict
	Reason     string // "" once the payer was erased, as are evidence and remark
	Evidence   string
	By         Operator
	At         time.Time
	End        *DecisionEnd // nil while it waits

	round int64
}

// DecisionEnd is what the second person did.
type DecisionEnd struct {
	Outcome string // approved or returned
	Remark  string // of a return
	By      Operator
	At      time.Time
}

const (
	outcomeApproved = "approved"
	outcomeReturned = "returned"
)

// Overtaken says that somebody else was faster: he has proposed, approved or
// returned first. It is a conflict; the name is not in its words, so that no
// log holds it.
type Overtaken struct {
	By      Operator
	At      time.Time
	Outcome string // proposed, approved or returned
}

func (e *Overtaken) Error() string { return e.Unwrap().Error() }

// Unwrap gives the error that says what kind of failure it is.
func (e *Overtaken) Unwrap() error {
	return psd2.Fail(psd2.CodeConflict, "decision_"+e.Outcome, "somebody else has "+e.Outcome+" a decision before")
}

type decisionRow struct {
	ID         string `db:"id"`
	Round      int64  `db:"round"`
	Step       int64  `db:"step"`
	ObjectID   string `db:"object_id"`
	EndToEndID string `db:"end_to_end_id"`
	PersonID   string `db:"person_id"`
	Verdict    string `db:"verdict"`
	Outcome    string `db:"outcome"`
	ByID       string `db:"by_id"`
	ByName     string `db:"by_name"`
	At         int64  `db:"at"`
	Sealed     []byte `db:"sealed"`
	Wrapped    []byte `db:"wrapped"`
}

func (r decisionRow) by() Operator  { return Operator{r.ByID, r.ByName} }
func (r decisionRow) at() time.Time { return time.UnixMicro(r.At).UTC() }
func (r decisionRow) overtaken() *Overtaken {
	o := &Overtaken{By: r.by(), At: r.at(), Outcome: r.Outcome}
	if o.Outcome == "" {
		o.Outcome = "proposed"
	}
	return o
}

// written is what a step's author wrote: about somebody's payment, so it is
// sealed with his key.
type written struct {
	Reason   string `json:"reason,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	Remark   string `json:"remark,omitempty"`
}

const selectDecisions = `SELECT decisions.id, decisions.round, decisions.step, decisions.object_id, decisions.end_to_end_id, decisions.person_id,
	decisions.verdict, decisions.outcome, decisions.by_id, decisions.by_name, decisions.at, decisions.sealed, person_keys.wrapped
	FROM decisions LEFT JOIN person_keys ON person_keys.person_id = decisions.person_id`

// Decisions is the journal of decisions about a payment or transfer, oldest
// first.
func (h *Hub) Decisions(ctx context.Context, objectID string) ([]Decision, error) {
	var rows []decisionRow
	if err := h.store.Select(ctx, &rows, selectDecisions+` WHERE decisions.object_id = ? ORDER BY decisions.at, decisions.round, decisions.step`, objectID); err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	return h.decisions(rows)
}

// openDecisions are the proposals that wait, by the order's EndToEndId.
func (h *Hub) openDecisions(ctx context.Context) (map[string]Decision, error) {
	var rows []decisionRow
	if err := h.store.Select(ctx, &rows, selectDecisions+` WHERE decisions.step = 1 AND NOT EXISTS
		(SELECT 1 FROM decisions AS ended WHERE ended.id = decisions.id AND ended.step = 2) ORDER BY decisions.at DESC LIMIT 1000`); err != nil {
		return nil, fmt.Errorf("list open decisions: %w", err)
	}
	list, err := h.decisions(rows)
	open := make(map[string]Decision, len(list))
	for _, d := range list {
		open[d.EndToEndID] = d
	}
	return open, err
}

// decisions joins the steps of each.
func (h *Hub) decisions(rows []decisionRow) ([]Decision, error) {
	var list []Decision
	index := map[string]int{}
	for _, r := range rows {
		w, err := h.read(r)
		if err != nil {
			return nil, err
		}
		if r.Step == 1 {
			index[r.ID] = len(list)
			list = append(list, Decision{ID: r.ID, ObjectID: r.ObjectID, EndToEndID: r.EndToEndID, Verdict: psd2.Verdict(r.Verdict),
				Reason: w.Reason, Evidence: w.Evidence, By: r.by(), At: r.at(), round: r.Round})
			continue
		}
		if i, ok := index[r.ID]; ok {
			list[i].End = &DecisionEnd{Outcome: r.Outcome, Remark: w.Remark, By: r.by(), At: r.at()}
		}
	}
	return list, nil
}

func (h *Hub) read(r decisionRow) (w written, err error) {
	plain, err := h.store.UnsealPerson(r.PersonID, r.Wrapped, "decisions", sealedAs(r.ID, r.Step), "sealed", r.Sealed)
	if err != nil || plain == nil {
		return w, err
	}
	if err := json.Unmarshal(plain, &w); err != nil {
		return w, fmt.Errorf("decode decision: %w", err)
	}
	return w, nil
}

// sealedAs names a step's row, so that what was sealed opens nowhere else.
func sealedAs(id string, step int64) string { return fmt.Sprintf("%s/%d", id, step) }

// addProposal writes the first step. The key makes a second open proposal
// about the same order impossible, in whatever process.
func (h *Hub) addProposal(tx *store.Tx, by Operator, draft Draft, q *Question, personID string) (*Decision, error) {
	last, err := h.lastStep(tx, q.EndToEndID)
	if err != nil {
		return nil, err
	}
	if last.Step == 1 || last.Outcome == outcomeApproved {
		return nil, last.overtaken()
	}
	d := &Decision{ID: psd2.NewID(psd2.PrefixDecision, tx.Now, h.random), ObjectID: q.ObjectID, EndToEndID: q.EndToEndID,
		Verdict: draft.Verdict, Reason: draft.Reason, Evidence: draft.Evidence, By: by, At: tx.Now, round: last.Round + 1}
	n, err := h.addStep(tx, d, 1, personID, "", by, written{Reason: draft.Reason, Evidence: draft.Evidence})
	if err != nil || n == 1 {
		return d, err
	}
	if last, err = h.lastStep(tx, q.EndToEndID); err != nil {
		return nil, err
	}
	return nil, last.overtaken()
}

// lastStep is the newest row about an order; Round 0 when there is none.
func (h *Hub) lastStep(tx *store.Tx, endToEndID string) (r decisionRow, err error) {
	err = tx.Get(&r, selectDecisions+` WHERE decisions.end_to_end_id = ? ORDER BY decisions.round DESC, decisions.step DESC LIMIT 1`, endToEndID)
	if errors.Is(err, sql.ErrNoRows) {
		return decisionRow{}, nil
	}
	return r, err
}

// proposal loads the first step of a decision.
func (h *Hub) proposal(tx *store.Tx, id string) (d *Decision, personID string, err error) {
	var r decisionRow
	err = tx.Get(&r, selectDecisions+` WHERE decisions.id = ? AND decisions.step = 1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, "", psd2.NotFound("decision")
	}
	if err != nil {
		return nil, "", err
	}
	list, err := h.decisions([]decisionRow{r})
	if err != nil {
		return nil, "", err
	}
	return &list[0], r.PersonID, nil
}

// addEnd writes the second step, once.
func (h *Hub) addEnd(tx *store.Tx, by Operator, d *Decision, personID, outcome, remark string) error {
	n, err := h.addStep(tx, d, 2, personID, outcome, by, written{Remark: remark})
	if err != nil || n == 1 {
		return err
	}
	var first decisionRow
	if err := tx.Get(&first, selectDecisions+` WHERE decisions.id = ? AND decisions.step = 2`, d.ID); err != nil {
		return err
	}
	return first.overtaken()
}

func (h *Hub) addStep(tx *store.Tx, d *Decision, step int64, personID, outcome string, by Operator, w written) (int64, error) {
	plain, err := json.Marshal(w)
	if err != nil {
		return 0, err
	}
	sealed, err := tx.SealPerson(personID, "decisions", sealedAs(d.ID, step), "sealed", plain)
	if err != nil {
		return 0, err
	}
	return tx.Exec(`INSERT INTO decisions (end_to_end_id, round, step, id, object_id, person_id, verdict, outcome, by_id, by_name, at, sealed)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		d.EndToEndID, d.round, step, d.ID, d.ObjectID, personID, string(d.Verdict), outcome, by.ID, by.Name, tx.Now.UnixMicro(), sealed)
}
