package compliance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Causes of a hold.
const (
	HoldReport = "report" // a report of suspicion is proposed or made (GwG §46)
	HoldRule   = "rule"   // a rule holds one payout
)

// Decisions about a hold.
const (
	DecisionReleased = "released" // the money goes
	DecisionRefused  = "refused"  // this one does not go
	DecisionBlocked  = "blocked"  // nothing goes to this person any more
)

// What one officer proposes for a rule's hold, and a second decides.
const (
	HoldRelease = "release"
	HoldRefuse  = "refuse"
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
	Proposal  string `db:"proposal"` // JSON of a HoldProposal, or ""
}

// HoldProposal is what the second person decides on.
type HoldProposal struct {
	Do         string    `json:"do"` // HoldRelease, HoldRefuse
	By         string    `json:"by"`
	Name       string    `json:"name"`
	Credential string    `json:"credential"`
	At         time.Time `json:"at"`
}

// Since, Until and Ended are the times of a hold.
func (h Hold) Since() time.Time { return at(h.SinceAt) }

// Until is the end of the waiting period, zero when none runs.
func (h Hold) Until() time.Time { return at(h.WaitUntil) }

// Ended is when it was decided; zero while it holds.
func (h Hold) Ended() time.Time { return at(h.EndedAt) }

// Proposed is what somebody has proposed; ok is false while nobody has.
func (h Hold) Proposed() (p HoldProposal, ok bool) {
	return p, h.Proposal != "" && json.Unmarshal([]byte(h.Proposal), &p) == nil
}

const selectHolds = `SELECT id, case_id, person_id, object_id, cause, since, wait_until, ended_at, ended_by, decision, proposal FROM compliance_holds`

// Standing is what officers have decided about one payout or refund.
type Standing string

// Standings.
const (
	StandingFree     Standing = ""         // nobody holds it
	StandingHeld     Standing = "held"     // it waits
	StandingReleased Standing = "released" // a rule held it, and two officers let it go
	StandingRefused  Standing = "refused"  // it must not go; outside that is payment_not_possible
)

// Standing says how a payout or refund stands: it is held itself, or everything
// of its person is, here or at another merchant. identities are keyed hashes by
// which he is known there, beside those that Deps.Identities knows. The end of
// the waiting period alone releases nothing; an officer does. With an error it
// is held.
func (d *Desk) Standing(tx *store.Tx, personID, objectID string, identities ...string) (Standing, error) {
	var holds []Hold
	if err := tx.Select(&holds, selectHolds+` WHERE object_id = ? AND object_id <> ''`, objectID); err != nil {
		return StandingHeld, fmt.Errorf("standing: %w", err)
	}
	more, err := d.holdsOfPerson(tx, personID, identities)
	if err != nil {
		return StandingHeld, fmt.Errorf("standing: %w", err)
	}
	standing := StandingFree
	for _, h := range append(holds, more...) {
		switch {
		case h.Decision == DecisionRefused, h.Decision == DecisionBlocked && h.EndedAt == 0:
			return StandingRefused, nil
		case h.EndedAt == 0:
			standing = StandingHeld
		case h.Cause == HoldRule && h.Decision == DecisionReleased && standing == StandingFree:
			standing = StandingReleased
		}
	}
	return standing, nil
}

