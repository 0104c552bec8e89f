package compliance_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// ruleHold lets a rule hold one payout, twice, and gives the hold.
func (w *world) ruleHold(person, object string) compliance.Hold {
	w.t.Helper()
	for range 2 {
		must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return w.HoldObject(tx, person, object, "R02") }))
	}
	return w.hold(object)
}

func (w *world) hold(object string) compliance.Hold {
	w.t.Helper()
	holds, err := w.Holds(ctx, anna, 100)
	must(w.t, err)
	i := slices.IndexFunc(holds, func(h compliance.Hold) bool { return h.ObjectID == object })
	if i < 0 || slices.ContainsFunc(holds[i+1:], func(h compliance.Hold) bool { return h.ObjectID == object }) {
		w.t.Fatalf("not one hold of %s: %+v", object, holds)
	}
	return holds[i]
}

func (w *world) proposedAt(object string) time.Time {
	p, _ := w.hold(object).Proposed()
	return p.At
}

// What a rule holds, one officer alone neither lets go nor refuses; both ends
// there are, so that nothing stays pending for ever.
func TestRuleHoldNeedsTwo(t *testing.T) { // D01
	bothWorlds(t, func(t *testing.T, w *world) {
		for _, x := range []struct {
			do   string
			want compliance.Standing
		}{{compliance.HoldRelease, compliance.StandingReleased}, {compliance.HoldRefuse, compliance.StandingRefused}} {
			object := "pot_" + x.do
			h := w.ruleHold("psn_1", object)
			refused(t, w.DecideHold(ctx, bert, h.ID, time.Time{}, true, "go on"), psd2.CodeConflict, "hold_not_proposed")
			refused(t, w.ProposeHold(ctx, anna, h.ID, x.do, ""), psd2.CodeInvalid, "note_required")
			refused(t, w.ProposeHold(ctx, admin, h.ID, x.do, "a reason"), psd2.CodeForbidden, "role_missing")
			must(t, w.ProposeHold(ctx, anna, h.ID, x.do, "the name agrees"))
			refused(t, w.ProposeHold(ctx, bert, h.ID, x.do, "me too"), psd2.CodeConflict, "Anna Amsel")
			seen := w.proposedAt(object)
			if !w.held("psn_1", object) || w.held("psn_1", "pot_other") {
				t.Fatalf("a proposal alone moved it, or another one waits")
			}
			refused(t, w.DecideHold(ctx, anna, h.ID, seen, true, "I agree with me"), psd2.CodeForbidden, "same_person")
			borrowed := bert
			borrowed.Credential = anna.Credential
			refused(t, w.DecideHold(ctx, borrowed, h.ID, seen, true, "one passkey"), psd2.CodeForbidden, "same_person")
			must(t, w.DecideHold(ctx, bert, h.ID, seen, false, "show me the papers"))
			w.clock.Add(time.Minute)
			must(t, w.ProposeHold(ctx, anna, h.ID, x.do, "here they are"))
			refused(t, w.DecideHold(ctx, bert, h.ID, seen, true, "an old page"), psd2.CodeConflict, "hold_proposed")
			must(t, w.DecideHold(ctx, bert, h.ID, w.proposedAt(object), true, "agreed"))
			if got := w.standing("psn_1", object); got != x.want {
				t.Errorf("after %s it stands %q", x.do, got)
			}
			refused(t, w.DecideHold(ctx, maria, h.ID, w.proposedAt(object), true, "late"), psd2.CodeConflict, "ofc_bert")
		}
		lines, err := w.Trail(ctx, admin, 0, 100)
		must(t, err)
		var did []string
		for _, l := range lines {
			did = append(did, l.Action)
		}
		for _, want := range []string{"hold.propose_release", "hold.propose_refuse", "hold.returned", "hold.released", "hold.refused"} {
			if !slices.Contains(did, want) {
				t.Errorf("the chain lacks %s: %q", want, did)
			}
		}
	})
}

