package run

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
	"github.com/rialto-hub/rialto/sca"
)

// TestPolicyDecidesByWhatMonitoringFound: score, families and what is quiet are
// among the facts that are kept, and what the policy says of them reaches the
// hub.
func TestPolicyDecidesByWhatMonitoringFound(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	service, err := sca.New(sca.Config{Origin: "https://pay.example"}, sca.Deps{Store: db, Now: clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	policy := confirmation{sca: service, store: db}
	for _, c := range []struct {
		name     string
		risk     hub.Risk
		stepUp   bool
		approach string
		want     sca.Risk
		blocked  bool
		by       string
	}{
		{"nothing", hub.Risk{}, false, "redirect", sca.Risk{}, false, psd2.SCAByASPSP},
		{"a rule that asks for more", hub.Risk{Score: 55, Reasons: []string{"velocity"}}, true, "redirect", sca.Risk{Score: 55, Reasons: []string{"velocity", "rule"}}, false, psd2.SCAByASPSP},
		{"one that weighs little", hub.Risk{Score: 25, Reasons: []string{"geography"}}, true, "redirect", sca.Risk{Score: 40, Reasons: []string{"geography", "rule"}}, false, psd2.SCAByASPSP},
		{"an alert", hub.Risk{Quiet: true}, false, "redirect", sca.Risk{Quiet: true}, false, psd2.SCAByASPSP},
		{"stolen", hub.Risk{Score: 10, Reasons: []string{"stolen_element"}}, false, "redirect", sca.Risk{Score: 10, Reasons: []string{"stolen_element"}}, false, psd2.SCAByASPSP},
		{"weak rules that add up", hub.Risk{Score: 95, Reasons: []string{"velocity", "geography"}}, true, "redirect", sca.Risk{Score: 95, Reasons: []string{"velocity", "geography", "rule"}}, false, psd2.SCAByASPSP},
		{"delegated, and he has no factor", hub.Risk{}, false, hub.ApproachDelegated, sca.Risk{}, true, psd2.SCAByHub},
	} {
		p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, clock.Now(), rand.Reader), MerchantID: merchantID, PersonID: db.PersonID(merchantID, "anna"), Amount: psd2.Euro(2500),
			Personal: psd2.Personal{Payee: psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}}
		need, err := policy.Need(t.Context(), hub.Ask{Payment: p, Merchant: &psd2.Merchant{}, Approach: c.approach, StepUp: c.stepUp, Risk: c.risk})
		if err != nil || need.Blocked != c.blocked || c.by != "" && need.PerformedBy != c.by {
			t.Fatalf("%s: %+v %v", c.name, need, err)
		}
		if err := db.Tx(t.Context(), need.Keep); err != nil {
			t.Fatal(err)
		}
		kept, err := service.Decisions(t.Context(), p.ID)
		if err != nil || len(kept) != 1 || kept[0].Facts.Risk.Score != c.want.Score || kept[0].Facts.Risk.Quiet != c.want.Quiet || !slices.Equal(kept[0].Facts.Risk.Reasons, c.want.Reasons) {
			t.Errorf("%s: %+v %v", c.name, kept, err)
		}
		if !c.blocked && !slices.Equal(need.Exemptions, []string{string(sca.LowValue)}) {
			t.Errorf("%s: hints %v", c.name, need.Exemptions)
		}
		clock.Add(time.Second)
	}
}

