package compliance_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const year = 366 * 24 * time.Hour

// deposit stores a deposit of a player, which has failed or settled.
func (w *world) deposit(player string, state psd2.State) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Now()
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: w.db.PersonID("mer_1", player), State: state,
		Amount: psd2.Euro(2500), CreatedAt: now, UpdatedAt: now, LinkHash: rand.Text(), PayerCheck: psd2.PayerMatched, SourceID: "src_1"}
	p.Personal = psd2.Personal{Reference: "Einzahlung", Player: psd2.Player{Reference: player, Name: "Jörg Müßig"},
		Source: psd2.Party{Name: "Jörg Müßig", IBAN: "DE02120300000000202051"}}
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	return p
}

// about is a finding on a payment.
func about(p *psd2.Payment) compliance.Finding {
	return finding(func(f *compliance.Finding) { f.EntityKey, f.PersonID, f.ObjectID = p.PersonID, p.PersonID, p.ID })
}

func (w *world) closed(f compliance.Finding) *compliance.Case {
	w.t.Helper()
	c := w.raise(f)
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna})
	return w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
}

func TestPersonIsErasedEverywhereOrNowhere(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		var forgotten []string
		fails := errors.New("a neighbour fails")
		w.Forget = append(w.Forget, func(_ *store.Tx, person string) error { forgotten = append(forgotten, person); return fails })
		p := w.deposit("anton", psd2.StateSettled)
		w.closed(about(p))
		refused(t, w.Erase(ctx, admin, p.PersonID, "he asked"), psd2.CodeConflict, "until 2031-11-20")
		w.clock.Add(6 * year)
		if err := w.Erase(ctx, admin, p.PersonID, "he asked"); !errors.Is(err, fails) {
			t.Fatal(err)
		}
		if got, err := w.db.Payment(ctx, p.ID); err != nil || got.Personal.Player.Name == "" {
			t.Fatalf("half of him is gone: %+v, %v", got, err)
		}
		fails = nil
		must(t, w.Erase(ctx, admin, p.PersonID, "he asked"))
		if got, err := w.db.Payment(ctx, p.ID); err != nil || got.Personal.Player.Name != "" {
			t.Fatalf("the hub still knows %+v, %v", got.Personal, err)
		}
		if len(forgotten) == 0 || forgotten[len(forgotten)-1] != p.PersonID {
			t.Errorf("neighbours forgot %v", forgotten)
		}
		refused(t, w.Erase(ctx, admin, p.PersonID, "he asked"), psd2.CodeNotFound, "")
		again := w.deposit("anton", psd2.StateSettled) // and he comes back
		c := w.raise(finding(func(f *compliance.Finding) {
			f.ID, f.EntityKey, f.PersonID, f.ObjectID = "hit_new", again.PersonID, again.PersonID, again.ID
		}))
		facts, err := w.FactsOf(ctx, c)
		must(t, err)
		if !facts.Known || facts.Player.Name != "Jörg Müßig" || len(facts.Movements) != 1 {
			t.Errorf("what is known of who came back: %+v", facts)
		}
		if r := verify(t, w, exported(t, w), nil); r.Problem != "" {
			t.Errorf("the chain: %+v", r)
		}
	})
}

func TestTransactionsAreKeptAsLongAsTheLawSays(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		paid, tried, waiting := w.deposit("paid", psd2.StateSettled), w.deposit("tried", psd2.StateFailed), w.deposit("waiting", psd2.StateAuthorizing)
		refused(t, w.Erase(ctx, admin, paid.PersonID, "he asked"), psd2.CodeConflict, "his transactions until 2031-11-20")
		must(t, w.Erase(ctx, admin, tried.PersonID, "he asked")) // no money moved: nothing to keep
		refused(t, w.Erase(ctx, admin, waiting.PersonID, "he asked"), psd2.CodeConflict, "has not come to its end")
		must(t, w.SetLegalHold(ctx, maria, paid.PersonID, "court order 5"))
		w.clock.Add(6 * year)
		step := func() {
			t.Helper()
			_, err := w.Step(ctx, w.clock.Now())
			must(t, err)
		}
		name := func(p *psd2.Payment) string {
			got, err := w.db.Payment(ctx, p.ID)
			must(t, err)
			return got.Personal.Player.Name
		}
		step()
		if name(paid) == "" || name(waiting) == "" {
			t.Error("retention went over a legal hold, or over what is under way")
		}
		if list, err := w.LegalHolds(ctx, maria, 10); err != nil || len(list) != 1 || list[0].Subject != paid.PersonID || list[0].Reason != "court order 5" {
			t.Errorf("legal holds: %+v, %v", list, err)
		}
		_, err := w.LegalHolds(ctx, anna, 10)
		refused(t, err, psd2.CodeForbidden, "role")
		must(t, w.LiftLegalHold(ctx, maria, paid.PersonID))
		step()
		if name(paid) != "" || name(waiting) == "" {
			t.Errorf("after the time: paid %q, waiting %q", name(paid), name(waiting))
		}
	})
}

// D08: two people with the same payments, one of them reported, held and on the
// whitelist: what they get on asking is the same.
func TestDisclosureTellsNothingOfSuspicion(t *testing.T) {
	w := sqliteWorld(t)
	plain, watched := w.deposit("anton", psd2.StateSettled), w.deposit("berta", psd2.StateSettled)
	w.closed(about(watched))
	w.clock.Add(time.Hour)
	second := about(watched)
	second.ID = "hit_later"
	c := w.raise(second)
	must(t, w.SetLegalHold(ctx, maria, watched.PersonID, "court order 5"))
	must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO compliance_whitelist (person_id, entry_id, until, case_id, added_at, added_by) VALUES (?, 'un:1', ?, ?, 1, 'x')`,
			watched.PersonID, w.clock.Now().Add(time.Hour).UnixMicro(), c.ID); err != nil {
			return err
		}
		return w.HoldObject(tx, watched.PersonID, "pot_1", "R12")
	}))
	text := func(p *psd2.Payment, player string) string {
		d, err := w.Disclose(ctx, admin, p.PersonID)
		must(t, err)
		b, err := json.MarshalIndent(d, "", " ")
		must(t, err)
		return strings.NewReplacer(p.ID, "ID", p.PersonID, "PERSON", player, "PLAYER").Replace(string(b))
	}
	a, b := text(plain, "anton"), text(watched, "berta")
	if a != b {
		t.Errorf("the two differ:\n%s\n%s", a, b)
	}
	if !strings.Contains(a, "Jörg Müßig") || !strings.Contains(a, "DE02120300000000202051") || !strings.Contains(a, `"kept_until": "2031-11-20`) {
		t.Errorf("something of his is missing:\n%s", a)
	}
	_, err := w.Disclose(ctx, anna, plain.PersonID)
	refused(t, err, psd2.CodeForbidden, "role")
	x, err := w.Dossier(ctx, maria, watched.PersonID) // an authority gets it all
	must(t, err)
	if len(x.Cases) != 2 {
		t.Errorf("the dossier has %d cases", len(x.Cases))
	}
	_, err = w.Dossier(ctx, admin, watched.PersonID)
	refused(t, err, psd2.CodeForbidden, "role")
}
