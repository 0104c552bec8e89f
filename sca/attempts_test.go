package sca_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

func TestSixthTryIsRefusedEvenIfRight(t *testing.T) { // A07
	twoHandles(t, func(t *testing.T, one, two *world) {
		a := one.withTOTP()
		for i := range 5 { // over payments and processes
			w := one
			if i%2 == 1 {
				w = two
			}
			refused(t, w.answerCode(w.begin(fmt.Sprint("pay_", i), sca.Any).ID, a.wrong()))
		}
		refused(t, two.answerCode(two.begin("pay_6", sca.Any).ID, a.code()))
		if n := one.notices.count(sca.MethodBlocked) + two.notices.count(sca.MethodBlocked); n != 1 {
			t.Errorf("the person was told %d times", n)
		}
		one.clock.Add(15*time.Minute + time.Second)
		must(t, one.answerCode(one.begin("pay_7", sca.Any).ID, a.code()))
	})
}

func TestBlocksGrow(t *testing.T) {
	w := sqlite(t)
	a := w.withTOTP()
	for _, block := range []time.Duration{15 * time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour} {
		for range 5 {
			refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.wrong()))
		}
		w.clock.Add(block - time.Minute)
		refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.code()))
		w.clock.Add(time.Minute)
	}
	must(t, w.answerCode(w.begin("pay_2", sca.Any).ID, a.code()))
}

func TestOfAHundredParallelTriesFiveAreCompared(t *testing.T) { // A08
	testkitBoth(t, func(t *testing.T, w *world) {
		a := w.withTOTP()
		ids := make([]string, 100)
		for i := range ids {
			ids[i] = w.begin(fmt.Sprint("pay_", i), sca.Any).ID
		}
		wrong := a.wrong()
		race(ids, func(_ int, id string) {
			if err := w.answerCode(id, wrong); err == nil {
				t.Error("a wrong code was taken")
			}
		})
		var total int
		must(t, w.db.Get(t.Context(), &total, `SELECT total FROM sca_attempts WHERE person_id = ? AND method = 'totp'`, w.person))
		if total != 5 {
			t.Errorf("%d tries were counted, so compared", total)
		}
	})
}

func TestOnlySuccessOfTheSameMethodStartsTheCountAnew(t *testing.T) { // A09
	w := sqlite(t)
	by := w.enrolment()
	a := w.enrolTOTP(by)
	must(t, w.VerifyCode(t.Context(), by, sca.TOTP, a.code()))
	by = w.session2(by)
	k := w.enrolPasskey(by)
	w.clock.Add(30 * time.Second)
	for range 4 {
		refused(t, w.answerCode(w.begin("pay_1", sca.Any).ID, a.wrong()))
	}
	c := w.begin("pay_2", sca.Any)
	must(t, w.answerKey(c.ID, k.assert(t, c.Options))) // another method
	refused(t, w.answerCode(w.begin("pay_3", sca.Any).ID, a.wrong()))
	refused(t, w.answerCode(w.begin("pay_4", sca.Any).ID, a.code())) // blocked
	w.clock.Add(16 * time.Minute)
	must(t, w.answerCode(w.begin("pay_5", sca.Any).ID, a.code()))

	// Successes in between do not stretch the total: 100 failures lock for good.
	for n := 5; n < 100; {
		for i := 0; i < 4 && n < 100; i++ {
			refused(t, w.answerCode(w.begin("pay_6", sca.Any).ID, a.wrong()))
			n++
		}
		w.clock.Add(30 * time.Second)
		if n < 100 {
			must(t, w.answerCode(w.begin("pay_6", sca.Any).ID, a.code()))
		}
	}
	if w.notices.count(sca.MethodNearLock) == 0 || w.notices.count(sca.MethodLocked) != 1 {
		t.Errorf("warned %d times, told %d times", w.notices.count(sca.MethodNearLock), w.notices.count(sca.MethodLocked))
	}
	w.clock.Add(365 * 24 * time.Hour)
	refused(t, w.answerCode(w.begin("pay_7", sca.Any).ID, a.code()))
	must(t, sca.Lift(w.Service, t.Context(), w.person, sca.TOTP))
	must(t, w.answerCode(w.begin("pay_8", sca.Any).ID, a.code()))
}

// session2 reads a session again, with what it has proved meanwhile.
func (w *world) session2(by sca.Session) sca.Session {
	w.t.Helper()
	s, err := w.Refreshed(w.t.Context(), by)
	must(w.t, err)
	return s
}