// TestGateHandsOnWhatARuleAsksFor: a burst of deposits asks for more of the payer,
// and its family and weight are what the policy goes by.
func TestGateHandsOnWhatARuleAsksFor(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := newGate(t, clock, db)
	m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: w.desk, Holder: "test"})
	must(err)
	w.monitor = m.Gate()
	merchant := &psd2.Merchant{ID: merchantID, Name: "Shop", PayerPolicy: psd2.PayerOff, Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Shop Ltd", IBAN: "DE89370400440532013000"}}}
	must(db.Tx(t.Context(), func(tx *store.Tx) error { return tx.PutMerchant(merchant) }))
	deposit := func() *psd2.Payment {
		p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, clock.Now(), rand.Reader), MerchantID: merchantID, PersonID: db.PersonID(merchantID, "anna"),
			Amount: psd2.Euro(15_000), ExpiresAt: clock.Now().Add(time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
			Personal: psd2.Personal{Player: psd2.Player{Reference: "anna"}, Payee: psd2.Party{Name: "Shop Ltd", IBAN: "DE89370400440532013000"}}}
		p.Create(clock.Now())
		must(db.Tx(t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }))
		return p
	}
	risk := func(p *psd2.Payment) hub.PayIn {
		t.Helper()
		in, err := w.MayPayIn(t.Context(), p, merchant)
		must(err)
		return in
	}
	first := deposit()
	if in := risk(first); in.StepUp || in.Risk.Score != 0 || in.Risk.Reasons != nil {
		t.Fatalf("the first: %+v", in)
	}
	id := psd2.NewID(psd2.PrefixAttempt, clock.Now(), rand.Reader)
	_, err = db.UpdatePayment(t.Context(), first.ID, func(p *psd2.Payment) error {
		if err := p.BeginAttempt(psd2.Attempt{ID: id, BankID: "b", EndToEndID: psd2.NewEndToEndID(id), State: psd2.AttemptSubmitting}, psd2.PSU{}, clock.Now()); err != nil {
			return err
		}
		if err := p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect}, []byte("{}"), clock.Now()); err != nil {
			return err
		}
		p.Report(id, psd2.Report{Status: "ACSC"}, clock.Now())
		return nil
	})
	must(err)
	for range 3 {
		_, err := db.Sequencer("test").Step(t.Context(), clock.Now())
		must(err)
		_, err = m.Step(t.Context(), clock.Now())
		must(err)
	}
	clock.Add(10 * time.Second)
	if in := risk(deposit()); !in.StepUp || in.Risk.Score <= 0 || !slices.Contains(in.Risk.Reasons, "velocity") {
		t.Errorf("the second at once: %+v", in)
	}
}

// TestWhereTheBankDelegatesThePayerConfirmsHere: he has to, with a strong factor,
// and both the order and the receipt say for whom the hub did it.
func TestWhereTheBankDelegatesThePayerConfirmsHere(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keys, err := jose.NewKeySet(rand.Reader, clock.Now(), jose.ES256)
	must(err)
	service, err := sca.New(sca.Config{Origin: "https://pay.example"}, sca.Deps{Store: db, Now: clock.Now,
		Signer: func(now time.Time) (*jose.Key, error) { return keys.Signer(jose.ES256, now) }})
	must(err)
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, clock.Now(), rand.Reader), MerchantID: merchantID, PersonID: db.PersonID(merchantID, "anna"), Amount: psd2.Euro(500),
		Personal: psd2.Personal{Payee: psd2.Party{Name: "Shop Ltd", IBAN: "DE89370400440532013000"}}}
	key := enrolPasskey(t, service, p.PersonID)
	policy := confirmation{sca: service, store: db}
	ask := hub.Ask{Payment: p, Merchant: &psd2.Merchant{Name: "Shop", Website: "shop.example"}, Approach: hub.ApproachDelegated, Browser: hub.Browser{Secret: "browser"}}
	need, err := policy.Need(t.Context(), ask)
	if err != nil || need.Path == "" {
		t.Fatalf("%+v %v", need, err)
	}
	session := sca.SessionHash("browser")
	c, err := service.Challenge(t.Context(), need.Path[strings.LastIndex(need.Path, "/")+1:], session)
	must(err)
	if c.Level != sca.Strong {
		t.Errorf("it asks for %s", c.Level)
	}
	if lines := c.Display.Lines(); !slices.Contains(lines, "for Shop") || !slices.Contains(lines, "website shop.example") {
		t.Errorf("it shows %q", lines)
	}
	response, err := key.Assert(c.Options)
	must(err)
	_, err = service.Answer(t.Context(), c.ID, sca.Answer{Session: session, Method: sca.Passkey, Assertion: response})
	must(err)
	if need, err = policy.Need(t.Context(), ask); err != nil || need.Path != "" || need.Blocked || need.PerformedBy != psd2.SCAByHub {
		t.Fatalf("confirmed: %+v %v", need, err)
	}
	jws, err := service.Receipt(t.Context(), p.ID)
	must(err)
	if r, err := sca.VerifyReceipt(jws, keys.Public()); err != nil || r.PerformedBy != psd2.SCAByHub {
		t.Errorf("%+v %v", r, err)
	}
}

