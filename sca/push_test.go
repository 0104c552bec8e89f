package sca_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/sca"
)

// asked opens a challenge and asks the phone.
func (w *world) asked(p *phone, payment string) (sca.Challenge, sca.PushChallenge) {
	w.t.Helper()
	c := w.begin(payment, sca.Strong)
	must(w.t, w.StartPush(w.t.Context(), c.ID, browser))
	return c, p.waiting()
}

func (w *world) state(c sca.Challenge) sca.State {
	w.t.Helper()
	now, err := w.Challenge(w.t.Context(), c.ID, browser)
	must(w.t, err)
	return now.State
}

// other is a number that is not the challenge's.
func other(c sca.Challenge) string {
	if c.Number == "11" {
		return "12"
	}
	return "11"
}

func TestPhoneApprovesWithTheNumber(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		p := w.withPhone()
		c, q := w.asked(p, "pay_1")
		if q.Display != c.Display || q.LinkHash != c.LinkHash {
			t.Errorf("the phone shows %+v", q)
		}
		r, err := p.answer(q, sca.DecideApprove, c.Number, nil)
		must(t, err)
		if r.State != sca.Approved || w.state(c) != sca.Approved {
			t.Errorf("%+v", r)
		}
	})
}

func TestPushesAreFew(t *testing.T) { // A19
	w := sqlite(t)
	p := w.withPhone()
	push := func(n int) error {
		return w.StartPush(t.Context(), w.begin(fmt.Sprint("pay_", n), sca.Strong).ID, browser)
	}
	limited := func(err error) bool { return psd2.CodeOf(err) == psd2.CodeRateLimited }
	must(t, push(1))
	if err := push(2); !limited(err) {
		t.Errorf("a second push while one is open: %v", err)
	}
	n := 3
	for range 2 { // three in five minutes
		w.clock.Add(121 * time.Second)
		n++
		must(t, push(n))
	}
	w.clock.Add(57 * time.Second)
	must(t, w.Cancel(t.Context(), w.latest(), browser))
	if err := push(50); !limited(err) {
		t.Errorf("a fourth push within five minutes: %v", err)
	}
	for range 7 { // ten in a day
		w.clock.Add(6 * time.Minute)
		n++
		must(t, push(n))
	}
	w.clock.Add(6 * time.Minute)
	if err := push(60); !limited(err) {
		t.Errorf("an eleventh push within a day: %v", err)
	}
	list, err := w.PushChallenges(t.Context(), p.session)
	must(t, err)
	if len(list) != 0 {
		t.Errorf("%d challenges reached the phone", len(list))
	}
	w.clock.Add(24 * time.Hour)
	must(t, push(61))
}

// latest is the newest challenge's id.
func (w *world) latest() (id string) {
	w.t.Helper()
	must(w.t, w.db.Get(w.t.Context(), &id, `SELECT id FROM sca_challenges WHERE state = 'open' ORDER BY id DESC LIMIT 1`))
	return id
}

func TestOneWrongNumberEndsIt(t *testing.T) { // A20
	w := sqlite(t)
	p := w.withPhone()
	c, q := w.asked(p, "pay_1")
	r, err := p.answer(q, sca.DecideApprove, other(c), nil)
	must(t, err)
	if r.State != sca.Cancelled {
		t.Errorf("%+v", r)
	}
	if _, err := p.answer(q, sca.DecideApprove, c.Number, nil); reason(err) != "sca_challenge_ended" {
		t.Errorf("the right number after the wrong one: %v", err)
	}
}

func TestAnswersAboutSomethingElseAreRefused(t *testing.T) { // A21, A24
	for name, change := range map[string]func(map[string]string){
		"another link": func(m map[string]string) { m["link_hash"] = fmt.Sprintf("%064d", 1) },
		"another text": func(m map[string]string) { m["text"] = "Pay EUR 1.00\nto somebody" },
		"another hash": func(m map[string]string) { m["text_hash"] = fmt.Sprintf("%064d", 1) },
		"no decision":  func(m map[string]string) { m["decision"] = "yes" },
		"no challenge": func(m map[string]string) { m["challenge"] = "chl_1" },
	} {
		w := sqlite(t)
		p := w.withPhone()
		c, q := w.asked(p, "pay_1")
		if _, err := p.answer(q, sca.DecideApprove, c.Number, change); !sca.Refused(err) {
			t.Errorf("%s: %v", name, err)
		}
		if w.state(c) != sca.Open {
			t.Errorf("%s: the challenge is %s", name, w.state(c))
		}
		// Another key, with the device's stolen session.
		thief := newPhone(w)
		thief.session = p.session
		if _, err := thief.answer(q, sca.DecideApprove, c.Number, nil); !sca.Refused(err) {
			t.Errorf("a stolen session approves: %v", err)
		}
		_, err := p.answer(q, sca.DecideApprove, c.Number, nil)
		must(t, err)
	}
}

