package rulebook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Who may do what.
var (
	readers    = []compliance.Role{compliance.Viewer, compliance.Analyst, compliance.MLRO, compliance.Admin}
	drafters   = []compliance.Role{compliance.Analyst, compliance.MLRO, compliance.Admin}
	publishers = []compliance.Role{compliance.MLRO, compliance.Admin}
)

func may(o compliance.Officer, roles []compliance.Role) error {
	if o.ID == "" {
		return psd2.Fail(psd2.CodeUnauthorized, "officer_unknown", "nobody is signed in")
	}
	if !o.Has(roles...) {
		return psd2.Fail(psd2.CodeForbidden, "role_missing", "your role does not allow this")
	}
	return nil
}

// Draft keeps a catalogue as a proposal against what is in force. It is refused
// with what is wrong, by rule and feature, unless it compiles in all its
// profiles and brings all that are there now.
func (b *Book) Draft(ctx context.Context, o compliance.Officer, catalogue []byte, reason string) (*Set, error) {
	if err := may(o, drafters); err != nil {
		return nil, err
	}
	if reason = strings.TrimSpace(reason); utf8.RuneCountInString(reason) < 3 || len(reason) > 500 {
		return nil, psd2.Invalid("reason", "reason_required", "say in a few words what changes, and why")
	}
	c, err := parse(catalogue)
	if err == nil {
		_, err = compiles(c, b.deps.Lists)
	}
	if err != nil {
		return nil, invalidCatalogue(err)
	}
	if err := b.mayAct(ctx, c); err != nil {
		return nil, err
	}
	now, _, err := b.inForce(ctx)
	if err != nil {
		return nil, err
	}
	if hashOf(catalogue) == now.Hash {
		return nil, psd2.Invalid("catalogue", "catalogue_unchanged", "this is what is in force")
	}
	if before, err := parse([]byte(now.Catalogue)); err != nil {
		return nil, err
	} else if err := keepsProfiles(before, c); err != nil {
		return nil, err
	}
	var s *Set
	err = b.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		s = b.fresh(tx, catalogue, now.ID, reason)
		s.DraftedBy, s.DraftedName, s.draftedCred = o.ID, o.Name, o.Credential
		if err := insert(tx, s, o.Credential); err != nil {
			return err
		}
		return b.note(tx, o, "rules.drafted", s, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("rulebook: draft: %w", err)
	}
	return s, nil
}

// keepsProfiles refuses a catalogue without a profile that merchants may be
// judged by.
func keepsProfiles(before, after *rules.Catalogue) error {
	for _, name := range before.ProfileNames() {
		if !slices.Contains(after.ProfileNames(), name) {
			return psd2.Invalid("catalogue", "profile_missing", "the profile "+name+" is missing")
		}
	}
	return nil
}

// note tells the chain in the transaction of the change itself.
func (b *Book) note(tx *store.Tx, o compliance.Officer, action string, s *Set, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	detail["sha256"] = s.Hash
	if err := b.deps.Audit.RecordIn(tx, compliance.ActorOfficer, o.ID, action, s.ID, detail); err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	return nil
}

// inForce loads the published set.
func (b *Book) inForce(ctx context.Context) (*Set, head, error) {
	h, err := readHead(b.getter(ctx))
	if err != nil {
		return nil, h, err
	}
	s, err := get(b.getter(ctx), h.Published)
	return s, h, err
}

