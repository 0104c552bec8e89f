package sca_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// atlas has two countries, and addresses in none.
type atlas struct{}

var (
	german, german2 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	austrian        = netip.MustParseAddr("2001:db8::1")
	nowhere         = netip.MustParseAddr("10.0.0.1")
)

func (atlas) Country(a netip.Addr) (string, bool) {
	c, known := map[netip.Addr]string{german: "DE", german2: "DE", austrian: "AT"}[a]
	return c, known
}

// order is one way to a bank: what is decided, and asked of the payer when it has to be.
type order struct {
	w       *world
	payment string
}

// ask decides, and begins what is needed in a browser at an address; nil when
// nothing more is needed.
func (o order) ask(from netip.Addr) (c *sca.Challenge, need sca.Requirement) {
	o.w.t.Helper()
	need, err := o.w.Require(o.w.t.Context(), sca.PaymentFacts{PaymentID: o.payment, PersonID: o.w.person, Amount: psd2.Euro(2500), Approach: "redirect", Merchant: sca.Any})
	must(o.w.t, err)
	err = o.w.db.Tx(o.w.t.Context(), func(tx *store.Tx) error {
		if err := o.w.Confirmed(tx, o.payment, need.Decision, o.w.linked(o.payment)); err != nil {
			return err
		}
		if err := need.Keep(tx); err != nil {
			return err
		}
		return o.w.Recheck(tx, o.payment, o.w.linked(o.payment))
	})
	if err == nil {
		return nil, need
	}
	begun, err := o.w.Begin(o.w.t.Context(), sca.BeginRequest{PersonID: o.w.person, Linked: o.w.linked(o.payment), Level: need.Level, Session: browser, Language: "en",
		From: from, Again: need.Elsewhere, Keep: need.Keep})
	must(o.w.t, err)
	return &begun, need
}

// byCode answers from an address.
func (o order) byCode(c *sca.Challenge, a app, from netip.Addr) {
	o.w.t.Helper()
	_, err := o.w.Answer(o.w.t.Context(), c.ID, sca.Answer{Session: browser, Method: sca.TOTP, Code: a.code(), From: from})
	must(o.w.t, err)
	o.w.clock.Add(31 * time.Second)
}

// TestConfirmationFromAnotherCountryIsAskedForAgain: with the passkey when there
// is one; each decision is kept with where the confirmation came from.
func TestConfirmationFromAnotherCountryIsAskedForAgain(t *testing.T) { // B25
	w := sqlite(t)
	a := w.withTOTP()
	o := order{w, "pay_1"}
	first, need := o.ask(german)
	if first == nil || need.Level != sca.Any || first.Again {
		t.Fatalf("%+v", need.Decision)
	}
	o.byCode(first, a, austrian)
	second, need := o.ask(german)
	if second == nil || !second.Again || need.Level != sca.Any || !need.Again {
		t.Fatalf("one code from another country suffices: %+v", need.Decision)
	}
	more, err := w.Renew(t.Context(), second.ID, browser)
	must(t, err)
	if !more.Again {
		t.Error("with more time it is not told why he is asked again")
	}
	o.byCode(&more, a, austrian)
	if c, need := o.ask(german); c != nil {
		t.Fatalf("a second one does not suffice: %+v", need.Decision)
	}

	by := w.enrolment()
	must(t, w.VerifyCode(t.Context(), by, sca.TOTP, a.code()))
	k := w.enrolPasskey(w.session2(by))
	w.clock.Add(31 * time.Second)
	o.payment = "pay_2"
	c, _ := o.ask(german)
	o.byCode(c, a, austrian)
	c, need = o.ask(german)
	if c == nil || need.Level != sca.WithPasskey {
		t.Fatalf("%+v", need.Decision)
	}
	_, err = w.Answer(t.Context(), c.ID, sca.Answer{Session: browser, Method: sca.TOTP, Code: a.code(), From: german})
	refused(t, err)
	_, err = w.Answer(t.Context(), c.ID, sca.Answer{Session: browser, Method: sca.Passkey, Assertion: k.assert(t, c.Options), From: german})
	must(t, err)
	w.clock.Add(time.Second)
	if c, need := o.ask(german); c != nil {
		t.Fatalf("%+v", need.Decision)
	}
	list, err := w.Replay(t.Context(), "pay_2")
	must(t, err)
	var from []string
	for _, d := range list {
		if from = append(from, d.Facts.Country); !d.Same {
			t.Errorf("it replays as %+v", d.Again)
		}
	}
	if want := []string{"", sca.CountryOther, sca.CountrySame}; !reflect.DeepEqual(from, want) {
		t.Errorf("kept %q, want %q", from, want)
	}
}

