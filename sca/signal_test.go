package sca_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// watching is monitoring that keeps what it is told, and fails when it should.
type watching struct {
	told []sca.Notice
	fail error
}

func (w *watching) Suspect(_ *store.Tx, n sca.Notice) error {
	if w.fail == nil {
		w.told = append(w.told, n)
	}
	return w.fail
}

// watched is a world with somebody who watches for fraud.
func watched(t *testing.T) (*world, *watching) {
	t.Helper()
	w, m := sqlite(t), &watching{}
	s, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: w.db, Now: w.clock.Now, Notices: w.notices, Monitoring: m})
	must(t, err)
	w.Service = s
	return w, m
}

// TestNotMeBlocksThatPaymentAndWeighsOnLaterOnes: and is told to monitoring
// with the payment, once, in the same transaction or not at all.
func TestNotMeBlocksThatPaymentAndWeighsOnLaterOnes(t *testing.T) {
	w, m := watched(t)
	p := w.withPhone()
	_, q := w.asked(p, "pay_1")
	m.fail = errors.New("monitoring is away")
	if _, err := p.answer(q, sca.DecideNotMe, "", nil); !errors.Is(err, m.fail) {
		t.Fatalf("reported although nobody was told: %v", err)
	}
	m.fail = nil
	r, err := p.answer(q, sca.DecideNotMe, "", nil)
	must(t, err)
	if r.State != sca.Reported || len(m.told) != 1 || m.told[0].What != sca.NotMe || m.told[0].PaymentID != "pay_1" || m.told[0].PersonID != w.person || m.told[0].ID == "" {
		t.Fatalf("%+v %+v", r, m.told)
	}
	for payment, want := range map[string]sca.Level{"pay_1": sca.Block, "pay_2": sca.Strong} {
		got := w.require(sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(500), Approach: "redirect"})
		list, err := w.Decisions(t.Context(), payment)
		must(t, err)
		risk := list[0].Facts.Risk
		if got.Level != want || risk.Score != 50 || !slices.Contains(risk.Reasons, sca.NotMe) || slices.Contains(got.Exemptions, sca.TRA) {
			t.Errorf("%s: %+v, risk %+v", payment, got.Decision, risk)
		}
	}
	w.clock.Add(30 * 24 * time.Hour)
	if got := w.require(sca.PaymentFacts{PaymentID: "pay_3", PersonID: w.person, Amount: psd2.Euro(500), Approach: "redirect"}); got.Level != sca.None {
		t.Errorf("a month later: %+v", got.Decision)
	}
}

func TestMonitoringHearsOfFailuresAndClones(t *testing.T) {
	w, m := watched(t)
	a := w.withTOTP()
	c := w.begin("pay_1", sca.Any)
	for range 5 {
		refused(t, w.answerCode(c.ID, a.wrong()))
	}
	refused(t, w.answerCode(c.ID, a.code()))
	if len(m.told) != 1 || m.told[0].What != sca.MethodBlocked || m.told[0].Method != sca.TOTP {
		t.Errorf("%+v", m.told)
	}
	got := w.require(sca.PaymentFacts{PaymentID: "pay_2", PersonID: w.person, Amount: psd2.Euro(500), Approach: "redirect", Risk: sca.Risk{Score: 5, Reasons: []string{"x"}}})
	list, err := w.Decisions(t.Context(), "pay_2")
	must(t, err)
	if risk := list[0].Facts.Risk; risk.Score != 15 || !slices.Equal(risk.Reasons, []string{"x", sca.MethodBlocked}) {
		t.Errorf("%+v %+v", got.Decision, risk)
	}
}
