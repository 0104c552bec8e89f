package psd2

import (
	"slices"
	"testing"
	"time"
)

// lost is a payment whose initiation was lost at a bank at risk at once.
func lost(t *testing.T) *Payment {
	t.Helper()
	p := testPayment(PayerOff)
	if err := p.BeginAttempt(Attempt{ID: "a", RiskAtOnce: true, RedirectLife: 10 * time.Minute}, PSU{}, t0); err != nil {
		t.Fatal(err)
	}
	if err := p.InitiationLost("a", t0); err != nil {
		t.Fatal(err)
	}
	return p
}

// An unknown outcome is asked about by the same schedule however it came about.
func TestUnknownOutcomeIsAskedAtFirstBySecondsThenByMinutes(t *testing.T) {
	var want []time.Duration
	for _, s := range []int{1, 2, 3, 5, 8, 10, 15, 30, 60, 120, 300, 600, 1200, 2400, 6000, 9600} {
		want = append(want, time.Duration(s)*time.Second)
	}
	silent := testPayment(PayerOff)
	begin(t, silent, "a", 0, t0.Add(-time.Minute))
	silent.Returned("a", t0.Add(-time.Minute))
	silent.Silent("a", 12*time.Second, t0)
	overdue := testPayment(PayerOff)
	begin(t, overdue, "a", 0, t0.Add(-time.Minute))
	overdue.Report("a", Report{Status: "ACSP"}, t0.Add(-time.Minute))
	overdue.Report("a", Report{Status: "ACSP"}, t0)
	overdue.Overdue("a", 12*time.Second, t0)
	for name, p := range map[string]*Payment{"the answer to the initiation is lost": lost(t), "the bank is silent": silent, "the bank is late": overdue} {
		if p.State != StateOutcomeUnknown {
			t.Fatalf("%s: %s", name, p.State)
		}
		var got []time.Duration
		for range want {
			at, ok := p.NextStep(time.Minute)
			if !ok {
				t.Fatalf("%s: not asked any more after %v", name, got)
			}
			got = append(got, at.Sub(t0))
			p.Silent("a", 12*time.Second, at)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: asked after %v\nwant %v", name, got, want)
		}
	}
}

// A bank may have got the order long after its intent: its redirect is not dead
// before that much later.
func TestRedirectLapsesNoSoonerThanTheBankHadTheOrder(t *testing.T) {
	p := lost(t)
	if _, known := p.Attempts[0].LapsesAt(); known {
		t.Error("it is not known when an order lapses whose answer is lost")
	}
	found := t0.Add(30 * time.Second)
	if err := p.Initiated("a", "redirect", Prompt{}, []byte("state"), found); err != nil {
		t.Fatal(err)
	}
	if at, known := p.Attempts[0].LapsesAt(); !known || !at.Equal(found.Add(10*time.Minute)) {
		t.Errorf("lapses %v %v", at, known)
	}
	p.ExpiresAt = t0.Add(time.Minute)
	early := t0.Add(10*time.Minute + 10*time.Second)
	p.Report("a", Report{Status: "RCVD"}, early)
	p.Lapse(time.Minute, early)
	if p.State != StateOutcomeUnknown {
		t.Errorf("the payer may still approve: %s", p.State)
	}
	over := found.Add(10 * time.Minute)
	p.Report("a", Report{Status: "RCVD"}, over)
	p.Lapse(time.Minute, over)
	if p.State != StateFailed {
		t.Errorf("it lapsed unused: %s", p.State)
	}
}