func TestOutsidersLockNobodyOut(t *testing.T) { // A10
	w := sqlite(t)
	a := w.withTOTP()
	id := w.begin("pay_1", sca.Any).ID
	for range 20 { // the right challenge, another browser
		_, err := w.Answer(t.Context(), id, sca.Answer{Session: "somebody else's", Method: sca.TOTP, Code: a.wrong()})
		refused(t, err)
		_, err = w.Answer(t.Context(), "chl_00000000000000000000000000", sca.Answer{Session: browser, Method: sca.TOTP, Code: a.wrong()})
		refused(t, err)
	}
	must(t, w.answerCode(id, a.code()))
}

// TestLockBetweenStartAndFinishCounts: A11. The lock comes after the try got
// its right to compare and before it is committed.
func TestLockBetweenStartAndFinishCounts(t *testing.T) {
	w := sqlite(t)
	a := w.withTOTP()
	id := w.begin("pay_1", sca.Any).ID
	code := a.code()
	lock := func() {
		must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE sca_attempts SET blocked_until = ? WHERE person_id = ? AND method = 'totp'`, tx.Now.Add(time.Hour).UnixMicro(), w.person)
			return err
		}))
	}
	refused(t, sca.AnswerWith(w.Service, t.Context(), id, sca.Answer{Session: browser, Method: sca.TOTP, Code: code}, lock))
	c, err := w.Challenge(t.Context(), id, browser)
	must(t, err)
	if c.State != sca.Open {
		t.Errorf("the challenge is %s", c.State)
	}
	w.clock.Add(61 * time.Minute)
	must(t, w.answerCode(w.begin("pay_2", sca.Any).ID, a.code()))
}

func TestEveryRefusalIsTheSame(t *testing.T) { // A12
	w := sqlite(t)
	a := w.withTOTP()
	id := w.begin("pay_1", sca.Any).ID
	answers := map[string]error{
		"wrong code":   w.answerCode(id, a.wrong()),
		"no code":      w.answerCode(id, ""),
		"other method": w.answerKey(id, []byte(`{}`)),
		"push": func() error {
			_, err := w.Answer(t.Context(), id, sca.Answer{Session: browser, Method: sca.Push})
			return err
		}(),
		"no challenge": w.answerCode("chl_1", a.code()),
		"other browser": func() error {
			_, err := w.Answer(t.Context(), id, sca.Answer{Session: "x", Method: sca.TOTP, Code: a.code()})
			return err
		}(),
		"password method": func() error {
			_, err := w.Answer(t.Context(), id, sca.Answer{Session: browser, Method: sca.Password, Code: a.code()})
			return err
		}(),
	}
	for range 5 {
		_ = w.answerCode(id, a.wrong())
	}
	answers["locked"] = w.answerCode(id, a.code())
	for name, err := range answers {
		if err == nil || err.Error() != answers["wrong code"].Error() {
			t.Errorf("%s is told apart: %v", name, err)
		}
	}
}

// TestLockIsNotToldByWorkThatIsLeftOut: who is locked is compared for as well,
// and refused whatever the comparison says.
func TestLockIsNotToldByWorkThatIsLeftOut(t *testing.T) { // A12
	w := sqlite(t)
	w.guessed(w.withTOTP())
	compared := 0
	for _, says := range []error{nil, w.answerCode("chl_1", "")} {
		refused(t, sca.Attempt(w.Service, t.Context(), w.person, sca.TOTP, func() error { compared++; return says }))
	}
	if compared != 2 {
		t.Errorf("of two tries at a locked method %d were compared", compared)
	}
}

func TestOfTwoLinksUsedAtOnceOneOpens(t *testing.T) {
	twoHandles(t, func(t *testing.T, one, two *world) {
		token, err := one.EnrolPayer(t.Context(), one.person)
		must(t, err)
		var opened atomic.Int64
		race(make([]struct{}, 20), func(i int, _ struct{}) {
			w := one
			if i%2 == 1 {
				w = two
			}
			if _, err := w.OpenEnrolment(t.Context(), token); err == nil {
				opened.Add(1)
			}
		})
		if opened.Load() != 1 {
			t.Errorf("a one-time link opened %d sessions", opened.Load())
		}
		token, err = one.EnrolPayer(t.Context(), one.person)
		must(t, err)
		one.clock.Add(15 * time.Minute)
		_, err = one.OpenEnrolment(t.Context(), token)
		refused(t, err)
	})
}