// Shadow lets a tested draft watch live traffic: from now on every process
// records what it would say. One set at a time is in shadow.
func (b *Book) Shadow(ctx context.Context, o compliance.Officer, id string) (*Set, error) {
	if err := may(o, drafters); err != nil {
		return nil, err
	}
	var s *Set
	err := b.change(ctx, id, func(tx *store.Tx, got *Set, h head) error {
		s = got
		switch {
		case s.State != StateDraft:
			return conflict("state_conflict", "only a draft goes into shadow; this set is "+string(s.State))
		case s.TestedAt.IsZero():
			return conflict("not_tested", "backtest it first")
		case h.Shadow != "":
			return conflict("shadow_taken", "another set is in shadow: publish or withdraw it first")
		case s.BaseID != h.Published:
			return conflict("base_changed", "another set has been published since: draft it anew against that")
		}
		s.State, s.ShadowBy, s.ShadowAt = StateShadow, o.ID, tx.Now
		if _, err := tx.Exec(`UPDATE rulebook_sets SET state = 'shadow', shadow_by = ?, shadow_at = ? WHERE id = ?`, o.ID, tx.Now.UnixMicro(), id); err != nil {
			return err
		}
		if err := moveHead(tx, h.Published, s.ID); err != nil {
			return err
		}
		return b.note(tx, o, "rules.shadowed", s, nil)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func conflict(reason, detail string) error { return psd2.Fail(psd2.CodeConflict, reason, detail) }

// change runs fn on a set while nobody else changes what is in force.
func (b *Book) change(ctx context.Context, id string, fn func(*store.Tx, *Set, head) error) error {
	return b.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		h, err := lockHead(tx)
		if err != nil {
			return err
		}
		s, err := get(tx.Get, id)
		if err != nil {
			return err
		}
		return fn(tx, s, h)
	})
}

// Withdraw ends a draft, or a set in shadow.
func (b *Book) Withdraw(ctx context.Context, o compliance.Officer, id, reason string) (*Set, error) {
	if err := may(o, drafters); err != nil {
		return nil, err
	}
	var s *Set
	err := b.change(ctx, id, func(tx *store.Tx, got *Set, h head) error {
		s = got
		if s.State != StateDraft && s.State != StateShadow {
			return conflict("state_conflict", "this set is "+string(s.State))
		}
		s.State, s.EndedAt = StateWithdrawn, tx.Now
		if _, err := tx.Exec(`UPDATE rulebook_sets SET state = 'withdrawn', ended_at = ? WHERE id = ?`, tx.Now.UnixMicro(), id); err != nil {
			return err
		}
		if h.Shadow == id {
			if err := moveHead(tx, h.Published, ""); err != nil {
				return err
			}
		}
		return b.note(tx, o, "rules.withdrawn", s, map[string]any{"reason": reason})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Publish puts a set into force in every process, signed. It needs a second
// person, a time in shadow, and that nothing else was published since the set
// was drafted.
func (b *Book) Publish(ctx context.Context, o compliance.Officer, id string) (*Set, error) {
	if err := may(o, publishers); err != nil {
		return nil, err
	}
	s, err := get(b.getter(ctx), id)
	if err != nil {
		return nil, err
	}
	h, err := readHead(b.getter(ctx))
	if err != nil {
		return nil, err
	}
	if err := b.publishable(s, h, o, b.deps.Store.Now()); err != nil {
		return nil, err
	}
	catalogue, err := parse([]byte(s.Catalogue))
	if err != nil {
		return nil, err
	}
	if err := b.mayAct(ctx, catalogue); err != nil {
		return nil, err
	}
	err = b.change(ctx, id, func(tx *store.Tx, got *Set, h head) error {
		s = got
		if err := b.publishable(s, h, o, tx.Now); err != nil {
			return err
		}
		if err := b.enact(tx, s, catalogue, h, o); err != nil {
			return err
		}
		detail := map[string]any{"number": s.Number, "base": s.BaseID}
		if catalogue.Model != nil {
			detail["model"] = catalogue.Model.Version
		}
		return b.note(tx, o, "rules.published", s, detail)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b *Book) publishable(s *Set, h head, o compliance.Officer, now time.Time) error {
	switch {
	case s.DraftedBy == o.ID || s.draftedCred != "" && s.draftedCred == o.Credential:
		return psd2.Fail(psd2.CodeForbidden, "same_person", "who drafted does not publish: a second person has to")
	case s.State != StateShadow:
		return conflict("state_conflict", "only a set in shadow is published; this one is "+string(s.State))
	case s.BaseID != h.Published:
		return conflict("base_changed", "another set has been published since: draft it anew against that")
	case now.Before(s.ShadowAt.Add(b.cfg.ShadowFor)):
		return conflict("shadow_too_short", "it has to be in shadow until "+s.ShadowAt.Add(b.cfg.ShadowFor).UTC().Format(time.RFC3339))
	}
	return nil
}

// enact signs a set and puts it in the place of the last.
func (b *Book) enact(tx *store.Tx, s *Set, c *rules.Catalogue, h head, by compliance.Officer) error {
	var last int64
	if err := tx.Get(&last, `SELECT COALESCE(MAX(number), 0) FROM rulebook_sets`); err != nil {
		return err
	}
	s.State, s.Number, s.PublishedBy, s.PublishedName, s.PublishedAt = StatePublished, last+1, by.ID, by.Name, tx.Now
	if err := b.sign(s, tx.Now); err != nil {
		return err
	}
	versions, err := compiles(c, b.deps.Lists)
	if err != nil {
		return err
	}
	for key, profile := range versions {
		if _, err := tx.Exec(`INSERT INTO rulebook_versions (rule, version, set_id, profile) VALUES (?,?,?,?) ON CONFLICT (rule, version) DO NOTHING`,
			key[0], key[1], s.ID, profile); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE rulebook_sets SET state = 'retired', ended_at = ? WHERE id = ?`, tx.Now.UnixMicro(), h.Published); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE rulebook_sets SET state = 'published', number = ?, published_by = ?, published_name = ?, published_at = ?, manifest = ?, jws = ?, signed_at = ? WHERE id = ?`,
		s.Number, by.ID, by.Name, tx.Now.UnixMicro(), s.Manifest, s.JWS, s.SignedAt.UnixMicro(), s.ID); err != nil {
		return err
	}
	shadow := h.Shadow
	if shadow == s.ID {
		shadow = ""
	}
	return moveHead(tx, s.ID, shadow)
}

// History lists sets, newest first.
func (b *Book) History(ctx context.Context, o compliance.Officer, limit int) ([]*Set, error) {
	if err := may(o, readers); err != nil {
		return nil, err
	}
	var rows []setRow
	if err := b.deps.Store.Select(ctx, &rows, selectSets+` ORDER BY drafted_at DESC, id DESC LIMIT ?`, limit); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	out := make([]*Set, len(rows))
	for i, r := range rows {
		out[i] = r.set()
	}
	return out, nil
}

// Set loads one set.
func (b *Book) Set(ctx context.Context, o compliance.Officer, id string) (*Set, error) {
	if err := may(o, readers); err != nil {
		return nil, err
	}
	return get(b.getter(ctx), id)
}
