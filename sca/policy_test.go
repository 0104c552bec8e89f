package sca_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

func rules(t *testing.T) sca.Rules {
	t.Helper()
	r, err := sca.LoadRules("psd2")
	must(t, err)
	return r
}

// quiet are facts about which no rule has anything to say.
func quiet() sca.Facts {
	return sca.Facts{Amount: psd2.Euro(2500), Approach: "redirect", Device: sca.Device{Known: true},
		Factors: []sca.Method{sca.Passkey, sca.Push, sca.TOTP}, History: sca.History{Count: 100, Sum: 1e9}}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*sca.Facts)
		want   sca.Level
		ways   string
	}{
		{"nothing special", func(*sca.Facts) {}, sca.None, ""},
		{"raised risk", func(f *sca.Facts) { f.Risk.Score = 40 }, sca.Strong, "passkey push"},
		{"just below", func(f *sca.Facts) { f.Risk.Score = 39 }, sca.None, ""},
		{"high risk", func(f *sca.Facts) { f.Risk.Score = 70 }, sca.WithPasskey, "passkey"},
		{"an alert that he must not notice", func(f *sca.Facts) { f.Risk.Quiet = true }, sca.None, ""},
		{"certain risk", func(f *sca.Facts) { f.Risk.Score = 90 }, sca.Block, ""},
		{"stolen element", func(f *sca.Facts) { f.Risk.Reasons = []string{"stolen_element"} }, sca.WithPasskey, "passkey"},
		{"known scenario", func(f *sca.Facts) { f.Risk.Reasons = []string{"new_payee", "known_scenario"} }, sca.WithPasskey, "passkey"},
		{"large", func(f *sca.Facts) { f.Amount = psd2.Euro(100000) }, sca.Strong, "passkey push"},
		{"almost large", func(f *sca.Facts) { f.Amount = psd2.Euro(99999) }, sca.None, ""},
		{"ten times the usual", func(f *sca.Facts) { f.Amount, f.History.Usual = psd2.Euro(50000), 5000 }, sca.Strong, "passkey push"},
		{"nine times the usual", func(f *sca.Facts) { f.Amount, f.History.Usual = psd2.Euro(49999), 5000 }, sca.None, ""},
		{"new browser, small", func(f *sca.Facts) { f.Device = sca.Device{} }, sca.None, ""},
		{"new browser", func(f *sca.Facts) { f.Device, f.Amount = sca.Device{}, psd2.Euro(10000) }, sca.Any, "passkey push totp"},
		{"merchant asks", func(f *sca.Facts) { f.Merchant = sca.Any }, sca.Any, "passkey push totp"},
		{"merchant asks for less than the rules", func(f *sca.Facts) { f.Merchant, f.Risk.Score = sca.Any, 75 }, sca.WithPasskey, "passkey"},
		{"merchant asks for strong", func(f *sca.Facts) { f.Merchant = sca.Strong }, sca.Strong, "passkey push"},
		{"merchant asks for more than the rules", func(f *sca.Facts) { f.Merchant, f.Device, f.Amount = sca.Strong, sca.Device{}, psd2.Euro(10000) }, sca.Strong, "passkey push"},
		{"merchant asks, payer has nothing", func(f *sca.Facts) { f.Merchant, f.Factors = sca.Strong, nil }, sca.None, ""},
		{"merchant never lifts a block", func(f *sca.Facts) { f.Merchant, f.Risk.Score = sca.Any, 95 }, sca.Block, ""},
		{"reported by its payer", func(f *sca.Facts) { f.Reported = true }, sca.Block, ""},
		{"confirmed from another country", func(f *sca.Facts) { f.Country = sca.CountryOther }, sca.WithPasskey, "passkey"},
		{"the same, with a phone and a code", func(f *sca.Facts) { f.Country, f.Factors = sca.CountryOther, []sca.Method{sca.Push, sca.TOTP} }, sca.Any, "push totp"},
		{"confirmed from the same country", func(f *sca.Facts) { f.Country = sca.CountrySame }, sca.None, ""},
		{"nobody knows whence", func(f *sca.Facts) { f.Country = sca.CountryNoData }, sca.None, ""},
		{"delegated", func(f *sca.Facts) { f.Approach = sca.ApproachDelegated }, sca.Strong, "passkey push"},
		{"no factor", func(f *sca.Facts) { f.Risk.Score, f.Factors = 50, nil }, sca.None, ""},
		{"only a code where a passkey is due", func(f *sca.Facts) { f.Risk.Score, f.Factors = 75, []sca.Method{sca.TOTP} }, sca.Block, ""},
		{"no factor, delegated", func(f *sca.Facts) { f.Approach, f.Factors = sca.ApproachDelegated, nil }, sca.Block, ""},
	} {
		f := quiet()
		c.change(&f)
		d := sca.Decide(rules(t), f)
		ways := []string{}
		for _, m := range d.Methods {
			ways = append(ways, string(m))
		}
		if d.Level != c.want || strings.Join(ways, " ") != c.ways {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// TestStepUpRulesNeverBlock: what monitoring's STEP_UP rules find, alone or added
// up, asks the most that this payer can do. A BLOCK rule blocks, and what his own
// factors show may.
func TestStepUpRulesNeverBlock(t *testing.T) {
	every := []sca.Method{sca.Passkey, sca.Push, sca.TOTP}
	for _, c := range []struct {
		name  string
		rules sca.Risk // that STEP_UP rules have found
		own   sca.Risk
		have  []sca.Method
		want  sca.Level
		ways  string
	}{
		{"one weak rule", sca.Risk{Score: 40}, sca.Risk{}, every, sca.Strong, "passkey push"},
		{"weak rules that add up to 70", sca.Risk{Score: 70}, sca.Risk{}, every, sca.WithPasskey, "passkey"},
		{"weak rules that add up to 90", sca.Risk{Score: 90}, sca.Risk{}, every, sca.WithPasskey, "passkey"},
		{"all of them", sca.Risk{Score: 100}, sca.Risk{}, every, sca.WithPasskey, "passkey"},
		{"70, without a passkey", sca.Risk{Score: 70}, sca.Risk{}, []sca.Method{sca.TOTP, sca.Push}, sca.Strong, "push"},
		{"90, without a passkey", sca.Risk{Score: 90}, sca.Risk{}, []sca.Method{sca.TOTP, sca.Push}, sca.Strong, "push"},
		{"90, with a code alone", sca.Risk{Score: 90}, sca.Risk{}, []sca.Method{sca.TOTP}, sca.Any, "totp"},
		{"90, with nothing: his bank asks him", sca.Risk{Score: 90}, sca.Risk{}, nil, sca.None, ""},
		{"a family", sca.Risk{Score: 10, Reasons: []string{"known_scenario"}}, sca.Risk{}, []sca.Method{sca.TOTP}, sca.Any, "totp"},
		{"on top of his own", sca.Risk{Score: 40}, sca.Risk{Score: 50, Reasons: []string{"not_me"}}, every, sca.WithPasskey, "passkey"},
		{"his own alone", sca.Risk{}, sca.Risk{Score: 100, Reasons: []string{"not_me", "factor_cloned"}}, every, sca.Block, ""},
		{"his own, with a rule beside", sca.Risk{Score: 5}, sca.Risk{Score: 100, Reasons: []string{"not_me", "factor_cloned"}}, every, sca.Block, ""},
		{"his own, without a passkey", sca.Risk{Score: 5}, sca.Risk{Score: 70}, []sca.Method{sca.TOTP}, sca.Block, ""},
	} {
		f := quiet()
		f.Factors, f.Own = c.have, &c.own
		f.Risk = sca.Risk{Score: min(100, c.rules.Score+c.own.Score), Reasons: slices.Concat(c.rules.Reasons, c.own.Reasons)}
		d := sca.Decide(rules(t), f)
		ways := []string{}
		for _, m := range d.Methods {
			ways = append(ways, string(m))
		}
		if d.Level != c.want || strings.Join(ways, " ") != c.ways {
			t.Errorf("%s: %+v", c.name, d)
		}
		if f.Reported = true; sca.Decide(rules(t), f).Level != sca.Block {
			t.Errorf("%s: reported by its payer, and not blocked", c.name)
		}
	}
}

func TestLevelNeverFallsWithRiskOrAmount(t *testing.T) {
	order := []sca.Level{sca.None, sca.Any, sca.Strong, sca.WithPasskey, sca.Block}
	rank := func(f sca.Facts) int { return slices.Index(order, sca.Decide(rules(t), f).Level) }
	for amount := int64(1); amount < 300000; amount += 9973 {
		last := -1
		for score := 0; score <= 100; score++ {
			f := quiet()
			f.Amount, f.Risk.Score = psd2.Euro(amount), score
			if now := rank(f); now < last {
				t.Fatalf("amount %d: risk %d asks for less than %d", amount, score, score-1)
			} else {
				last = now
			}
		}
	}
}

// TestExemptionsFollowTheRTS holds the policy against the thresholds of
// Delegated Regulation 2018/389.
func TestExemptionsFollowTheRTS(t *testing.T) {
	var oracle struct {
		Low []struct {
			Amount  string `json:"amount"`
			Cum     string `json:"prior_cum"`
			N       int    `json:"prior_n"`
			Counter string `json:"counter"`
			Exempt  bool   `json:"exempt"`
		} `json:"oracle_low_value"`
		TRA []struct {
			Amount string `json:"amount"`
			Pct    string `json:"fraud_pct"`
			Exempt bool   `json:"exempt"`
		} `json:"oracle_tra_credit_transfer"`
		Article18 []struct {
			ETV string `json:"etv_eur"`
			Pct string `json:"credit_transfer_pct"`
		} `json:"art18_tra"`
		Window   int `json:"art19_window_days"`
		Quarters int `json:"art20_cease_after_consecutive_quarters"`
		Failures int `json:"art4_max_failed_attempts"`
	}
	must(t, json.Unmarshal(testkit.ReadStandard(t, "refdata", "rts_sca_thresholds.json"), &oracle))
	r := rules(t)
	if len(oracle.Low) < 6 || len(oracle.TRA) < 6 || r.FraudWindowDays != oracle.Window || r.CeaseAfterQuarters != oracle.Quarters {
		t.Fatalf("%+v", oracle)
	}
	for _, c := range oracle.Low {
		r := r
		if c.Counter != "" {
			r.LowValue.Counter = c.Counter
		}
		f := quiet()
		f.Amount, f.History = euros(t, c.Amount), sca.History{Count: c.N}
		if c.Cum != "" {
			f.History.Sum = euros(t, c.Cum).AmountMinor
		}
		if got := slices.Contains(sca.Decide(r, f).Exemptions, sca.LowValue); got != c.Exempt {
			t.Errorf("Art. 16: %+v is %t", c, got)
		}
	}
	for _, c := range oracle.TRA {
		f := quiet()
		f.Amount, f.Fraud = euros(t, c.Amount), sca.Fraud{Fraudulent: ppm(t, c.Pct), All: 1_000_000}
		if got := slices.Contains(sca.Decide(r, f).Exemptions, sca.TRA); got != c.Exempt {
			t.Errorf("Art. 18: %+v is %t", c, got)
		}
		for name, change := range map[string]func(*sca.Facts){
			"risk":       func(f *sca.Facts) { f.Risk.Score = 30 },
			"reason":     func(f *sca.Facts) { f.Risk.Reasons = []string{"abnormal_location"} },
			"an alert":   func(f *sca.Facts) { f.Risk.Quiet = true },
			"new device": func(f *sca.Facts) { f.Device = sca.Device{} },
			"Art. 20":    func(f *sca.Facts) { f.Fraud.Ceased = []int64{10000, 25000, 50000} },
			"no history": func(f *sca.Facts) { f.Fraud = sca.Fraud{} },
		} {
			worse := f
			change(&worse)
			if slices.Contains(sca.Decide(r, worse).Exemptions, sca.TRA) {
				t.Errorf("Art. 18(2)(c): %+v is exempt in spite of %s", c, name)
			}
		}
	}
	for _, band := range oracle.Article18 {
		if !slices.Contains(r.TRA, sca.TRABand{UpTo: euros(t, band.ETV).AmountMinor, FraudPPM: ppm(t, band.Pct)}) {
			t.Errorf("band %+v is not in the rules", band)
		}
	}
	f := quiet()
	f.Amount, f.History.Trusted = psd2.Euro(9999900), true
	if !slices.Contains(sca.Decide(r, f).Exemptions, sca.Trusted) {
		t.Error("Art. 13")
	}
	f.History = sca.History{Same: 1}
	if !slices.Contains(sca.Decide(r, f).Exemptions, sca.Recurring) {
		t.Error("Art. 14")
	}
}

func euros(t *testing.T, s string) psd2.Money {
	t.Helper()
	m, err := psd2.ParseDecimal(s, psd2.EUR)
	must(t, err)
	return m
}

// ppm reads a percentage with up to four decimals as parts per million.
func ppm(t *testing.T, pct string) int64 {
	t.Helper()
	whole, frac, _ := strings.Cut(pct, ".")
	n, err := strconv.ParseInt(whole+(frac + "0000")[:4], 10, 64)
	must(t, err)
	return n
}

func TestFraudSwitchesTheExemptionOffAndOn(t *testing.T) { // Art. 20
	bad, good, empty := sca.Rate{Fraudulent: 16, All: 100000}, sca.Rate{Fraudulent: 15, All: 100000}, sca.Rate{}
	for _, c := range []struct {
		quarters []sca.Rate
		off      bool
	}{
		{[]sca.Rate{bad}, false}, {[]sca.Rate{bad, bad}, true}, {[]sca.Rate{bad, good, bad}, false},
		{[]sca.Rate{bad, bad, good}, false}, {[]sca.Rate{bad, bad, good, bad}, false}, {[]sca.Rate{bad, bad, empty}, true}, {nil, false},
	} {
		if got := sca.Ceased(c.quarters, 150, 2); got != c.off {
			t.Errorf("%v: %t", c.quarters, got)
		}
	}
	w := sqlite(t)
	for n := range 400 {
		p := w.executed(fmt.Sprint("pay_", n), 10000, false)
		if n == 100 || n == 300 { // 1 of 200: far above every band, in two quarters
			p.RecallCode = "FRAD"
		}
		w.took(p)
		w.clock.Add(12 * time.Hour)
	}
	w.clock.Add(60 * 24 * time.Hour)
	f, err := w.FraudRates(t.Context(), w.clock.Now())
	must(t, err)
	if f.All == 0 || f.All >= 400*10000 || len(f.Ceased) != 3 {
		t.Errorf("%+v", f)
	}
}

func (w *world) count(payment string, minor int64, strong bool) {
	w.t.Helper()
	w.took(w.executed(payment, minor, strong))
}

// executed is a payment of the person that was carried out now.
func (w *world) executed(payment string, minor int64, strong bool) *psd2.Payment {
	now := w.clock.Now()
	p := &psd2.Payment{ID: payment, PersonID: w.person, Amount: psd2.Euro(minor), State: psd2.StateExecuted, ExecutedAt: &now,
		Personal: psd2.Personal{Payee: psd2.Party{IBAN: "DE89370400440532013000"}}, Attempts: []psd2.Attempt{{State: psd2.AttemptExecuted}}}
	if strong {
		p.Attempts[0].SCAStatus = psd2.SCAFinalised
	}
	return p
}

// took is the follower taking a payment in.
func (w *world) took(p *psd2.Payment) {
	w.t.Helper()
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return sca.Take(w.Service, tx, p) }))
}

