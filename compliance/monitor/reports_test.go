package monitor_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// reportOn takes the case about a transaction to a filed report of suspicion,
// by two reporting officers.
func (w *world) reportOn(objectID string) {
	w.t.Helper()
	second := compliance.Officer{ID: "ofc_moritz", Name: "Moritz Milan", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-moritz"}
	var id string
	must(w.t, w.db.Get(ctx, &id, `SELECT case_id FROM compliance_alerts JOIN compliance_hits ON alert_id = compliance_alerts.id WHERE object_id = ?`, objectID))
	do := func(a compliance.Act) {
		w.t.Helper()
		c, err := w.desk.Case(ctx, maria, id)
		must(w.t, err)
		a.Version, a.Note = c.Version, "a note in words"
		_, err = w.desk.Act(ctx, id, a)
		must(w.t, err)
	}
	do(compliance.Act{Do: compliance.Investigate, By: maria})
	p := goaml.Sandbox()
	must(w.t, w.desk.SaveReport(ctx, maria, id, p, goaml.Report{
		Facts: "Eine Einzahlung mit auffälligem Verwendungszweck, danach sofort eine Auszahlung an ein fremdes Konto.", Complaint: "keine",
		Indicators: []string{p.Indicators[0].Code}, Officer: goaml.Person{FirstName: "Maria", LastName: "Meise", Email: "fiu@casino.example"},
		Subject: goaml.Person{FirstName: "Jörg", LastName: "Müßig", BirthDate: "1980-02-29", BirthPlace: "Görlitz", Nationality: "DE", Residence: "DE",
			Address: "Königstraße 5", PostCode: "10115", City: "Berlin"},
		Transactions: []goaml.Transaction{{Number: objectID, At: w.clock.Now(), Amount: psd2.Euro(5000), Purpose: "Einzahlung", FromSubject: true,
			From: goaml.Account{Name: "Jörg Müßig", IBAN: "DE02120300000000202051"}, To: goaml.Account{Name: "Casino GmbH", IBAN: "DE89370400440532013000"}}},
	}))
	do(compliance.Act{Do: compliance.ProposeSAR, By: maria, Reason: "structuring"})
	do(compliance.Act{Do: compliance.Approve, By: second})
	do(compliance.Act{Do: compliance.File, By: maria, Reference: "FIU-2026-0815"})
}

// Whom an earlier report of suspicion was about is on the internal list, with
// his accounts, wherever he plays and whoever uses them; what was there before
// the report is not looked at again.
func TestSubjectsOfEarlierReportsAreOnTheInternalList(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.start(nil, []func(*monitor.Config){func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE }},
			[]func(*monitor.Deps){func(d *monitor.Deps) { d.Reports = w.desk }})
		listed := func(id string) bool { _, hit := w.hits(id)["R29"]; return hit }
		subject := payment{player: "p1", name: "Jörg Müßig", born: "1980-02-29", holder: "Jörg Müßig", amount: 5000, iban: ibans[0], reference: "bitcoin"}
		odd := w.deposit(subject)
		before := w.deposit(payment{player: "p2", name: "Eva Muster", born: "1975-01-01", amount: 5000, iban: ibans[0]})
		must(t, w.catchUp(m))
		w.clock.Add(time.Hour)
		w.reportOn(odd.ID)
		w.clock.Add(time.Hour)
		elsewhere := w.deposit(payment{player: "elsewhere", name: subject.name, born: subject.born, amount: 5000, iban: "DE96701500005749337530"}) // the same human
		subject.reference, subject.name, subject.holder, subject.iban = "", "Jörg Neuname", "Jörg Neuname", ibans[1]
		again := w.deposit(subject)
		shared := w.deposit(payment{player: "p3", name: "Ida Andere", born: "1990-01-01", amount: 5000, iban: ibans[0]})
		other := w.deposit(payment{player: "p4", name: "Ole Anders", born: "1991-01-01", amount: 5000, iban: ibans[2]})
		must(t, w.catchUp(m))
		for name, c := range map[string]struct {
			id   string
			want bool
		}{"reported transaction": {odd.ID, false}, "same account before": {before.ID, false}, "subject later": {again.ID, true},
			"subject elsewhere": {elsewhere.ID, true}, "same account later": {shared.ID, true}, "somebody else": {other.ID, false}} {
			if got := listed(c.id); got != c.want {
				t.Errorf("%s: on the internal list %t, want %t", name, got, c.want)
			}
		}
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		late, err := m.Gate().Deposit(ctx, before, mer)
		must(t, err)
		if slices.ContainsFunc(late.Judgement.Hits, func(h rules.Hit) bool { return h.Rule == "R29" }) {
			t.Error("what was there before the report is on the internal list")
		}
		payout := &psd2.Transfer{ID: psd2.NewID(psd2.PrefixPayout, w.clock.Now(), rand.Reader), Kind: psd2.KindPayout, MerchantID: merchant, PersonID: again.PersonID,
			Amount: psd2.Euro(100), AccountID: "acc_1", PaymentID: again.ID,
			Personal: psd2.TransferPersonal{Reference: "Auszahlung", Player: again.Personal.Player, Payee: psd2.Party{IBAN: ibans[1]}}}
		payout.Create(w.clock.Now())
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreateTransfer(payout) }))
		must(t, w.catchUp(m))
		v, err := m.Gate().Transfer(ctx, payout)
		must(t, err)
		if v.Action != rules.Hold || v.FirstRule() != "R29" {
			t.Errorf("his payout: %s by %s, want HOLD by R29", v.Action, v.FirstRule())
		}
		var kept []string // neither the facts nor what the officers see tell of a report
		must(t, w.db.Select(ctx, &kept, `SELECT facts FROM monitor_transactions UNION ALL SELECT hit FROM monitor_hits`))
		for _, doc := range kept {
			if strings.Contains(doc, "report") {
				t.Errorf("%s", doc)
			}
		}
	})
}