func TestFirstDecisionStays(t *testing.T) { // A23
	for _, order := range [][2]string{{sca.DecideDecline, sca.DecideApprove}, {sca.DecideApprove, sca.DecideDecline}, {sca.DecideNotMe, sca.DecideApprove}} {
		w := sqlite(t)
		p := w.withPhone()
		c, q := w.asked(p, "pay_1")
		first, err := p.answer(q, order[0], c.Number, nil)
		must(t, err)
		if _, err := p.answer(q, order[1], c.Number, nil); reason(err) != "sca_challenge_ended" {
			t.Errorf("%v: %v", order, err)
		}
		if w.state(c) != first.State {
			t.Errorf("%v: %s", order, w.state(c))
		}
	}
	w := sqlite(t)
	p := w.withPhone()
	c, q := w.asked(p, "pay_1")
	w.clock.Add(121 * time.Second)
	if _, err := p.answer(q, sca.DecideApprove, c.Number, nil); reason(err) != "sca_challenge_ended" {
		t.Errorf("a late approval: %v", err)
	}
}

func TestThisWasNotMeIsHeard(t *testing.T) {
	w := sqlite(t)
	p := w.withPhone()
	for n := range 2 {
		c, q := w.asked(p, fmt.Sprint("pay_", n))
		r, err := p.answer(q, sca.DecideNotMe, "", nil)
		must(t, err)
		if r.State != sca.Reported || w.state(c) != sca.Reported {
			t.Errorf("%+v", r)
		}
	}
	if w.notices.count(sca.NotMe) != 2 || w.notices.count(sca.PushOff) != 1 {
		t.Errorf("%+v", w.notices.list)
	}
	if w.notices.list[len(w.notices.list)-2].PaymentID != "pay_1" {
		t.Errorf("monitoring is not told of which payment: %+v", w.notices.list)
	}
	w.clock.Add(10 * time.Minute)
	if err := w.StartPush(t.Context(), w.begin("pay_9", sca.Strong).ID, browser); reason(err) != "push_limit" {
		t.Errorf("push after two denials: %v", err)
	}
}

func TestDevicesArePairedWithProofAndConfirmation(t *testing.T) { // A24
	w := sqlite(t)
	by := w.enrolment()
	token, err := w.PairDevice(t.Context(), by)
	must(t, err)
	p := newPhone(w)
	// Without the private key, or with a proof for another token.
	_, _, err = w.RegisterDevice(t.Context(), token, "Phone", p.jwk, newPhone(w).sign([]byte("rialto-device:"+token), w.clock.Now()))
	refused(t, err)
	_, _, err = w.RegisterDevice(t.Context(), token, "Phone", p.jwk, p.sign([]byte("rialto-device:x"), w.clock.Now()))
	refused(t, err)
	secret, number, err := w.RegisterDevice(t.Context(), token, "Phone", p.jwk, p.sign([]byte("rialto-device:"+token), w.clock.Now()))
	must(t, err)
	_, _, err = w.RegisterDevice(t.Context(), token, "Second", newPhone(w).jwk, p.sign([]byte("rialto-device:"+token), w.clock.Now()))
	refused(t, err)
	// It does not count before its person has confirmed its number; a wrong
	// number ends the pairing.
	if methods, err := w.Methods(t.Context(), w.person); err != nil || len(methods) != 0 {
		t.Errorf("an unconfirmed device counts: %v %v", methods, err)
	}
	id, err := w.Pairing(t.Context(), by)
	must(t, err)
	wrong := "11"
	if number == wrong {
		wrong = "12"
	}
	refused(t, w.ConfirmDevice(t.Context(), by, id, wrong))
	if err := w.ConfirmDevice(t.Context(), by, id, number); err == nil {
		t.Error("the right number after a wrong one")
	}
	if _, err := w.Session(t.Context(), sca.SessionDevice, secret, true); !sca.NoSession(err) {
		t.Errorf("the device of a failed pairing has a session: %v", err)
	}
	// A code older than two minutes pairs nothing.
	token, err = w.PairDevice(t.Context(), by)
	must(t, err)
	w.clock.Add(121 * time.Second)
	late := newPhone(w)
	_, _, err = w.RegisterDevice(t.Context(), token, "Phone", late.jwk, late.sign([]byte("rialto-device:"+token), w.clock.Now()))
	refused(t, err)
}

