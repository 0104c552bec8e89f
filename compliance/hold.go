package compliance

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Causes of a hold.
const (
	HoldReport = "report" // a report of suspicion is proposed or made (GwG §46)
	HoldRule   = "rule"   // a rule holds one payout
)

// Hold is money out that waits.
type Hold struct {
	ID        string `db:"id"`
	CaseID    string `db:"case_id"`
	PersonID  string `db:"person_id"` // all of his, when there is no object
	ObjectID  string `db:"object_id"`
	Cause     string `db:"cause"`
	SinceAt   int64  `db:"since"`
	WaitUntil int64  `db:"wait_until"` // 0: no waiting period runs yet
	EndedAt   int64  `db:"ended_at"`
	EndedBy   string `db:"ended_by"`
	Decision  string `db:"decision"`
}

// Since, Until and Ended are the times of a hold.
func (h Hold) Since() time.Time { return at(h.SinceAt) }

// Until is the end of the waiting period, zero when none runs.
func (h Hold) Until() time.Time { return at(h.WaitUntil) }

// Ended is when it was released; zero while it holds.
func (h Hold) Ended() time.Time { return at(h.EndedAt) }

const selectHolds = `SELECT id, case_id, person_id, object_id, cause, since, wait_until, ended_at, ended_by, decision FROM compliance_holds`

// Held reports whether a payout or refund has to wait: it is held itself, or
// everything of its person is. The end of the waiting period alone releases
// nothing; an officer does. Callers treat an error as yes.
func (d *Desk) Held(tx *store.Tx, personID, objectID string) (bool, error) {
	var n int
	err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_holds WHERE ended_at = 0 AND (person_id = ? AND person_id <> '' AND object_id = ''
		OR object_id = ? AND object_id <> '')`, personID, objectID)
	if err != nil {
		return true, fmt.Errorf("held: %w", err)
	}
	return n > 0, nil
}

// Released reports whether an officer has let this one payout or refund go that
// a rule had held.
func (d *Desk) Released(tx *store.Tx, objectID string) (bool, error) {
	var n int
	err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_holds WHERE object_id = ? AND cause = ? AND decision = 'released'`, objectID, HoldRule)
	return err == nil && n > 0, err
}

// HoldObject makes one payout or refund wait because a rule says so.
func (d *Desk) HoldObject(tx *store.Tx, personID, objectID, rule string) error {
	if err := lockChain(tx); err != nil {
		return err
	}
	var n int
	err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_holds WHERE ended_at = 0 AND object_id = ?`, objectID)
	if err != nil || n > 0 {
		return err
	}
	if err := d.insertHold(tx, Hold{PersonID: personID, ObjectID: objectID, Cause: HoldRule}); err != nil {
		return err
	}
	return d.append(tx, entry{actorKind: ActorRule, actor: rule, action: "hold.set", object: objectID, subject: personID})
}

// ReleaseObject ends the hold of a rule on one object.
func (d *Desk) ReleaseObject(ctx context.Context, o Officer, holdID, note string) error {
	if err := o.must(workers...); err != nil {
		return err
	}
	if len([]rune(note)) < 3 || len(note) > maxNote {
		return psd2.Invalid("note", "note_required", "say why, in a few words")
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		var list []Hold
		if err := tx.Select(&list, selectHolds+` WHERE id = ? AND cause = ?`, holdID, HoldRule); err != nil {
			return err
		}
		switch {
		case len(list) == 0:
			return psd2.NotFound("hold")
		case list[0].EndedAt != 0:
			return psd2.Fail(psd2.CodeConflict, "hold_ended", "this hold was ended by "+list[0].EndedBy+" at "+list[0].Ended().Format(time.RFC3339))
		}
		h := list[0]
		if _, err := tx.Exec(`UPDATE compliance_holds SET ended_at = ?, ended_by = ?, decision = 'released' WHERE id = ?`, tx.Now.UnixMicro(), o.ID, h.ID); err != nil {
			return err
		}
		e := byOfficer(o, "hold.released", h.ObjectID)
		e.subject = h.PersonID
		if h.PersonID != "" {
			e.personal = note
		}
		return d.append(tx, e)
	})
}

// Holds lists what waits, longest first, then what was decided last. Holds of
// reports are for reporting officers only.
func (d *Desk) Holds(ctx context.Context, o Officer, limit int) ([]Hold, error) {
	if err := o.must(Analyst, MLRO); err != nil {
		return nil, err
	}
	where := ` WHERE cause = 'rule'`
	if o.Has(MLRO) {
		where = ``
	}
	var list []Hold
	err := d.Store.Select(ctx, &list, selectHolds+where+` ORDER BY CASE WHEN ended_at = 0 THEN 0 ELSE 1 END, ended_at DESC, since LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("holds: %w", err)
	}
	return list, nil
}

func (d *Desk) insertHold(tx *store.Tx, h Hold) error {
	_, err := tx.Exec(`INSERT INTO compliance_holds (id, case_id, person_id, object_id, cause, since, wait_until, ended_at, ended_by, decision)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', '')`, psd2.NewID(prefixHold, tx.Now, d.Random), h.CaseID, h.PersonID, h.ObjectID, h.Cause, tx.Now.UnixMicro())
	return err
}

// hold makes all money out of a case's person wait, or, when the case is about
// no person, the objects its rules fired on.
func (d *Desk) hold(tx *store.Tx, c *Case, cause string) error {
	if c.PersonID != "" {
		return d.insertHold(tx, Hold{CaseID: c.ID, PersonID: c.PersonID, Cause: cause})
	}
	var objects []string
	err := tx.Select(&objects, `SELECT DISTINCT object_id FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id
		WHERE case_id = ? AND object_id <> ''`, c.ID)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := d.insertHold(tx, Hold{CaseID: c.ID, ObjectID: o, Cause: cause}); err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) endHolds(tx *store.Tx, caseID, by, decision string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_at = ?, ended_by = ?, decision = ? WHERE case_id = ? AND ended_at = 0`,
		tx.Now.UnixMicro(), by, decision, caseID)
	return err
}

// blockHolds keeps the holds for good and says so.
func (d *Desk) blockHolds(tx *store.Tx, caseID, by string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_by = ?, decision = 'blocked' WHERE case_id = ? AND ended_at = 0`, by, caseID)
	return err
}