// Only the caller knows that nothing was sent, and he is believed even when
// others had taken him for dead.
func TestCallThatWasNeverMadeEndsTheDoubt(t *testing.T) {
	p := lost(t)
	if err := p.InitiationFailed("a", ReasonBankUnavailable, "", t0.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if p.State != StateAuthorizationRequired || p.Attempts[0].State != AttemptRefused {
		t.Errorf("%s %s", p.State, p.Attempts[0].State)
	}
	p = lost(t)
	if err := p.Initiated("a", "decoupled", Prompt{Kind: PromptApp}, []byte("state"), t0); err != nil {
		t.Fatal(err)
	}
	if err := p.InitiationFailed("a", ReasonBankUnavailable, "", t0); err == nil || p.State != StateOutcomeUnknown {
		t.Errorf("the bank has it: %v %s", err, p.State)
	}
}

// While a bank waits for what only we can relay, no money can move, whatever it
// might have done.
func TestBankThatAsksThroughUsIsNotAtRisk(t *testing.T) {
	for name, c := range map[string]struct {
		late   bool
		kind   PromptKind
		over   bool
		want   State
		atRisk bool
	}{
		"asks for his name":              {kind: PromptIdentify, want: StateAuthorizing},
		"asks in its app":                {kind: PromptApp, want: StateAuthorizing, atRisk: true},
		"asks nothing":                   {kind: PromptNone, want: StateAuthorizing, atRisk: true},
		"gives a link":                   {kind: PromptRedirect, want: StateAuthorizing, atRisk: true},
		"asks for his name, late":        {kind: PromptIdentify, late: true, want: StateAuthorizing},
		"asks for his name, and is over": {kind: PromptIdentify, over: true, want: StateFailed},
		"asks for his name, late, over":  {kind: PromptIdentify, late: true, over: true, want: StateFailed},
		"asks in its app, late":          {kind: PromptApp, late: true, want: StateOutcomeUnknown, atRisk: true},
		"asks in its app, and is over":   {kind: PromptApp, over: true, want: StateAuthorizing, atRisk: true},
		"asks nothing, and is over":      {kind: PromptNone, over: true, want: StateAuthorizing, atRisk: true},
	} {
		for _, declared := range []bool{true, false} {
			if c.late && !declared {
				continue // it would have been abandoned
			}
			p := testPayment(PayerOff)
			if err := p.BeginAttempt(Attempt{ID: "a", RiskAtOnce: declared}, PSU{}, t0); err != nil {
				t.Fatal(err)
			}
			now := t0
			if c.late {
				now = t0.Add(time.Minute)
				p.Lapse(time.Minute, now)
			}
			if c.over {
				now = p.ExpiresAt
			}
			if err := p.Initiated("a", "", Prompt{Kind: c.kind}, []byte("state"), now); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if a := p.Attempts[0]; p.State != c.want || a.AtRisk() != c.atRisk {
				t.Errorf("%s, declared %v: %s, at risk %v; want %s, %v", name, declared, p.State, a.AtRisk(), c.want, c.atRisk)
			}
		}
	}
}

func TestOrderMustSayWhatWasCommitted(t *testing.T) {
	begun := func(state AttemptState) *Payment {
		p := testPayment(PayerOff)
		a := Attempt{ID: "a", EndToEndID: "E", RequestID: "R", State: state}
		if err := p.BeginAttempt(a, PSU{Account: "DE02120300000000202051"}, t0); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := begun(AttemptSubmitting)
	same := Terms{EndToEndID: "E", RequestID: "R", Amount: p.Amount, Creditor: p.Personal.Payee, Remittance: p.Personal.Reference, Debtor: "DE02120300000000202051"}
	if !p.AsCommitted("a", same) {
		t.Fatal("it is what was committed")
	}
	for name, change := range map[string]func(*Terms){
		"EndToEndId": func(t *Terms) { t.EndToEndID = "F" },
		"request id": func(t *Terms) { t.RequestID = "S" },
		"amount":     func(t *Terms) { t.Amount.AmountMinor++ },
		"currency":   func(t *Terms) { t.Amount.Currency = "SEK" },
		"payee":      func(t *Terms) { t.Creditor.IBAN = "DE02120300000000202051" },
		"name":       func(t *Terms) { t.Creditor.Name += "x" },
		"reference":  func(t *Terms) { t.Remittance += "x" },
		"debtor":     func(t *Terms) { t.Debtor = "" },
	} {
		other := same
		change(&other)
		if p.AsCommitted("a", other) {
			t.Errorf("another %s passes", name)
		}
	}
	if begun(AttemptPreparing).AsCommitted("a", same) || p.AsCommitted("b", same) {
		t.Error("nothing was committed")
	}
	p = begun(AttemptPreparing)
	if err := p.Submit("a", nil, t0); err != nil || !p.AsCommitted("a", same) {
		t.Errorf("submitted after a login: %v", err)
	}
}