// A case that two people end leaves no payout waiting that its rules held, but
// one that another case is about, or that somebody has a proposal for.
func TestEndOfACaseEndsItsHolds(t *testing.T) {
	w := sqliteWorld(t)
	about := func(object string) compliance.Finding {
		return finding(func(f *compliance.Finding) { f.ObjectID = object })
	}
	c := w.raise(about("pot_1"))
	w.raise(about("pot_2"))
	w.raise(about("pot_3"))
	w.raise(finding(func(f *compliance.Finding) {
		f.EntityKind, f.EntityKey, f.PersonID, f.ObjectID = "iban", "another matter", "", "pot_2"
	}))
	for _, o := range []string{"pot_1", "pot_2", "pot_3", "pot_4"} {
		w.ruleHold("psn_1", o)
	}
	must(t, w.ProposeHold(ctx, anna, w.hold("pot_3").ID, compliance.HoldRefuse, "not his account"))
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna})
	if !w.held("psn_1", "pot_1") {
		t.Error("one person's proposal let it go")
	}
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
	if got := w.standing("psn_1", "pot_1"); got != compliance.StandingReleased {
		t.Errorf("the case is closed, its payout stands %q", got)
	}
	for _, o := range []string{"pot_2", "pot_3", "pot_4"} {
		if !w.held("psn_1", o) {
			t.Errorf("%s was let go with a case it does not hang on alone", o)
		}
	}
}

func TestBlockedPersonIsRefusedNotKeptWaiting(t *testing.T) {
	w := sqliteWorld(t)
	w.ruleHold("psn_1", "pot_1")
	c := w.reported(w.raise(finding()))
	w.do(c.ID, compliance.Act{Do: compliance.Block, By: moritz})
	for _, object := range []string{"pot_1", "pot_new"} {
		if got := w.standing("psn_1", object); got != compliance.StandingRefused {
			t.Errorf("%s of a blocked person stands %q", object, got)
		}
	}
	w.do(c.ID, compliance.Act{Do: compliance.Reopen, By: maria})
	if got := w.standing("psn_1", "pot_new"); got != compliance.StandingHeld {
		t.Errorf("while the case is looked at again it stands %q", got)
	}
}

// GwG §46 is about a person, not about a merchant's customer number.
func TestWaitingPeriodFollowsThePersonToOtherMerchants(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		w.same["psn_1"] = []string{"identity-of-erika"}
		w.same["psn_elsewhere"] = []string{"another spelling", "identity-of-erika"}
		w.reported(w.raise(finding()))
		if !w.held("psn_elsewhere", "pot_8") {
			t.Error("her payout at another merchant runs")
		}
		if got := w.standing("psn_new", "pot_9", "identity-of-erika"); got != compliance.StandingHeld {
			t.Errorf("her first payout at a third merchant stands %q", got)
		}
		if got := w.standing("psn_2", "pot_7", "identity-of-karl"); got != compliance.StandingFree {
			t.Errorf("somebody else's stands %q", got)
		}
	})
}

// Three players on one account are three people whose money waits.
func TestReportAboutAnAccountHoldsAllWhoUsedIt(t *testing.T) {
	w := sqliteWorld(t)
	deposit := func(player string) *psd2.Payment {
		now := w.clock.Now()
		p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: w.db.PersonID("mer_1", player), State: psd2.StateSettled,
			Amount: psd2.Euro(5000), CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour), LinkHash: psd2.NewID("lnk", now, rand.Reader),
			Personal: psd2.Personal{Player: psd2.Player{Reference: player}}}
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
		return p
	}
	first, second, third, other := deposit("a"), deposit("b"), deposit("c"), deposit("d")
	on := func(kind string, p *psd2.Payment, evidence ...string) *compliance.Case {
		inputs, err := json.Marshal(map[string]any{"evidence": evidence})
		must(t, err)
		return w.raise(finding(func(f *compliance.Finding) {
			f.EntityKind, f.EntityKey, f.PersonID, f.ObjectID, f.Rule, f.Inputs = kind, "key of "+kind, "", p.ID, "R05", inputs
		}))
	}
	c := on("iban", second, first.ID)
	on("iban", third, first.ID, second.ID)
	ip := on("ip", second, other.ID)
	w.reported(c)
	w.reported(ip)
	for name, p := range map[string]*psd2.Payment{"first": first, "second": second, "third": third} {
		if !w.held(p.PersonID, "pot_of_"+name) {
			t.Errorf("the money of the %s player runs", name)
		}
	}
	if w.held(other.PersonID, "pot_other") {
		t.Error("who only shares an internet address is held")
	}
}
