package sca_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/sca"
)

func TestPersonWithNothingButAPhoneProvesHimself(t *testing.T) { // A15, A24
	w := sqlite(t)
	p := w.withPhone()
	by := w.enrolment()
	if err := w.Rename(t.Context(), by, p.session.FactorID, "Mine"); reason(err) != "reauthenticate" {
		t.Fatalf("without a proof: %v", err)
	}
	must(t, w.AskVerify(t.Context(), by, "en"))
	asked, err := w.VerifyAsked(t.Context(), by)
	must(t, err)
	number := asked.Number
	q := p.waiting()
	if asked.State != sca.Open || q.Display.Text != "Change your ways to confirm payments\nNothing is paid" {
		t.Fatalf("%s: the phone shows %q", asked.State, q.Display.Text)
	}
	if err := w.AskVerify(t.Context(), by, "en"); psd2.CodeOf(err) != psd2.CodeRateLimited { // A19
		t.Errorf("two at a time: %v", err)
	}
	other := w.enrolment()
	if seen, err := w.VerifyAsked(t.Context(), other); err != nil || seen.State != "" {
		t.Errorf("another session sees it: %s %v", seen.State, err)
	}
	r, err := p.answer(q, sca.DecideApprove, number, nil)
	must(t, err)
	if r.State != sca.Approved {
		t.Fatalf("%+v", r)
	}
	if _, err := p.answer(q, sca.DecideApprove, number, nil); reason(err) != "sca_challenge_ended" {
		t.Errorf("twice: %v", err)
	}
	fresh, err := w.Refreshed(t.Context(), by)
	must(t, err)
	must(t, w.Rename(t.Context(), fresh, p.session.FactorID, "Mine"))
	if err := w.Rename(t.Context(), other, p.session.FactorID, "Theirs"); reason(err) != "reauthenticate" {
		t.Errorf("the proof counts for another session: %v", err)
	}
	if _, err := w.Receipt(t.Context(), ""); psd2.CodeOf(err) != psd2.CodeNotFound {
		t.Errorf("it made a receipt: %v", err)
	}
}

func TestWrongNumberOrLateAnswerProvesNothing(t *testing.T) { // A20, A26
	w := sqlite(t)
	p := w.withPhone()
	for name, answer := range map[string]func(q sca.PushChallenge, number string){
		"wrong number": func(q sca.PushChallenge, number string) {
			wrong := "11"
			if number == wrong {
				wrong = "12"
			}
			if r, err := p.answer(q, sca.DecideApprove, wrong, nil); err != nil || r.State != sca.Cancelled {
				t.Errorf("%+v %v", r, err)
			}
			if _, err := p.answer(q, sca.DecideApprove, number, nil); err == nil {
				t.Error("a second try")
			}
		},
		"late": func(q sca.PushChallenge, number string) {
			w.clock.Add(121 * time.Second)
			if _, err := p.answer(q, sca.DecideApprove, number, nil); err == nil {
				t.Error("it was taken")
			}
		},
		"declined": func(q sca.PushChallenge, _ string) {
			if r, err := p.answer(q, sca.DecideDecline, "", nil); err != nil || r.State != sca.Declined {
				t.Errorf("%+v %v", r, err)
			}
		},
	} {
		by := w.enrolment()
		must(t, w.AskVerify(t.Context(), by, "en"))
		asked, err := w.VerifyAsked(t.Context(), by)
		must(t, err)
		answer(p.waiting(), asked.Number)
		now, err := w.Refreshed(t.Context(), by)
		must(t, err)
		if err := w.Rename(t.Context(), now, p.session.FactorID, "Mine"); reason(err) != "reauthenticate" {
			t.Errorf("%s: %v", name, err)
		}
		w.clock.Add(6 * time.Minute)
	}
}

// TestPersonWithoutAPhoneIsNotAsked: there is nobody to ask.
func TestPersonWithoutAPhoneIsNotAsked(t *testing.T) {
	w := sqlite(t)
	w.withTOTP()
	refused(t, w.AskVerify(t.Context(), w.enrolment(), "en"))
}

// TestThisWasNotMeShutsOutWhoAsked: somebody else sits at the person's factors.
func TestThisWasNotMeShutsOutWhoAsked(t *testing.T) {
	w := sqlite(t)
	p := w.withPhone()
	by, other := w.enrolment(), w.enrolment()
	token, err := w.EnrolPayer(t.Context(), w.person)
	must(t, err)
	must(t, w.AskVerify(t.Context(), by, "en"))
	r, err := p.answer(p.waiting(), sca.DecideNotMe, "", nil)
	must(t, err)
	if r.State != sca.Reported {
		t.Fatalf("%+v", r)
	}
	for name, one := range map[string]sca.Session{"that asked": by, "beside it": other} {
		if _, err := w.Refreshed(t.Context(), one); !sca.NoSession(err) {
			t.Errorf("the session %s lives on: %v", name, err)
		}
	}
	_, err = w.OpenEnrolment(t.Context(), token)
	refused(t, err)
	if _, err := w.Refreshed(t.Context(), p.session); err != nil { // his own device stays
		t.Errorf("the device: %v", err)
	}
}

// TestMoreTimeForAProofByPhone: the page that asked may ask for it.
func TestMoreTimeForAProofByPhone(t *testing.T) { // B29
	w := sqlite(t)
	p := w.withPhone()
	by := w.enrolment()
	if err := w.MoreVerify(t.Context(), by); reason(err) != "sca_challenge_ended" {
		t.Errorf("before anything was asked: %v", err)
	}
	must(t, w.AskVerify(t.Context(), by, "en"))
	w.clock.Add(110 * time.Second)
	must(t, w.MoreVerify(t.Context(), by))
	asked, err := w.VerifyAsked(t.Context(), by)
	must(t, err)
	if left := asked.ExpiresAt.Sub(w.clock.Now()); left != 2*time.Minute || !asked.More {
		t.Errorf("%s left, more %t", left, asked.More)
	}
	w.clock.Add(100 * time.Second)
	r, err := p.answer(p.waiting(), sca.DecideApprove, asked.Number, nil)
	must(t, err)
	if r.State != sca.Approved {
		t.Errorf("%+v", r)
	}
}