// require is Require with its decision kept.
func (w *world) require(p sca.PaymentFacts) sca.Requirement {
	w.t.Helper()
	r, err := w.Require(w.t.Context(), p)
	must(w.t, err)
	must(w.t, w.db.Tx(w.t.Context(), r.Keep))
	return r
}

func TestDecisionsAreKeptAndReplay(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		w.withTOTP()
		w.count("pay_0", 3000, true)
		w.clock.Add(time.Second)
		w.count("pay_a", 2000, true)
		w.clock.Add(time.Second)
		w.count("pay_b", 3000, false)
		w.count("pay_b", 3000, false) // told twice
		secret, err := w.NewDeviceSecret()
		must(t, err)
		p := newPhone(w)
		w.paidFrom("pay_a", secret, p.known(secret))
		w.clock.Add(48 * time.Hour)
		r := w.require(sca.PaymentFacts{PaymentID: "pay_1", PersonID: w.person, Amount: psd2.Euro(3000), CreditorIBAN: "DE89370400440532013000",
			Approach: "redirect", Merchant: sca.Any, Risk: sca.Risk{Score: 5}, DeviceSecret: secret, DeviceProof: p.known(secret)})
		if r.Level != sca.Any || r.PerformedBy != "aspsp" || !slices.Contains(r.Exemptions, sca.LowValue) || !slices.Contains(r.Exemptions, sca.Recurring) {
			t.Errorf("%+v", r)
		}
		list, err := w.Decisions(t.Context(), "pay_1")
		must(t, err)
		if len(list) != 1 {
			t.Fatalf("%d decisions", len(list))
		}
		k := list[0]
		if want := (sca.History{Count: 1, Sum: 3000, Same: 2, Usual: 3000}); k.Facts.History != want || k.Facts.Device != (sca.Device{Known: true, Bound: true, Days: 2, Payments: 1}) {
			t.Errorf("%+v", k.Facts)
		}
		if again := sca.Decide(rules(t), k.Facts); !reflect.DeepEqual(again, k.Decision) {
			t.Errorf("replayed %+v, kept %+v", again, k.Decision)
		}
	})
}

