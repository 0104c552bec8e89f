package compliance

import (
	"context"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Erase forgets a subject, if nothing obliges to keep what is known of him:
// not the desk's cases, not a legal hold, and, of a person, not the duty to keep
// his transactions (GwG §8(1), (4)) either. The conflict says until when, and is
// for the officer's eyes only. Of a person it is the whole erasure, at the desk,
// in the hub and wherever else Deps.Forget reaches, in one transaction or not at
// all.
func (d *Desk) Erase(ctx context.Context, o Officer, subject, reason string) error {
	if err := o.must(Admin); err != nil {
		return err
	}
	if len([]rune(reason)) < 3 || len(reason) > 200 {
		return psd2.Invalid("reason", "reason_required", "say why, in a few words without personal data")
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		return d.erase(tx, byOfficer(o, "subject.erased", subject), subject, reason, true)
	})
}

// isPerson tells a person of the hub from an entity that is none.
func isPerson(subject string) bool { return strings.HasPrefix(subject, "psn_") }

// erase destroys a subject's key at the desk and, when everything is to go, all
// else of the person.
func (d *Desk) erase(tx *store.Tx, e entry, subject, reason string, everything bool) error {
	if err := d.mayErase(tx, subject, everything); err != nil {
		return err
	}
	known, err := tx.Exec(`DELETE FROM compliance_keys WHERE subject = ?`, subject)
	if err != nil {
		return err
	}
	cases, err := tx.Exec(`UPDATE compliance_cases SET erased_at = ?, version = version + 1 WHERE subject = ? AND erased_at = 0`, tx.Now.UnixMicro(), subject)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM compliance_whitelist WHERE person_id = ?`, subject); err != nil {
		return err
	}
	var hub store.Erasure
	if everything && isPerson(subject) {
		hub, err = tx.ErasePerson(subject)
		if err != nil && (psd2.CodeOf(err) != psd2.CodeNotFound || known == 0) {
			return err
		}
		for _, forget := range d.Forget {
			if err := forget(tx, subject); err != nil {
				return err
			}
		}
	} else if known == 0 {
		return psd2.NotFound("subject")
	}
	_, err = tx.Exec(`INSERT INTO compliance_erasures (id, subject, at, by_actor, reason, cases) VALUES (?, ?, ?, ?, ?, ?)`,
		psd2.NewID(prefixErase, tx.Now, d.Random), subject, tx.Now.UnixMicro(), e.actor, reason, cases)
	if err != nil {
		return err
	}
	e.detail = map[string]any{"cases": cases, "reason": reason, "payments": hub.Payments, "transfers": hub.Transfers}
	return d.append(tx, e)
}

// mayErase says what keeps a subject's data, and until when.
func (d *Desk) mayErase(tx *store.Tx, subject string, everything bool) error {
	var held int
	if err := tx.Get(&held, `SELECT COUNT(*) FROM compliance_legal_holds WHERE subject = ?`, subject); err != nil {
		return err
	}
	if held > 0 {
		return psd2.Fail(psd2.CodeConflict, "legal_hold", "a legal hold keeps this data")
	}
	until, err := d.keptUntil(tx.Get, subject)
	if err != nil {
		return err
	}
	if tx.Now.Before(until) {
		return psd2.Fail(psd2.CodeConflict, "retention", "the law keeps this data until "+until.Format(time.DateOnly)+" (9999: while a case is open)")
	}
	if !everything || !isPerson(subject) {
		return nil
	}
	moved, err := tx.LastMoved(subject)
	if err != nil || moved.IsZero() { // no money, no record to keep
		return err
	}
	if until := moved.AddDate(d.KeepYears, 0, 0); tx.Now.Before(until) {
		return psd2.Fail(psd2.CodeConflict, "retention", "the law keeps his transactions until "+until.Format(time.DateOnly))
	}
	return nil
}

// retain erases the desk's data whose time of keeping is over, whether or not
// the person still pays.
func (d *Desk) retain(ctx context.Context, now time.Time) (int, error) {
	var due []string
	before := us(now.AddDate(-d.KeepYears, 0, 0))
	err := d.Store.Select(ctx, &due, `SELECT DISTINCT subject FROM compliance_cases WHERE closed_at > 0 AND closed_at <= ? AND erased_at = 0
		AND NOT EXISTS (SELECT 1 FROM compliance_legal_holds WHERE compliance_legal_holds.subject = compliance_cases.subject)
		AND NOT EXISTS (SELECT 1 FROM compliance_cases AS newer WHERE newer.subject = compliance_cases.subject AND (newer.closed_at = 0 OR newer.closed_at > ?))
		AND NOT EXISTS (SELECT 1 FROM compliance_alerts JOIN compliance_cases AS joined ON joined.id = compliance_alerts.case_id
			WHERE compliance_alerts.subject = compliance_cases.subject AND (joined.closed_at = 0 OR joined.closed_at > ?))
		LIMIT ?`, before, before, before, stepBatch)
	if err != nil {
		return 0, err
	}
	return len(due), d.retainAll(ctx, due, false)
}

// retainPersons walks through the hub's persons, a piece at a time and round and
// round, and erases those of whom nothing was new for Config.KeepYears.
func (d *Desk) retainPersons(ctx context.Context, now time.Time) error {
	d.walking.Lock()
	defer d.walking.Unlock()
	idle, next, err := d.Store.IdlePersons(ctx, d.walked, now.AddDate(-d.KeepYears, 0, 0), stepBatch)
	if err != nil {
		return err
	}
	if err := d.retainAll(ctx, idle, true); err != nil {
		return err
	}
	d.walked = next
	return nil
}

func (d *Desk) retainAll(ctx context.Context, subjects []string, everything bool) error {
	for _, subject := range subjects {
		err := d.tx(ctx, func(tx *store.Tx) error {
			return d.erase(tx, bySystem("subject.erased", subject), subject, "retention", everything)
		})
		// Something keeps him after all, or another process was faster.
		if err != nil && psd2.CodeOf(err) != psd2.CodeConflict && psd2.CodeOf(err) != psd2.CodeNotFound {
			return err
		}
	}
	return nil
}

// Disclosure is what a person gets who asks what is known of him (GDPR Art.
// 15): his data, what it is for, who got it, and how long it is kept.
type Disclosure struct {
	Purposes   []string          `json:"purposes"`
	Recipients []string          `json:"recipients"` // merchants and banks, by their ids
	KeptUntil  time.Time         `json:"kept_until,omitzero"`
	Data       *store.PersonData `json:"data"`
	Elsewhere  map[string]any    `json:"elsewhere,omitempty"` // what other parts of the hub keep, see Deps.Elsewhere
}

// purposes of the hub's data, with what they rest on.
var purposes = []string{
	"initiating and following payments you asked for, and paying money back to you (GDPR Art. 6(1)(b))",
	"keeping records of transactions, and the checks the law asks of every payment (GDPR Art. 6(1)(c); GwG §§8, 10)",
}

// Disclose gives what the person himself may get. Nothing in it comes from the
// desk, or depends on whether the desk knows him: not a case, not a list he was
// compared with, not a hold, not how long those are kept (GwG §47(1) with BDSG
// §29(1)). The chain notes that it was given.
func (d *Desk) Disclose(ctx context.Context, o Officer, personID string) (*Disclosure, error) {
	if err := o.must(Admin, MLRO); err != nil {
		return nil, err
	}
	data, err := d.Store.PersonData(ctx, personID)
	if err != nil {
		return nil, err
	}
	if err := d.Record(ctx, ActorOfficer, o.ID, "subject.exported", personID, map[string]any{"for_authority": false}); err != nil {
		return nil, err
	}
	x := &Disclosure{Purposes: purposes, Data: data}
	seen := map[string]bool{}
	got := func(who string) {
		if who != "" && !seen[who] {
			seen[who] = true
			x.Recipients = append(x.Recipients, who)
		}
	}
	for _, p := range data.Payments {
		got(p.MerchantID)
		for _, a := range p.Attempts {
			got(a.BankID)
		}
	}
	for _, t := range data.Transfers {
		got(t.MerchantID)
	}
	for name, kept := range d.Deps.Elsewhere {
		if x.Elsewhere == nil {
			x.Elsewhere = map[string]any{}
		}
		if x.Elsewhere[name], err = kept(ctx, personID); err != nil {
			return nil, err
		}
	}
	err = d.Store.Tx(ctx, func(tx *store.Tx) error {
		moved, err := tx.LastMoved(personID)
		if err == nil && !moved.IsZero() {
			x.KeptUntil = moved.AddDate(d.KeepYears, 0, 0)
		}
		return err
	})
	return x, err
}