// holdsOfPerson finds what holds all money out of a person.
func (d *Desk) holdsOfPerson(tx *store.Tx, personID string, identities []string) (list []Hold, err error) {
	if d.Identities != nil && personID != "" {
		known, err := d.Identities(tx, personID)
		if err != nil {
			return nil, err
		}
		identities = append(slices.Clone(identities), known...)
	}
	args := []any{personID}
	where := ` WHERE ended_at = 0 AND object_id = '' AND (person_id = ? AND person_id <> ''`
	if len(identities) > 0 {
		where += ` OR id IN (SELECT hold_id FROM compliance_hold_identities WHERE identity IN (?` + strings.Repeat(`,?`, len(identities)-1) + `))`
		for _, i := range identities {
			args = append(args, i)
		}
	}
	err = tx.Select(&list, selectHolds+where+`)`, args...)
	return list, err
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

// ProposeHold proposes to let go, or to refuse, what a rule holds. Who proposes
// again replaces his own proposal.
func (d *Desk) ProposeHold(ctx context.Context, o Officer, holdID, do, note string) error {
	if do != HoldRelease && do != HoldRefuse {
		return psd2.Invalid("do", "action_unknown", "there is no such action")
	}
	return d.onHold(ctx, o, holdID, note, func(tx *store.Tx, h Hold) (string, error) {
		if p, ok := h.Proposed(); ok && p.By != o.ID {
			return "", holdConflict("hold_proposed", p.Name, p.At)
		}
		b, err := encode(HoldProposal{Do: do, By: o.ID, Name: o.Name, Credential: o.Credential, At: tx.Now})
		if err != nil {
			return "", err
		}
		_, err = tx.Exec(`UPDATE compliance_holds SET proposal = ? WHERE id = ?`, string(b), h.ID)
		return "hold.propose_" + do, err
	})
}

// DecideHold is the second person's: approve does what was proposed, otherwise
// it is taken back, which who proposed may do as well. seen is the time of the
// proposal that the officer decides on: another one has to be looked at first.
func (d *Desk) DecideHold(ctx context.Context, o Officer, holdID string, seen time.Time, approve bool, note string) error {
	return d.onHold(ctx, o, holdID, note, func(tx *store.Tx, h Hold) (string, error) {
		p, ok := h.Proposed()
		switch {
		case !ok:
			return "", psd2.Fail(psd2.CodeConflict, "hold_not_proposed", "nobody has proposed anything; look again")
		case !p.At.Equal(seen):
			return "", holdConflict("hold_proposed", p.Name, p.At)
		case !approve:
			_, err := tx.Exec(`UPDATE compliance_holds SET proposal = '' WHERE id = ?`, h.ID)
			return "hold.returned", err
		case o.same(p.By, p.Credential):
			return "", psd2.Fail(psd2.CodeForbidden, "same_person", "who proposed does not decide: a second person has to")
		}
		decision := DecisionReleased
		if p.Do == HoldRefuse {
			decision = DecisionRefused
		}
		return "hold." + decision, endHold(tx, h.ID, o.ID, decision)
	})
}

// onHold does something to a rule's hold that has not ended, and notes it.
func (d *Desk) onHold(ctx context.Context, o Officer, holdID, note string, do func(*store.Tx, Hold) (action string, err error)) error {
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
		if len(list) == 0 {
			return psd2.NotFound("hold")
		}
		h := list[0]
		if h.EndedAt != 0 {
			return holdConflict("hold_ended", h.EndedBy, h.Ended())
		}
		action, err := do(tx, h)
		if err != nil {
			return err
		}
		e := byOfficer(o, action, h.ObjectID)
		e.subject = h.PersonID
		if h.PersonID != "" {
			e.personal = note
		}
		if p, ok := h.Proposed(); ok {
			e.detail = map[string]any{"proposed_by": p.By}
		}
		return d.append(tx, e)
	})
}

func holdConflict(reason, who string, when time.Time) error {
	return &psd2.Error{Code: psd2.CodeConflict, Reason: reason, Message: "this hold was changed by " + who + " at " + when.Format(time.RFC3339) + "; look again",
		Err: &Rival{who, when}}
}

// Holds lists what waits, longest first, then what was decided last. Holds of
// reports are for reporting officers only.
func (d *Desk) Holds(ctx context.Context, o Officer, limit int) ([]Hold, error) {
	if err := o.must(Analyst, MLRO, Auditor); err != nil {
		return nil, err
	}
	var list []Hold
	err := d.Store.Select(ctx, &list, selectHolds+` WHERE`+forOfficer+` ORDER BY CASE WHEN ended_at = 0 THEN 0 ELSE 1 END, ended_at DESC, since LIMIT ?`, mayKnow(o), limit)
	if err != nil {
		return nil, fmt.Errorf("holds: %w", err)
	}
	return list, nil
}

// forOfficer keeps the holds of reports from everybody else.
const forOfficer = ` (cause = 'rule' OR ? = 1)`

func mayKnow(o Officer) int {
	if o.Has(MLRO) {
		return 1
	}
	return 0
}

const ofCase = ` (SELECT object_id FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id WHERE case_id = ? AND object_id <> '')`

// HoldsOf lists what waits because of a case: its own holds, and those of rules
// on what it is about.
func (d *Desk) HoldsOf(ctx context.Context, o Officer, c *Case) ([]Hold, error) {
	var list []Hold
	err := d.Store.Select(ctx, &list, selectHolds+` WHERE (case_id = ? OR object_id IN`+ofCase+`) AND`+forOfficer+` ORDER BY ended_at, since LIMIT 50`, c.ID, c.ID, mayKnow(o))
	if err != nil {
		return nil, fmt.Errorf("holds of a case: %w", err)
	}
	return list, nil
}

