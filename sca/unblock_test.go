package sca_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// guessed makes five wrong tries with the app.
func (w *world) guessed(a app) {
	w.t.Helper()
	for range 5 {
		refused(w.t, w.answerCode(w.begin("pay_guessed", sca.Any).ID, a.wrong()))
	}
}

func (w *world) blocks(want ...sca.Method) {
	w.t.Helper()
	got, err := w.Blocked(w.t.Context(), w.person)
	must(w.t, err)
	if len(got) != len(want) {
		w.t.Errorf("blocked: %v, want %v", got, want)
	}
	for _, m := range want {
		if _, ok := got[m]; !ok {
			w.t.Errorf("%s is not blocked: %v", m, got)
		}
	}
}

func TestBlockIsLiftedByAnotherMethodOnly(t *testing.T) { // secure unblock
	w := sqlite(t)
	by := w.enrolment()
	k := w.enrolPasskey(by)
	a := w.enrolTOTP(w.session2(by))
	proved := w.session2(by) // with the app, that he has just confirmed
	w.guessed(a)
	w.blocks(sca.TOTP)
	if err := w.Unblock(t.Context(), proved, sca.TOTP); reason(err) != "reauthenticate" {
		t.Errorf("proved with what is blocked: %v", err)
	}
	stranger := w.enrolment()
	if err := w.Unblock(t.Context(), stranger, sca.TOTP); reason(err) != "reauthenticate" {
		t.Errorf("proved with nothing: %v", err)
	}
	c, err := w.BeginVerify(t.Context(), stranger)
	must(t, err)
	must(t, w.VerifyPasskey(t.Context(), stranger, c.ID, k.assert(t, c.Options)))
	must(t, w.Unblock(t.Context(), w.session2(stranger), sca.TOTP))
	w.blocks()
	if w.notices.count(sca.MethodUnblocked) != 1 {
		t.Error("nobody was told")
	}
	must(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
	w.clock.Add(6 * time.Minute) // the proof is no longer fresh
	w.guessed(a)
	if err := w.Unblock(t.Context(), w.session2Or(stranger), sca.TOTP); err == nil {
		t.Error("an old proof lifts a block")
	}
}

// session2Or is the session as it was, when it is over.
func (w *world) session2Or(by sca.Session) sca.Session {
	if s, err := w.Refreshed(w.t.Context(), by); err == nil {
		return s
	}
	return by
}

// TestLockedMethodIsEnrolledAnew: after a hundred failures that is the way back.
func TestLockedMethodIsEnrolledAnew(t *testing.T) {
	w := sqlite(t)
	by := w.enrolment()
	k := w.enrolPasskey(by)
	a := w.enrolTOTP(w.session2(by))
	must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sca_attempts SET failures = 0, total = 99 WHERE person_id = ? AND method = 'totp'`, w.person)
		return err
	}))
	refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.wrong()))
	w.blocks(sca.TOTP)
	w.clock.Add(365 * 24 * time.Hour)
	refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
	by = w.enrolment()
	c, err := w.BeginVerify(t.Context(), by)
	must(t, err)
	must(t, w.VerifyPasskey(t.Context(), by, c.ID, k.assert(t, c.Options)))
	by = w.session2(by)
	second, err := w.BeginTOTP(t.Context(), by, "anna") // beside the locked one: still locked
	must(t, err)
	fresh := app{secret: second.Key, clock: w.clock, digits: 6}
	refused(t, w.ConfirmTOTP(t.Context(), by, second.FactorID, fresh.code(), "New"))
	list, err := w.Factors(t.Context(), w.person)
	must(t, err)
	for _, f := range list {
		if f.Method == sca.TOTP {
			must(t, w.Revoke(t.Context(), by, f.ID))
		}
	}
	a = w.enrolTOTP(by)
	must(t, w.answerCode(w.begin("pay_2", sca.Any).ID, a.code()))
}

// TestOperatorLetsAPayerBeginAnew: one whose only passkey was taken out of use
// has no other way.
func TestOperatorLetsAPayerBeginAnew(t *testing.T) {
	w := sqlite(t)
	k := w.withPasskey()
	k.Cred.Counter = 5
	c := w.begin("pay_1", sca.Strong)
	must(t, w.answerKey(c.ID, k.assert(t, c.Options)))
	c = w.begin("pay_2", sca.Strong)
	refused(t, w.answerKey(c.ID, k.assert(t, c.Options)))
	by := w.enrolment()
	if _, err := w.BeginTOTP(t.Context(), by, "anna"); reason(err) != "reauthenticate" {
		t.Fatalf("a link alone overrules a blocked passkey: %v", err)
	}
	if err := w.ResetPayer(t.Context(), w.db.PersonID("mer_1", "nobody")); psd2.CodeOf(err) != psd2.CodeNotFound {
		t.Errorf("somebody who is not there: %v", err)
	}
	must(t, w.ResetPayer(t.Context(), w.person))
	if w.notices.count(sca.FactorsReset) != 1 {
		t.Error("nobody was told")
	}
	if _, err := w.Refreshed(t.Context(), by); !sca.NoSession(err) {
		t.Errorf("an old session lives on: %v", err)
	}
	if s := w.state(c); s != sca.Cancelled {
		t.Errorf("an open question is %s", s)
	}
	a := w.withTOTP()
	must(t, w.answerCode(w.begin("pay_3", sca.Any).ID, a.code()))
}

// TestEverySignInCountsTwoTries: whoever it is and whatever was wrong, as much
// is written and compared, and the answer is the same.
func TestEverySignInCountsTwoTries(t *testing.T) { // A12
	w := sqlite(t)
	c := w.hire("olga", "operator")
	locked := w.hire("lena", "operator")
	try := func(name string, l sca.CodeLogin) {
		t.Helper()
		w.clock.Add(time.Second)
		l.Address = name
		_, _, err := c.staff.LoginCode(t.Context(), l)
		refused(t, err)
		var touched int
		must(t, w.db.Get(t.Context(), &touched, `SELECT COUNT(*) FROM sca_attempts WHERE tried_at = ?`, w.clock.Now().UnixMicro()))
		if touched != 2 {
			t.Errorf("%s: %d counts were written, want 2", name, touched)
		}
	}
	for range 5 {
		w.clock.Add(time.Second)
		_, _, err := c.staff.LoginCode(t.Context(), sca.CodeLogin{Login: "lena", Password: password, Code: locked.app.wrong(), Address: "a"})
		refused(t, err)
	}
	for range 6 { // nobody's counts are full as well
		_, _, err := c.staff.LoginCode(t.Context(), sca.CodeLogin{Login: "nobody", Password: password, Code: "000000", Address: "unknown, blocked"})
		refused(t, err)
	}
	try("right password, wrong code", sca.CodeLogin{Login: "olga", Password: password, Code: c.app.wrong()})
	try("wrong password", sca.CodeLogin{Login: "olga", Password: "guess guess guess", Code: c.app.code()})
	try("both wrong", sca.CodeLogin{Login: "olga", Password: "guess guess guess", Code: c.app.wrong()})
	try("unknown", sca.CodeLogin{Login: "nobody", Password: password, Code: "000000"})
	try("unknown, blocked", sca.CodeLogin{Login: "nobody", Password: password, Code: "000000"})
	try("locked", sca.CodeLogin{Login: "lena", Password: password, Code: locked.app.code()})
	for _, n := range w.notices.list {
		if n.PersonID == "nobody" || strings.Contains(string(n.Method), "@") {
			t.Errorf("somebody is told of %+v", n)
		}
	}
	if _, err := c.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: c.app.code()}); err != nil {
		t.Errorf("the right ones: %v", err)
	}
}

// TestLockedPayerCostsAsMuch: a lock is not told by work that is left out.
func TestLockedPayerCostsAsMuch(t *testing.T) { // A12
	w := sqlite(t)
	a := w.withTOTP()
	w.guessed(a)
	c := w.begin("pay_1", sca.Any)
	w.clock.Add(time.Second)
	refused(t, w.answerCode(c.ID, a.code()))
	var touched int
	must(t, w.db.Get(t.Context(), &touched, `SELECT COUNT(*) FROM sca_attempts WHERE tried_at = ?`, w.clock.Now().UnixMicro()))
	if touched != 1 {
		t.Errorf("%d counts were written, want 1", touched)
	}
}

// TestGuessersLeaveNoRowsForEver: passwords are never locked for good, and what
// strangers tried at logins that do not exist is forgotten.
func TestGuessersLeaveNoRowsForEver(t *testing.T) { // A10
	testkitBoth(t, func(t *testing.T, w *world) {
		c := w.hire("olga", "operator")
		for n := range 30 { // 150 tries from one address, over its growing blocks
			for range 5 {
				_, _, err := c.staff.LoginCode(t.Context(), sca.CodeLogin{Login: "olga", Password: "guess guess guess", Code: "000000", Address: "one"})
				refused(t, err)
			}
			if n == 0 {
				_, _, err := c.staff.LoginCode(t.Context(), sca.CodeLogin{Login: "nobody", Password: "guess", Code: "000000", Address: "two"})
				refused(t, err)
			}
			w.clock.Add(24*time.Hour + time.Second)
		}
		_, err := c.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: c.app.code(), Address: "one"})
		must(t, err)
		a := w.withTOTP()
		refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.wrong()))
		w.clock.Add(8 * 24 * time.Hour)
		for more := true; more; {
			next, err := w.Step(t.Context(), w.clock.Now())
			must(t, err)
			more = !next.After(w.clock.Now())
		}
		var left []string
		must(t, w.db.Select(t.Context(), &left, `SELECT person_id || ' ' || method FROM sca_attempts`))
		for _, row := range left {
			if strings.Contains(row, "password@") {
				t.Errorf("%s is still there", row)
			}
		}
		var failures int
		must(t, w.db.Get(t.Context(), &failures, `SELECT total FROM sca_attempts WHERE person_id = ? AND method = 'totp'`, w.person))
		if failures != 1 {
			t.Errorf("a payer's own failure is forgotten")
		}
	})
}

// TestPaymentFromAnotherAccountIsARisk: of somebody who has factors.
func TestPaymentFromAnotherAccountIsARisk(t *testing.T) {
	w := sqlite(t)
	pay := func(n int, account psd2.IBAN, check psd2.PayerCheck) {
		t.Helper()
		p := w.executed(fmt.Sprint("pay_", n), 2500, true)
		p.PayerCheck, p.Personal.Source.IBAN = check, account
		w.took(p)
		w.took(p) // an event may come twice
	}
	asked := func() sca.Level {
		t.Helper()
		return w.require(sca.PaymentFacts{PaymentID: "pay_next", PersonID: w.person, Amount: psd2.Euro(500), CreditorIBAN: w.linked("").CreditorIBAN}).Level
	}
	pay(1, "DE89370400440532013000", psd2.PayerMatched)
	pay(2, "DE02120300000000202051", psd2.PayerMatched) // without factors it says nothing
	w.withPasskey()
	w.clock.Add(time.Second)
	pay(3, "DE02120300000000202051", psd2.PayerMatched)
	pay(4, "DE75512108001245126199", psd2.PayerUnknown)
	if level := asked(); level != sca.None {
		t.Errorf("from known accounts: %s", level)
	}
	pay(5, "DE75512108001245126199", psd2.PayerMatched)
	if level := asked(); level != sca.Strong {
		t.Errorf("after a new account: %q", level)
	}
	changes, err := w.Changes(t.Context(), w.person, 1)
	must(t, err)
	if changes[0].What != sca.OtherAccount {
		t.Errorf("he is not told: %+v", changes)
	}
	w.clock.Add(31 * 24 * time.Hour)
	if level := asked(); level != sca.None {
		t.Errorf("a month later: %s", level)
	}
}

// TestDevicesHearOfEveryChange: they are told to look, and show it.
func TestDevicesHearOfEveryChange(t *testing.T) { // A15
	w := sqlite(t)
	p := w.withPhone()
	var pinged []string
	var err error
	w.Service, err = sca.New(sca.Config{Origin: origin}, sca.Deps{Store: w.db, Now: w.clock.Now, Notices: w.notices,
		Ping: func(_ context.Context, id string) error { pinged = append(pinged, id); return nil }})
	must(t, err)
	by := w.enrolment()
	must(t, w.AskVerify(t.Context(), by, "en"))
	asked, err := w.VerifyAsked(t.Context(), by)
	must(t, err)
	_, err = p.answer(p.waiting(), sca.DecideApprove, asked.Number, nil)
	must(t, err)
	pinged = nil
	a := w.enrolTOTP(w.session2(by))
	if len(pinged) != 1 || pinged[0] != p.session.FactorID {
		t.Errorf("after a factor was added: %v", pinged)
	}
	pinged = nil
	w.guessed(a)
	if len(pinged) != 1 {
		t.Errorf("after a block: %v", pinged)
	}
	recent, err := w.Recent(t.Context(), w.person)
	must(t, err)
	if len(recent) != 3 || recent[0].What != sca.MethodBlocked {
		t.Errorf("%+v", recent)
	}
}
