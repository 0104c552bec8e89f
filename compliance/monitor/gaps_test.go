package monitor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What no rule could see is counted by rule: an operator's list that is not
// there, a fact that a merchant does not send.
func TestBlindRulesAreCounted(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.start(nil, nil, nil)
		missing := false
		for i, id := range []string{"a", "b"} {
			f := &rules.Fact{ID: id, Revision: 1, At: w.clock.Add(time.Minute), Kind: rules.Deposit, Status: rules.Settled, Amount: 2000, Merchant: "m",
				Player: "p" + id, Person: "p" + id, IBAN: "i" + id}
			if i == 1 {
				f.MuleListed = &missing // this one was looked up, and is not on it
			}
			must(t, m.Observe(ctx, f))
		}
		at := func(ids ...string) (n int) {
			t.Helper()
			list, err := m.BlindTo(ctx, ids)
			must(t, err)
			for _, b := range list {
				if b.Rule == "R29" && slices.Equal(b.Missing, []string{"mule_list"}) {
					n = b.Transactions
				}
			}
			return n
		}
		if at("a") != 1 || at("b") != 0 || at("a", "b") != 1 || at() != 0 || at("c") != 0 {
			t.Errorf("blind to a %d, b %d, both %d", at("a"), at("b"), at("a", "b"))
		}
		list, of, err := m.Blind(ctx)
		must(t, err)
		if of != 2 || len(list) == 0 || list[0].Transactions != 2 {
			t.Errorf("of %d: %+v", of, list)
		}
	})
}

// A person's identities are what links him across merchants, and nothing else.
func TestIdentitiesLinkAcrossMerchants(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.start(nil, nil, nil)
		for _, f := range []*rules.Fact{
			{ID: "a", Player: "psn_1", Person: "erika", PersonLinked: true}, {ID: "b", Player: "psn_1", Person: "erika", PersonLinked: true},
			{ID: "c", Player: "psn_1", Person: "psn_1"}, {ID: "d", Player: "psn_2", Person: "karl", PersonLinked: true},
		} {
			f.Revision, f.At, f.Kind, f.Status, f.Amount, f.Merchant = 1, w.clock.Add(time.Minute), rules.Deposit, rules.Settled, 2000, "m"
			must(t, m.Observe(ctx, f))
		}
		for person, want := range map[string][]string{"psn_1": {"erika"}, "psn_2": {"karl"}, "psn_3": nil} {
			var got []string
			must(t, w.db.Tx(ctx, func(tx *store.Tx) (err error) { got, err = m.Identities(tx, person); return err }))
			if !slices.Equal(got, want) {
				t.Errorf("%s is known as %q", person, got)
			}
		}
	})
}