// CasesOf names the newest case about each object.
func (d *Desk) CasesOf(ctx context.Context, o Officer, objects []string) (map[string]string, error) {
	cases := make(map[string]string, len(objects))
	for _, id := range objects {
		var list []string
		hidden := ` AND restricted = 0`
		if o.Has(MLRO) {
			hidden = ``
		}
		err := d.Store.Select(ctx, &list, `SELECT case_id FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id
			JOIN compliance_cases ON compliance_cases.id = case_id WHERE object_id = ?`+hidden+` ORDER BY case_id DESC LIMIT 1`, id)
		if err != nil {
			return nil, fmt.Errorf("cases of an object: %w", err)
		}
		if len(list) > 0 {
			cases[id] = list[0]
		}
	}
	return cases, nil
}

// insertHold begins a hold; one of all that is a person's knows him by his
// names at other merchants too.
func (d *Desk) insertHold(tx *store.Tx, h Hold) error {
	h.ID = psd2.NewID(prefixHold, tx.Now, d.Random)
	_, err := tx.Exec(`INSERT INTO compliance_holds (id, case_id, person_id, object_id, cause, since, wait_until, ended_at, ended_by, decision, proposal)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', '', '')`, h.ID, h.CaseID, h.PersonID, h.ObjectID, h.Cause, tx.Now.UnixMicro())
	if err != nil || h.ObjectID != "" || d.Identities == nil {
		return err
	}
	identities, err := d.Identities(tx, h.PersonID)
	if err != nil {
		return err
	}
	for _, i := range identities {
		if _, err := tx.Exec(`INSERT INTO compliance_hold_identities (hold_id, identity) VALUES (?, ?) ON CONFLICT (hold_id, identity) DO NOTHING`, h.ID, i); err != nil {
			return err
		}
	}
	return nil
}

// hold makes all money out of those a case is about wait, and the objects of
// nobody that its rules fired on.
func (d *Desk) hold(tx *store.Tx, c *Case, about involved, cause string) error {
	for _, person := range about.persons {
		if err := d.insertHold(tx, Hold{CaseID: c.ID, PersonID: person, Cause: cause}); err != nil {
			return err
		}
	}
	for _, o := range about.objects {
		if err := d.insertHold(tx, Hold{CaseID: c.ID, ObjectID: o, Cause: cause}); err != nil {
			return err
		}
	}
	return nil
}

func endHold(tx *store.Tx, id, by, decision string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_at = ?, ended_by = ?, decision = ? WHERE id = ?`, tx.Now.UnixMicro(), by, decision, id)
	return err
}

func (d *Desk) endHolds(tx *store.Tx, caseID, by, decision string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_at = ?, ended_by = ?, decision = ? WHERE case_id = ? AND ended_at = 0`,
		tx.Now.UnixMicro(), by, decision, caseID)
	return err
}

// blockHolds lets nothing of those people go any more.
func (d *Desk) blockHolds(tx *store.Tx, caseID, by string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_by = ?, decision = ? WHERE case_id = ? AND ended_at = 0`, by, DecisionBlocked, caseID)
	return err
}

// unblockHolds makes what was blocked wait again: the case is open.
func (d *Desk) unblockHolds(tx *store.Tx, caseID string) error {
	_, err := tx.Exec(`UPDATE compliance_holds SET ended_by = '', decision = '' WHERE case_id = ? AND ended_at = 0 AND decision = ?`, caseID, DecisionBlocked)
	return err
}

// settleHolds ends, with a case that two people ended, what rules hold because
// of it, so that nothing waits for ever. What somebody has a proposal about, or
// an open case besides, stays.
func (d *Desk) settleHolds(tx *store.Tx, c *Case, o Officer, decision string) error {
	var list []Hold
	err := tx.Select(&list, selectHolds+` WHERE ended_at = 0 AND cause = ? AND proposal = '' AND object_id IN`+ofCase+`
		AND NOT EXISTS (SELECT 1 FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id JOIN compliance_cases ON compliance_cases.id = case_id
			WHERE compliance_hits.object_id = compliance_holds.object_id AND compliance_cases.id <> ? AND compliance_cases.closed_at = 0)`, HoldRule, c.ID, c.ID)
	if err != nil {
		return fmt.Errorf("settle holds: %w", err)
	}
	for _, h := range list {
		if err := endHold(tx, h.ID, o.ID, decision); err != nil {
			return err
		}
		e := byOfficer(o, "hold."+decision, h.ObjectID)
		e.subject, e.detail = h.PersonID, map[string]any{"case": c.ID, "proposed_by": c.Proposal.By}
		if err := d.append(tx, e); err != nil {
			return err
		}
	}
	return nil
}