// TestDeviceThatNeedsLongerGetsMoreTime: as often as it asks, until what is
// confirmed is over.
func TestDeviceThatNeedsLongerGetsMoreTime(t *testing.T) { // B29
	w := sqlite(t)
	p := w.withPhone()
	c, q := w.asked(p, "pay_1")
	if q.Left != 120 || !q.More {
		t.Fatalf("%+v", q)
	}
	w.clock.Add(110 * time.Second)
	must(t, w.MorePush(t.Context(), p.session, q.ID))
	if q = p.waiting(); q.Left != 120 || !q.More {
		t.Errorf("%+v", q)
	}
	thief := *p
	thief.session.FactorID = "fac_1"
	if err := w.MorePush(t.Context(), thief.session, q.ID); err == nil {
		t.Error("another device has a say")
	}
	w.clock.Add(110 * time.Second)
	must(t, w.MorePush(t.Context(), p.session, q.ID))
	if q = p.waiting(); q.Left > 80 || q.More { // five minutes in all
		t.Errorf("%+v", q)
	}
	if err := w.MorePush(t.Context(), p.session, q.ID); reason(err) != "sca_challenge_ended" {
		t.Errorf("beyond what is confirmed: %v", err)
	}
	w.clock.Add(30 * time.Second)
	r, err := p.answer(q, sca.DecideApprove, c.Number, nil)
	must(t, err)
	if r.State != sca.Approved {
		t.Errorf("%+v", r)
	}
	if err := w.MorePush(t.Context(), p.session, q.ID); reason(err) != "sca_challenge_ended" {
		t.Errorf("one that has ended: %v", err)
	}
}

func TestRevokingADeviceEndsItsChallenges(t *testing.T) { // A24
	w := sqlite(t)
	by := w.enrolment()
	a := w.enrolTOTP(by)
	must(t, w.VerifyCode(t.Context(), by, sca.TOTP, a.code()))
	by = w.session2(by)
	p := w.enrolPhone(by)
	c, q := w.asked(p, "pay_1")
	list, err := w.Factors(t.Context(), w.person)
	must(t, err)
	for _, f := range list {
		if f.Method == sca.Push {
			must(t, w.Revoke(t.Context(), by, f.ID))
		}
	}
	if w.state(c) != sca.Cancelled {
		t.Errorf("the challenge is %s", w.state(c))
	}
	if _, err := p.answer(q, sca.DecideApprove, c.Number, nil); err == nil {
		t.Error("a revoked device approved")
	}
}

func TestPhoneTakesOverOnceAndDesktopOnlyWatches(t *testing.T) { // B25, B26
	w := sqlite(t)
	a := w.withTOTP()
	c := w.begin("pay_1", sca.Any)
	if _, err := w.HandOver(t.Context(), c.ID, "somebody else's"); err == nil {
		t.Error("another browser hands the payment over")
	}
	old, err := w.HandOver(t.Context(), c.ID, browser)
	must(t, err)
	token, err := w.HandOver(t.Context(), c.ID, browser)
	must(t, err)
	_, _, err = w.TakeOver(t.Context(), old)
	refused(t, err)
	id, secret, err := w.TakeOver(t.Context(), token)
	must(t, err)
	_, _, err = w.TakeOver(t.Context(), token)
	refused(t, err)
	phone := sca.SessionHash(secret)
	seen, err := w.Challenge(t.Context(), id, phone)
	must(t, err)
	if seen.Number != c.Number || seen.Display != c.Display {
		t.Errorf("the screens differ: %+v", seen)
	}
	refused(t, w.answerCode(c.ID, a.code())) // the desktop
	_, renewed := w.Renew(t.Context(), c.ID, browser)
	_, handed := w.HandOver(t.Context(), c.ID, browser)
	for name, err := range map[string]error{"renews": renewed, "hands on": handed, "cancels": w.Cancel(t.Context(), c.ID, browser), "asks a device": w.StartPush(t.Context(), c.ID, browser)} {
		if reason(err) != "sca_handed_on" {
			t.Errorf("the desktop %s: %v", name, err)
		}
	}
	if w.state(c) != sca.Open {
		t.Errorf("the challenge is %s", w.state(c))
	}
	_, err = w.Answer(t.Context(), id, sca.Answer{Session: phone, Method: sca.TOTP, Code: a.code()})
	must(t, err)

	// Late, and taken back.
	c = w.begin("pay_2", sca.Any)
	token, err = w.HandOver(t.Context(), c.ID, browser)
	must(t, err)
	w.clock.Add(121 * time.Second)
	_, _, err = w.TakeOver(t.Context(), token)
	refused(t, err)
	token, err = w.HandOver(t.Context(), c.ID, browser)
	must(t, err)
	_, secret, err = w.TakeOver(t.Context(), token)
	must(t, err)
	must(t, w.TakeBack(t.Context(), c.ID, browser))
	_, err = w.Answer(t.Context(), c.ID, sca.Answer{Session: sca.SessionHash(secret), Method: sca.TOTP, Code: a.code()})
	refused(t, err)
	must(t, w.answerCode(c.ID, a.code()))
}