// enrolPasskey gives a payer a passkey.
func enrolPasskey(t *testing.T, service *sca.Service, person string) *passkey.Key {
	t.Helper()
	token, err := service.EnrolPayer(t.Context(), person)
	must(t, err)
	secret, err := service.OpenEnrolment(t.Context(), token)
	must(t, err)
	by, err := service.Session(t.Context(), sca.SessionEnrol, secret, false)
	must(t, err)
	ceremony, err := service.BeginPasskey(t.Context(), by, "anna")
	must(t, err)
	key, err := passkey.New("https://pay.example")
	must(t, err)
	response, err := key.Attest(ceremony.Options)
	must(t, err)
	must(t, service.FinishPasskey(t.Context(), by, ceremony.ID, response, "Laptop"))
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestShopIsWhatWasRegistered: nothing of a request says where a payer buys.
func TestShopIsWhatWasRegistered(t *testing.T) { // B25
	for _, c := range []struct {
		m    psd2.Merchant
		want sca.Shop
	}{
		{psd2.Merchant{Name: "Shop", Website: "shop.example", ReturnURIs: []string{"https://pay.shop.example/back"}}, sca.Shop{Name: "Shop", Domain: "shop.example"}},
		{psd2.Merchant{Name: "Shop", ReturnURIs: []string{"https://pay.shop.example:8443/back", "https://other.example/"}}, sca.Shop{Name: "Shop", Domain: "pay.shop.example"}},
		{psd2.Merchant{Name: "Shop"}, sca.Shop{}},
	} {
		if got := shop(&c.m); got != c.want {
			t.Errorf("%+v: %+v", c.m, got)
		}
	}
}

// TestApprovalFromAnotherCountryIsAskedForAgain: the hub's address of the browser
// against the confirming one's, by the operator's own file; without one nothing
// is asked, and that is what is kept.
func TestApprovalFromAnotherCountryIsAskedForAgain(t *testing.T) { // B25
	german, austrian := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")
	var atlas rulestest.MMDB
	atlas.Add(t, "192.0.2.0/24", map[string]any{"country": map[string]any{"iso_code": "DE"}})
	atlas.Add(t, "198.51.100.0/24", map[string]any{"country": map[string]any{"iso_code": "AT"}})
	for file, want := range map[string]struct {
		asked int
		kept  []string
	}{
		atlas.Write(t, "country"): {2, []string{"", sca.CountryOther, sca.CountryOther}},
		"":                        {1, []string{sca.CountryNoData, sca.CountryNoData}},
	} {
		clock := testkit.NewClock()
		h := &Hub{Store: testkit.SQLite(t, clock.Now)}
		h.cfg.Compliance.Monitor.Sources.GeoIP = file
		countries, err := h.countries()
		must(t, err)
		service, err := sca.New(sca.Config{Origin: "https://pay.example"}, sca.Deps{Store: h.Store, Now: clock.Now, Countries: countries})
		must(t, err)
		p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, clock.Now(), rand.Reader), MerchantID: merchantID, PersonID: h.Store.PersonID(merchantID, "anna"), Amount: psd2.Euro(500),
			Personal: psd2.Personal{Payee: psd2.Party{Name: "Shop Ltd", IBAN: "DE89370400440532013000"}}}
		key := enrolPasskey(t, service, p.PersonID)
		policy := confirmation{sca: service, store: h.Store}
		ask := hub.Ask{Payment: p, Merchant: &psd2.Merchant{SCA: psd2.SCAAlways}, Browser: hub.Browser{Secret: "browser", Address: german}}
		need, err := policy.Need(t.Context(), ask)
		must(t, err)
		asked := 0
		for ; need.Path != "" && asked < 5; asked++ {
			session := sca.SessionHash("browser")
			c, err := service.Challenge(t.Context(), need.Path[strings.LastIndex(need.Path, "/")+1:], session)
			must(t, err)
			if c.Again != (asked > 0) {
				t.Errorf("asked %d times, and again: %t", asked, c.Again)
			}
			response, err := key.Assert(c.Options)
			must(t, err)
			_, err = service.Answer(t.Context(), c.ID, sca.Answer{Session: session, Method: sca.Passkey, Assertion: response, From: austrian})
			must(t, err)
			clock.Add(time.Second)
			need, err = policy.Need(t.Context(), ask)
			must(t, err)
		}
		must(t, h.Store.Tx(t.Context(), func(tx *store.Tx) error {
			if err := need.Keep(tx); err != nil {
				return err
			}
			return policy.Recheck(tx, p)
		}))
		kept, err := service.Replay(t.Context(), p.ID)
		must(t, err)
		var from []string
		for _, d := range kept {
			if from = append(from, d.Facts.Country); !d.Same {
				t.Errorf("%+v replays as %+v", d.Decision, d.Again)
			}
		}
		if asked != want.asked || !slices.Equal(from, want.kept) {
			t.Errorf("with %q: asked %d times, kept %q", file, asked, from)
		}
		for _, close := range h.closers {
			must(t, close())
		}
	}
}
