package sca_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/sca"
)

// Flags of authenticator data (WebAuthn §6.1).
const (
	flagUP = 1 << 0
	flagUV = 1 << 2
	flagBE = 1 << 3
	flagBS = 1 << 4
)

func TestAssertionWorksOnce(t *testing.T) { // A25
	twoHandles(t, func(t *testing.T, one, two *world) {
		k := one.withPasskey()
		c := one.begin("pay_1", sca.Strong)
		answer := k.assert(t, c.Options)
		var won atomic.Int64
		race(make([]struct{}, 20), func(i int, _ struct{}) {
			w := one
			if i%2 == 1 {
				w = two
			}
			if w.answerKey(c.ID, answer) == nil {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of 20 uses of one assertion succeeded", won.Load())
		}
		if err := two.answerKey(c.ID, answer); err == nil {
			t.Error("the assertion was taken again")
		}
	})
}

func TestLateAndForeignAssertionsAreRefused(t *testing.T) { // A26
	w := sqlite(t)
	k := w.withPasskey()
	a, b := w.begin("pay_a", sca.Strong), w.begin("pay_b", sca.Strong)
	refused(t, w.answerKey(b.ID, k.assert(t, a.Options)))
	must(t, w.answerKey(b.ID, k.assert(t, b.Options)))
	late := w.begin("pay_c", sca.Strong)
	answer := k.assert(t, late.Options)
	w.clock.Add(5*time.Minute + time.Second)
	if err := w.answerKey(late.ID, answer); reason(err) != "sca_challenge_ended" {
		t.Errorf("a late answer: %v", err)
	}
}

func TestAssertionsMustBeWhatWasAskedFor(t *testing.T) { // A27, A28, A29, A30
	for name, c := range map[string]struct {
		client map[string]any
		flags  byte
		change func(*key)
	}{
		"A27 user not verified":      {nil, flagUP, nil},
		"A27 user not present":       {nil, flagUV, nil},
		"A28 another origin":         {map[string]any{"origin": "https://evil.example"}, flagUP | flagUV, nil},
		"A28 a longer origin":        {map[string]any{"origin": origin + ".evil.example"}, flagUP | flagUV, nil},
		"A28 another relying party":  {nil, flagUP | flagUV, func(k *key) { k.RP.ID = "evil.example" }},
		"A28 inside another page":    {map[string]any{"crossOrigin": true}, flagUP | flagUV, nil},
		"A28 inside our own page":    {map[string]any{"crossOrigin": true, "topOrigin": origin}, flagUP | flagUV, nil},
		"A29 a payment assertion":    {map[string]any{"type": "payment.get", "payment": map[string]any{"rpId": "pay.example"}}, flagUP | flagUV, nil},
		"A29 a registration":         {map[string]any{"type": "webauthn.create"}, flagUP | flagUV, nil},
		"A26 a challenge of its own": {map[string]any{"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, flagUP | flagUV, nil},
		"A32 another credential":     {nil, flagUP | flagUV, func(k *key) { k.Cred.ID = []byte("0123456789abcdef0123456789abcdef") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := sqlite(t)
			k := w.withPasskey()
			forged := *k
			if c.change != nil {
				c.change(&forged)
			}
			ch := w.begin("pay_1", sca.Strong)
			refused(t, w.answerKey(ch.ID, forged.forge(t, ch.Options, c.client, c.flags)))
			// The same answer without the fault is taken: nothing else was wrong.
			must(t, w.answerKey(ch.ID, k.forge(t, ch.Options, nil, flagUP|flagUV)))
		})
	}
}

func TestCopiedPasskeyIsTakenOutOfUse(t *testing.T) { // A31
	w := sqlite(t)
	k := w.withPasskey()
	pay := func(n uint32) error {
		k.Cred.Counter = n
		c := w.begin(fmt.Sprint("pay_", n), sca.Strong)
		return w.answerKey(c.ID, k.assert(t, c.Options))
	}
	must(t, pay(0)) // authenticators without a counter say 0 always
	must(t, pay(0))
	must(t, pay(5))
	refused(t, pay(5))
	if w.notices.count(sca.FactorCloned) != 1 {
		t.Error("nobody was told")
	}
	list, err := w.Factors(t.Context(), w.person)
	must(t, err)
	if len(list) != 1 || !list[0].Blocked {
		t.Errorf("%+v", list)
	}
	_, err = w.Begin(t.Context(), sca.BeginRequest{PersonID: w.person, Linked: w.linked("pay_9"), Level: sca.Strong, Session: browser})
	if reason(err) != "sca_no_factor" {
		t.Errorf("the copied passkey still counts: %v", err)
	}
}

// TestPasskeyThatContradictsItselfIsTakenOutOfUse: whether a passkey can be
// backed up never changes, and one that cannot be is not.
func TestPasskeyThatContradictsItselfIsTakenOutOfUse(t *testing.T) { // A31
	for name, flags := range map[string]byte{
		"backed up, cannot be":      flagUP | flagUV | flagBS,
		"can be backed up suddenly": flagUP | flagUV | flagBE,
		"is backed up suddenly":     flagUP | flagUV | flagBE | flagBS,
	} {
		t.Run(name, func(t *testing.T) {
			w := sqlite(t)
			k := w.withPasskey()
			// Somebody without the key raises no alarm: he could take it from its owner.
			forged, c := newKey(), w.begin("pay_1", sca.Strong)
			forged.Cred.ID = k.Cred.ID
			refused(t, w.answerKey(c.ID, forged.forge(t, c.Options, nil, flags)))
			if w.notices.count(sca.FactorCloned) != 0 {
				t.Fatal("a forged answer raised the alarm")
			}
			refused(t, w.answerKey(c.ID, k.forge(t, c.Options, nil, flags)))
			if w.notices.count(sca.FactorCloned) != 1 {
				t.Error("nobody was told")
			}
			refused(t, w.answerKey(c.ID, k.forge(t, c.Options, nil, flagUP|flagUV)))
			list, err := w.Factors(t.Context(), w.person)
			must(t, err)
			if len(list) != 1 || !list[0].Blocked {
				t.Errorf("%+v", list)
			}
		})
	}
}

func TestPasskeysBelongToOnePerson(t *testing.T) { // A32
	w := sqlite(t)
	k := w.withPasskey()
	other := w.db.PersonID("mer_1", "player-2")
	by := w.enrolmentOf(other)
	c, err := w.BeginPasskey(t.Context(), by, "ben")
	must(t, err)
	if err := w.FinishPasskey(t.Context(), by, c.ID, k.attest(t, c.Options), "Mine"); reason(err) != "factor_known" {
		t.Errorf("a passkey was registered twice: %v", err)
	}
	c, err = w.BeginPasskey(t.Context(), by, "ben")
	must(t, err)
	theirs := newKey()
	must(t, w.FinishPasskey(t.Context(), by, c.ID, theirs.attest(t, c.Options), "Theirs"))
	ch := w.begin("pay_1", sca.Strong)
	refused(t, w.answerKey(ch.ID, theirs.assert(t, ch.Options)))
	// A ceremony serves one try, and only the session that began it.
	by = w.enrolmentOf(db2(w))
	c, err = w.BeginPasskey(t.Context(), by, "eve")
	must(t, err)
	fresh := newKey()
	refused(t, w.FinishPasskey(t.Context(), w.enrolmentOf(db2(w)), c.ID, fresh.attest(t, c.Options), "Stolen"))
	must(t, w.FinishPasskey(t.Context(), by, c.ID, fresh.attest(t, c.Options), "First"))
	again := newKey()
	if err := w.FinishPasskey(t.Context(), by, c.ID, again.attest(t, c.Options), "Second"); err == nil {
		t.Error("a ceremony served twice")
	}
}

func db2(w *world) string { return w.db.PersonID("mer_1", "player-3") }

func TestServerDecidesWhichMethodsSuffice(t *testing.T) { // A33
	w := sqlite(t)
	w.withTOTP()
	w.withMorePasskeys()
	w.clock.Add(31 * time.Second)
	for _, level := range []sca.Level{sca.Strong, sca.WithPasskey} {
		refused(t, w.answerCode(w.begin("pay_"+string(level), level).ID, w.apps[w.person].code()))
	}
	must(t, w.answerCode(w.begin("pay_any", sca.Any).ID, w.apps[w.person].code())) // it was a good code
}

// TestPasskeyIsBoundToItsSite: A34. A page that passes everything on can pass
// on codes, which is why the policy asks for a passkey when risk is high. Of a
// passkey it gets an assertion for its own name only.
func TestPasskeyIsBoundToItsSite(t *testing.T) {
	w := sqlite(t)
	k := w.withPasskey()
	c := w.begin("pay_1", sca.WithPasskey)
	false_ := *k
	false_.RP.ID, false_.RP.Origin = "pay.example.evil.example", "https://pay.example.evil.example"
	refused(t, w.answerKey(c.ID, false_.assert(t, c.Options)))
	must(t, w.answerKey(c.ID, k.assert(t, c.Options)))
}

func TestRecoveryCodesWorkOnceAndNeverPay(t *testing.T) { // A35
	twoHandles(t, func(t *testing.T, one, two *world) {
		by := one.enrolment()
		a := one.enrolTOTP(by)
		must(t, one.VerifyCode(t.Context(), by, sca.TOTP, a.code()))
		codes, err := one.NewRecoveryCodes(t.Context(), one.session2(by))
		must(t, err)
		if len(codes) != 10 {
			t.Fatalf("%d codes", len(codes))
		}
		var won atomic.Int64
		sessions := make([]sca.Session, 4)
		for i := range sessions {
			sessions[i] = one.enrolment()
		}
		race(sessions, func(i int, s sca.Session) {
			w := one
			if i%2 == 1 {
				w = two
			}
			if w.VerifyCode(t.Context(), s, sca.Recovery, codes[3]) == nil {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Errorf("a recovery code worked %d times", won.Load())
		}
		refused(t, two.VerifyCode(t.Context(), one.enrolment(), sca.Recovery, codes[3]))
		_, err = one.Answer(t.Context(), one.begin("pay_1", sca.Any).ID, sca.Answer{Session: browser, Method: sca.Recovery, Code: codes[4]})
		refused(t, err)
		must(t, sca.Lift(one.Service, t.Context(), one.person, sca.Recovery))
		must(t, one.VerifyCode(t.Context(), one.enrolment(), sca.Recovery, codes[5]))
		list, err := one.Factors(t.Context(), one.person)
		must(t, err)
		for _, f := range list {
			if f.Method == sca.Recovery && f.Left != 8 {
				t.Errorf("%d codes are left", f.Left)
			}
		}
	})
}

func TestChangesNeedAFreshProof(t *testing.T) { // A15
	w := sqlite(t)
	by := w.enrolment()
	a := w.enrolTOTP(by)
	// Whoever gets a link later cannot add a factor of his own.
	link := w.enrolment()
	if _, err := w.BeginTOTP(t.Context(), link, "eve"); reason(err) != "reauthenticate" {
		t.Errorf("a link alone enrols: %v", err)
	}
	if c, err := w.BeginPasskey(t.Context(), link, "eve"); reason(err) != "reauthenticate" {
		t.Errorf("a link alone enrols: %v %v", c, err)
	}
	if _, err := w.PairDevice(t.Context(), link); reason(err) != "reauthenticate" {
		t.Errorf("a link alone pairs a device: %v", err)
	}
	if _, err := w.NewRecoveryCodes(t.Context(), link); reason(err) != "reauthenticate" {
		t.Errorf("a link alone makes recovery codes: %v", err)
	}
	list, err := w.Factors(t.Context(), w.person)
	must(t, err)
	if err := w.Revoke(t.Context(), link, list[0].ID); reason(err) != "reauthenticate" {
		t.Errorf("a link alone revokes: %v", err)
	}
	// The code that confirmed the app is used; the next one proves him.
	w.clock.Add(-31 * time.Second)
	refused(t, w.VerifyCode(t.Context(), link, sca.TOTP, a.code()))
	w.clock.Add(61 * time.Second)
	must(t, w.VerifyCode(t.Context(), link, sca.TOTP, a.code()))
	link = w.session2(link)
	must(t, w.Rename(t.Context(), link, list[0].ID, "Old phone"))
	k := w.enrolPasskey(link)
	w.clock.Add(4 * time.Minute)
	must(t, w.Revoke(t.Context(), w.session2(link), list[0].ID))
	for _, what := range []string{sca.FactorAdded, sca.FactorRenamed, sca.FactorRevoked} {
		if w.notices.count(what) == 0 {
			t.Errorf("nobody was told of %s", what)
		}
	}
	// The proof ages.
	w.clock.Add(4 * time.Minute)
	if _, err := w.NewRecoveryCodes(t.Context(), link); reason(err) != "reauthenticate" {
		t.Errorf("an old proof counts: %v", err)
	}
	// A passkey proves him as well, once.
	ceremony, err := w.BeginVerify(t.Context(), link)
	must(t, err)
	proof := k.assert(t, ceremony.Options)
	must(t, w.VerifyPasskey(t.Context(), link, ceremony.ID, proof))
	if err := w.VerifyPasskey(t.Context(), link, ceremony.ID, proof); err == nil {
		t.Error("one assertion proves him twice")
	}
	_, err = w.NewRecoveryCodes(t.Context(), w.session2(link))
	must(t, err)
	// Nobody touches another person's factors.
	other := w.enrolmentOf(w.db.PersonID("mer_1", "player-2"))
	list, err = w.Factors(t.Context(), w.person)
	must(t, err)
	if err := w.Revoke(t.Context(), other, list[0].ID); reason(err) != "factor_not_found" {
		t.Errorf("another person's factor: %v", err)
	}
}

// TestPasskeyAnswersWithinTheLifeOfItsChallenge: two minutes where an operator
// has said so, and not a second more.
func TestPasskeyAnswersWithinTheLifeOfItsChallenge(t *testing.T) { // A26
	w := sqlite(t)
	k := w.withPasskey()
	var err error
	w.Service, err = sca.New(sca.Config{Origin: origin, ChallengeLife: 2 * time.Minute}, sca.Deps{Store: w.db, Now: w.clock.Now})
	must(t, err)
	for after, late := range map[time.Duration]bool{119 * time.Second: false, 121 * time.Second: true} {
		c := w.begin(fmt.Sprint("pay_", after), sca.Strong)
		answer := k.assert(t, c.Options)
		w.clock.Add(after)
		if err := w.answerKey(c.ID, answer); (reason(err) == "sca_challenge_ended") != late || !late && err != nil {
			t.Errorf("after %s: %v", after, err)
		}
		by := w.enrolment()
		proof, err := w.BeginVerify(t.Context(), by)
		must(t, err)
		answer = k.assert(t, proof.Options)
		w.clock.Add(after)
		if err := w.VerifyPasskey(t.Context(), by, proof.ID, answer); sca.Refused(err) != late || !late && err != nil {
			t.Errorf("at one's own factors, after %s: %v", after, err)
		}
	}
}