// TestReplayGoesByTheRulesThatDecided: a file of one's own may change, with or
// without another version, and a decision still replays with the rules it was
// made by; what was changed behind its back is seen.
func TestReplayGoesByTheRulesThatDecided(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "rules.yaml")
		with := func(text string) *sca.Service {
			must(t, os.WriteFile(file, []byte(text), 0o600))
			s, err := sca.New(sca.Config{Origin: origin, RulesFile: file}, sca.Deps{Store: w.db, Now: w.clock.Now})
			must(t, err)
			return s
		}
		decide := func(s *sca.Service, payment string) sca.Requirement {
			r, err := s.Require(t.Context(), sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(5000), Approach: "redirect"})
			must(t, err)
			must(t, w.db.Tx(t.Context(), r.Keep))
			return r
		}
		w.withTOTP()
		own := string(sca.RulesFile())
		lax := with(own)
		if r := decide(lax, "pay_lax"); r.Level != sca.None {
			t.Fatalf("%+v", r)
		}
		own = strings.Replace(own, "{reason: new_device, device: unknown, amount_at_least: 10000, level: any}", "{reason: new_device, device: unknown, amount_at_least: 5000, level: any}", 1)
		strict := with(own) // under the same version
		if r := decide(strict, "pay_strict"); r.Level != sca.Any {
			t.Fatalf("%+v: the file's rules do not count", r)
		}
		for _, payment := range []string{"pay_lax", "pay_strict"} {
			list, err := lax.Replay(t.Context(), payment)
			if err != nil || len(list) != 1 || !list[0].Same {
				t.Errorf("%s: %+v %v", payment, list, err)
			}
		}
		must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE sca_decisions SET facts = REPLACE(facts, '5000', '4999') WHERE payment_id = 'pay_strict'`)
			return err
		}))
		if list, err := strict.Replay(t.Context(), "pay_strict"); err != nil || list[0].Same || list[0].Again.Level != sca.None {
			t.Errorf("changed facts replay the same: %+v %v", list, err)
		}
		if _, err := strict.Replay(t.Context(), "pay_none"); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Errorf("no decision: %v", err)
		}
	})
	for _, text := range []string{"", "- regime: psd2\n  version: v1\n", "- regime: psd2\n  versoin: v1\n"} {
		file := filepath.Join(t.TempDir(), "rules.yaml")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if _, err := sca.New(sca.Config{Origin: origin, RulesFile: file}, sca.Deps{Store: sqlite(t).db}); err == nil {
			t.Errorf("%q are rules", text)
		}
	}
}

func TestFamiliarBrowserProvesItsKey(t *testing.T) {
	w := sqlite(t)
	secret, err := w.NewDeviceSecret()
	must(t, err)
	p, thief := newPhone(w), newPhone(w)
	proof := func(p *phone) string { return p.known(secret) }
	if genuine, err := w.Meet(t.Context(), w.person, secret, ""); err != nil || !genuine {
		t.Errorf("a new browser without a key: genuine %t, %v", genuine, err)
	}
	must(t, w.PaidFrom(t.Context(), w.person, "pay_0", secret)) // without a key nothing is remembered
	if d, err := w.Recognise(t.Context(), w.person, secret, ""); err != nil || d.Known {
		t.Errorf("known before anything was paid: %+v %v", d, err)
	}
	w.paidFrom("pay_1", secret, proof(p))
	for name, c := range map[string]struct {
		proof string
		known bool
	}{"its key": {proof(p), true}, "no key": {"", false}, "another key": {proof(thief), false}} {
		d, err := w.Recognise(t.Context(), w.person, secret, c.proof)
		must(t, err)
		if d.Known != c.known {
			t.Errorf("%s: %+v", name, d)
		}
	}
	// A copied cookie cannot take the place over, and another person is not known.
	for what, proof := range map[string]string{"another key": proof(thief), "no key": ""} {
		if genuine, err := w.Meet(t.Context(), w.person, secret, proof); err != nil || genuine {
			t.Errorf("a copied cookie with %s: genuine %t, %v", what, genuine, err)
		}
	}
	must(t, w.PaidFrom(t.Context(), w.person, "pay_1", secret)) // told twice
	d, err := w.Recognise(t.Context(), w.person, secret, proof(p))
	must(t, err)
	if !d.Known || d.Payments != 1 {
		t.Errorf("%+v", d)
	}
	if d, err := w.Recognise(t.Context(), "psn_other", secret, proof(p)); err != nil || d.Known {
		t.Errorf("%+v %v", d, err)
	}
	if (sca.Behaviour{}).Points() != 0 || (sca.Behaviour{Typing: "uneven", Paste: "all", Pointer: "jumped"}).Points() != 10 {
		t.Error("behaviour counts for more or less than it may")
	}
	if (sca.Behaviour{Typing: "142ms", Paste: "none", Pointer: "none"}).Check() == nil {
		t.Error("a measurement was taken for a bucket")
	}
}

// paidFrom is a browser from which a payment is consented to and succeeds.
func (w *world) paidFrom(payment, secret, proof string) {
	w.t.Helper()
	genuine, err := w.Meet(w.t.Context(), w.person, secret, proof)
	must(w.t, err)
	if !genuine {
		w.t.Error("a new browser is not believed")
	}
	must(w.t, w.PaidFrom(w.t.Context(), w.person, payment, secret))
}

func TestBehaviourMovesTheRiskALittle(t *testing.T) {
	w := sqlite(t)
	for text, want := range map[string]int{
		"": 45, `{"typing":"uneven","paste":"all","pointer":"jumped"}`: 55, `{"typing":"steady","paste":"none","pointer":"moved"}`: 40,
		`{"typing":"uneven","paste":"all","pointer":"jumped","gaps":"1,2"}`: 45, `{"typing":"142ms","paste":"all","pointer":"none"}`: 45, `[]`: 45,
	} {
		payment := psd2.NewID(psd2.PrefixPayment, w.clock.Now(), rand.Reader)
		w.require(sca.PaymentFacts{PaymentID: payment, PersonID: w.person, Amount: psd2.Euro(3000), Approach: "redirect",
			Risk: sca.Risk{Score: 45}, Behaviour: text})
		list, err := w.Decisions(t.Context(), payment)
		must(t, err)
		if got := list[0].Facts.Risk.Score; got != want {
			t.Errorf("%s: score %d, want %d", text, got, want)
		}
	}
}