// TestPhoneFromAnotherCountryMatchesTheNumberAgain: a push device, and a phone to
// which the payment was handed.
func TestPhoneFromAnotherCountryMatchesTheNumberAgain(t *testing.T) { // B25
	w := sqlite(t)
	p := w.withPhone()
	p.session.From = austrian
	o := order{w, "pay_1"}
	var numbers int
	for c, _ := o.ask(german); c != nil; c, _ = o.ask(german) {
		must(t, w.StartPush(t.Context(), c.ID, browser))
		q := p.waiting()
		if q.Again != (numbers > 0) {
			t.Errorf("the device is told again: %t", q.Again)
		}
		if r, err := p.answer(q, sca.DecideApprove, c.Number, nil); err != nil || r.State != sca.Approved {
			t.Fatalf("%+v %v", r, err)
		}
		numbers++
		w.clock.Add(time.Second)
	}
	if numbers != 2 {
		t.Errorf("the number was matched %d times", numbers)
	}
}

// TestSameCountryOrNoneAsksOnce: another address of the country, an address that
// nobody knows, and no file at all; the last says so from the first decision on.
func TestSameCountryOrNoneAsksOnce(t *testing.T) { // B25
	for name, c := range map[string]struct {
		asked, answered netip.Addr
		countries       sca.Countries
		want            []string
	}{
		"same":             {german, german2, atlas{}, []string{"", sca.CountrySame}},
		"same, as IPv6":    {german, netip.MustParseAddr("::ffff:192.0.2.2"), atlas{}, []string{"", sca.CountrySame}},
		"answer unknown":   {german, nowhere, atlas{}, []string{"", sca.CountryNoData}},
		"question unknown": {nowhere, german, atlas{}, []string{"", sca.CountryNoData}},
		"no address":       {german, netip.Addr{}, atlas{}, []string{"", sca.CountryNoData}},
		"no file":          {german, austrian, nil, []string{sca.CountryNoData, sca.CountryNoData}},
	} {
		t.Run(name, func(t *testing.T) {
			w := sqlite(t)
			s, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: w.db, Now: w.clock.Now, Countries: c.countries})
			must(t, err)
			w.Service = s
			a := w.withTOTP()
			o := order{w, "pay_1"}
			asked, _ := o.ask(c.asked)
			o.byCode(asked, a, c.answered)
			if again, need := o.ask(c.asked); again != nil {
				t.Fatalf("asked again: %+v", need.Decision)
			}
			list, err := w.Decisions(t.Context(), "pay_1")
			must(t, err)
			var from []string
			for _, d := range list {
				from = append(from, d.Facts.Country)
			}
			if !reflect.DeepEqual(from, c.want) {
				t.Errorf("kept %q, want %q", from, c.want)
			}
		})
	}
}

// TestEachOrderFromAnotherCountryIsAskedForTwice: what was confirmed for an order
// that is over, or too long ago, is no second confirmation of the next.
func TestEachOrderFromAnotherCountryIsAskedForTwice(t *testing.T) { // B25
	w := sqlite(t)
	a := w.withTOTP()
	o := order{w, "pay_1"}
	for n := range 3 {
		asked := 0
		for c, _ := o.ask(german); c != nil; c, _ = o.ask(german) {
			o.byCode(c, a, austrian)
			asked++
		}
		if asked != 2 {
			t.Errorf("order %d: asked %d times", n, asked)
		}
	}
	o.payment = "pay_2"
	c, _ := o.ask(german)
	o.byCode(c, a, german)
	w.clock.Add(time.Hour) // his bank could not be reached
	asked := 0
	for c, _ := o.ask(german); c != nil; c, _ = o.ask(german) {
		o.byCode(c, a, austrian)
		asked++
	}
	if asked != 2 {
		t.Errorf("after one that has lapsed: asked %d times", asked)
	}
}
