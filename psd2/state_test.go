package psd2

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func testPayment(policy Policy) *Payment {
	p := &Payment{
		ID: "pay_00000000000000000000000000", MerchantID: "mer_00000000000000000000000000", Amount: Euro(2500),
		ExpiresAt: t0.Add(15 * time.Minute), PayerPolicy: policy,
		Personal: Personal{Player: Player{Reference: "p", Name: "Erika Mustermann"}},
	}
	p.Create(t0)
	return p
}

func begin(t testing.TB, p *Payment, id string, life time.Duration, now time.Time) {
	t.Helper()
	if err := p.BeginAttempt(Attempt{ID: id, BankID: "b", EndToEndID: id, RedirectLife: life}, PSU{}, now); err != nil {
		t.Fatal(err)
	}
	if err := p.Initiated(id, "redirect", Prompt{Kind: PromptRedirect, RedirectURL: "https://bank"}, []byte("s"), now); err != nil {
		t.Fatal(err)
	}
}

func eventTypes(t testing.TB, p *Payment) []string {
	t.Helper()
	events, err := p.TakeEvents()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

func TestSettledPaymentTellsEveryMilestoneOnce(t *testing.T) {
	p := testPayment(PayerRequired)
	begin(t, p, "a", 0, t0)
	for range 3 { // a bank that repeats itself
		p.Report("a", Report{Status: "ACCC", Payer: Party{Name: "MUSTERMANN E", IBAN: "DE89370400440532013000"}}, t0.Add(time.Second))
		p.JudgePayer(func(IBAN) string { return "src" }, func(a, b string) bool { return true }, t0.Add(time.Second))
	}
	want := []string{EventCreated, EventAttemptStarted, EventAuthorized, EventExecuted, EventSettled, EventPayerChecked, EventCreditable}
	if got := eventTypes(t, p); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("events %v\nwant   %v", got, want)
	}
	if p.State != StateSettled || p.CreditableAt == nil {
		t.Fatalf("state %s, creditable %v", p.State, p.CreditableAt)
	}
}

func TestOtherHoldersMoneyIsNeverCreditable(t *testing.T) {
	p := testPayment(PayerRequired)
	begin(t, p, "a", 0, t0)
	p.Report("a", Report{Status: "ACCC", Payer: Party{Name: "Somebody Else", IBAN: "DE89370400440532013000"}}, t0)
	p.JudgePayer(func(IBAN) string { return "src" }, func(a, b string) bool { return false }, t0)
	if p.State != StateSettled || p.PayerCheck != PayerMismatched || p.CreditableAt != nil {
		t.Fatalf("%s %s %v", p.State, p.PayerCheck, p.CreditableAt)
	}
}

func TestUnknownHolderFollowsTheMerchantsPolicy(t *testing.T) {
	for policy, creditable := range map[Policy]bool{PayerRequired: false, PayerOptional: true, PayerOff: true} {
		p := testPayment(policy)
		begin(t, p, "a", 0, t0)
		p.Report("a", Report{Status: "ACSC"}, t0)
		p.JudgePayer(nil, nil, t0)
		if (p.CreditableAt != nil) != creditable {
			t.Errorf("%s: creditable %v", policy, p.CreditableAt)
		}
	}
}

func TestLostInitiationBeforeRiskIsAbandoned(t *testing.T) {
	p := testPayment(PayerOff)
	if err := p.BeginAttempt(Attempt{ID: "a"}, PSU{}, t0); err != nil {
		t.Fatal(err)
	}
	p.Lapse(time.Minute, t0.Add(time.Minute))
	if p.State != StateAuthorizationRequired || p.Attempts[0].State != AttemptAbandoned {
		t.Fatalf("%s %s", p.State, p.Attempts[0].State)
	}
	if err := p.Initiated("a", "redirect", Prompt{Kind: PromptRedirect, RedirectURL: "https://bank"}, nil, t0.Add(time.Minute)); err == nil {
		t.Fatal("a late answer must not hand out the link of an abandoned order")
	}
}

func TestLostInitiationAtRiskIsUnknown(t *testing.T) {
	p := testPayment(PayerOff)
	if err := p.BeginAttempt(Attempt{ID: "a", RiskAtOnce: true}, PSU{}, t0); err != nil {
		t.Fatal(err)
	}
	if err := p.InitiationLost("a", t0); err != nil {
		t.Fatal(err)
	}
	if p.State != StateOutcomeUnknown {
		t.Fatalf("state %s", p.State)
	}
	if err := p.BeginAttempt(Attempt{ID: "b"}, PSU{}, t0); err == nil {
		t.Fatal("a second order while the first may have moved money")
	}
}

func TestAbandonedCheckoutFailsOnceTheRedirectLapsed(t *testing.T) {
	p := testPayment(PayerOff)
	begin(t, p, "a", 20*time.Minute, t0)
	p.Report("a", Report{Status: "RCVD"}, t0.Add(16*time.Minute))
	p.Lapse(time.Minute, t0.Add(16*time.Minute))
	if p.State != StateAuthorizing {
		t.Fatalf("the payer may still approve: %s", p.State)
	}
	p.Report("a", Report{Status: "RCVD"}, t0.Add(20*time.Minute))
	p.Lapse(time.Minute, t0.Add(20*time.Minute))
	if p.State != StateFailed || p.Failure != ReasonExpired {
		t.Fatalf("%s %s", p.State, p.Failure)
	}
}

func TestExpiryAtRiskIsUnknownNotFailed(t *testing.T) {
	for name, c := range map[string]struct {
		life   time.Duration
		status string
		sca    string
		silent bool
	}{
		"bank does not say how long its redirect lives": {0, "RCVD", "", false},
		"SCA is finalised":      {time.Minute, "RCVD", SCAFinalised, false},
		"bank is not reachable": {time.Minute, "", "", true},
		"bank says PDNG":        {time.Minute, "PDNG", "", false},
		"bank says PART":        {time.Minute, "PART", "", false},
	} {
		p := testPayment(PayerOff)
		begin(t, p, "a", c.life, t0)
		late := t0.Add(16 * time.Minute)
		if c.silent {
			p.Silent("a", time.Minute, late)
		} else {
			p.Report("a", Report{Status: c.status, SCAStatus: c.sca}, late)
		}
		p.Lapse(time.Minute, late)
		if p.State != StateOutcomeUnknown {
			t.Errorf("%s: %s", name, p.State)
		}
	}
}

func TestCancelWhileAtRiskNeverFailsByItself(t *testing.T) {
	p := testPayment(PayerOff)
	begin(t, p, "a", 0, t0)
	ask, err := p.Cancel(ReasonMerchantCanceled, t0)
	if err != nil || !ask {
		t.Fatal(ask, err)
	}
	p.Lapse(time.Minute, t0)
	if p.State != StateOutcomeUnknown {
		t.Fatalf("state %s", p.State)
	}
	p.Report("a", Report{Status: "ACSC"}, t0.Add(time.Minute)) // the payer approved all the same
	if p.State != StateExecuted {
		t.Fatalf("state %s", p.State)
	}
}

func TestCancelledBeforeTheLinkWasHandedOutFails(t *testing.T) {
	p := testPayment(PayerOff)
	if err := p.BeginAttempt(Attempt{ID: "a"}, PSU{}, t0); err != nil {
		t.Fatal(err)
	}
	if ask, err := p.Cancel(ReasonPayerCanceled, t0); ask || err != nil {
		t.Fatal(ask, err)
	}
	if err := p.Initiated("a", "redirect", Prompt{Kind: PromptRedirect, RedirectURL: "https://bank"}, nil, t0); err != nil {
		t.Fatal(err)
	}
	if p.State != StateFailed || p.Failure != ReasonPayerCanceled || p.Attempts[0].State != AttemptAbandoned {
		t.Fatalf("%s %s %s", p.State, p.Failure, p.Attempts[0].State)
	}
}

func TestUnknownCodeKeepsTheState(t *testing.T) {
	p := testPayment(PayerOff)
	begin(t, p, "a", 0, t0)
	for _, s := range []string{"ACTV", "PART", "", "accc", "ACCC "} {
		if p.Report("a", Report{Status: s}, t0) {
			t.Errorf("%q was understood", s)
		}
	}
	if p.State != StateAuthorizing {
		t.Fatalf("state %s", p.State)
	}
}

func TestExecutedMoneyIsBelievedAfterFailure(t *testing.T) {
	p := testPayment(PayerOff)
	begin(t, p, "a", time.Minute, t0)
	late := t0.Add(16 * time.Minute)
	p.Report("a", Report{Status: "RCVD"}, late)
	p.Lapse(time.Minute, late)
	if p.State != StateFailed {
		t.Fatal(p.State)
	}
	p.Report("a", Report{Status: "ACSP"}, late) // alive again: watched, not believed
	if p.State != StateFailed || p.Attempts[0].Odd != 1 {
		t.Fatal(p.State, p.Attempts[0].Odd)
	}
	p.Report("a", Report{Status: "ACSC"}, late)
	if p.State != StateExecuted || p.FailedAt != nil || p.Failure != "" {
		t.Fatal(p.State, p.Failure)
	}
}

func TestRefusedAttemptLeavesThePaymentOpen(t *testing.T) {
	p := testPayment(PayerOff)
	begin(t, p, "a", 0, t0)
	p.Report("a", Report{Status: "RJCT", ReasonCode: "AM04"}, t0)
	if p.State != StateAuthorizationRequired || p.Attempts[0].Failure != ReasonInsufficientFunds {
		t.Fatal(p.State, p.Attempts[0].Failure)
	}
	begin(t, p, "b", 0, t0)
	p.Report("b", Report{Status: "RJCT", ReasonCode: "AC06"}, t0.Add(16*time.Minute)) // after expiry
	if p.State != StateFailed || p.Failure != ReasonAccountBlocked || p.BankCode != "AC06" {
		t.Fatal(p.State, p.Failure, p.BankCode)
	}
}

// bankOrder is the bank's truth about one order in the model test.
type bankOrder struct {
	status string
	linked bool // the payer holds its link
	at     time.Time
	life   time.Duration
	amount Money
}

func (o *bankOrder) usable(now time.Time) bool {
	return o.linked && o.status == "RCVD" && (o.life == 0 || now.Before(o.at.Add(o.life)))
}

// TestPaymentEndsInTheBanksTruth drives a payment with everything that can
// happen to it, then lets the bank answer every question on schedule.
func TestPaymentEndsInTheBanksTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := testPayment(PayerOff)
		now := t0
		orders := map[string]*bankOrder{}
		moved, sequence, seen := false, int64(0), map[string]int{}
		check := func() {
			open := 0
			for _, a := range p.Attempts {
				if a.State.open() {
					open++
				}
			}
			if open > 1 && !p.State.MoneyMoved() {
				t.Fatalf("%d open attempts", open)
			}
			if moved && !p.State.MoneyMoved() {
				t.Fatalf("money had moved, state is %s", p.State)
			}
			moved = moved || p.State.MoneyMoved() && !onlyOperatorsSay(p)
			events, err := p.TakeEvents()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if sequence++; e.Sequence != sequence {
					t.Fatalf("event %s has sequence %d, want %d", e.Type, e.Sequence, sequence)
				}
				seen[e.Type]++
			}
			for _, once := range []string{EventExecuted, EventSettled, EventCreditable} {
				if seen[once] > 1+p.Contradictions() { // a bank's contradiction is a change of its own
					t.Fatalf("%s told %d times", once, seen[once])
				}
			}
			doc, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var back Payment
			if err := json.Unmarshal(doc, &back); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(&back); string(again) != string(doc) {
				t.Fatal("a payment changes by being stored")
			}
		}
		look := func(answers bool) {
			for i := range p.Attempts {
				a := &p.Attempts[i]
				o := orders[a.ID]
				if o == nil || a.State == AttemptSubmitting || a.State == AttemptRefused {
					continue
				}
				if answers {
					p.Report(a.ID, Report{Status: o.status}, now)
					p.JudgePayer(func(IBAN) string { return "s" }, func(a, b string) bool { return true }, now)
				} else {
					p.Silent(a.ID, 12*time.Second, now)
				}
			}
			p.Lapse(time.Minute, now)
			if next, ok := p.NextStep(time.Minute); ok && !next.After(now) {
				t.Fatalf("work due at %s again at %s in %s", next, now, p.State)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			switch rapid.SampledFrom([]string{"begin", "prepared", "submit", "answer", "relay", "refuse", "lose", "approve", "decline", "settle", "look", "silent", "cancel", "return", "lapse", "decide", "lower", "more"}).Draw(t, "op") {
			case "begin":
				id := fmt.Sprintf("att_%d", len(p.Attempts))
				a := Attempt{ID: id, EndToEndID: id, RedirectLife: time.Duration(rapid.SampledFrom([]int{0, 5, 20}).Draw(t, "life")) * time.Minute}
				if rapid.IntRange(0, 3).Draw(t, "prepares") == 0 {
					a.State = AttemptPreparing
				}
				if p.BeginAttempt(a, PSU{}, now) == nil && a.State != AttemptPreparing {
					orders[id] = &bankOrder{status: "RCVD", life: a.RedirectLife, amount: p.Amount}
				}
			case "prepared":
				if a := p.Open(); a != nil {
					_ = p.Prepared(a.ID, "redirect", Prompt{Kind: PromptRedirect, RedirectURL: "https://bank"}, []byte("s"), now) // refused unless preparing
				}
			case "submit":
				if a := p.Open(); a != nil && p.Submit(a.ID, []byte("s"), now) == nil {
					orders[a.ID] = &bankOrder{status: "RCVD", life: a.RedirectLife, amount: p.Amount}
				}
			case "answer":
				prompt := Prompt{Kind: rapid.SampledFrom([]PromptKind{PromptRedirect, PromptApp, PromptCode}).Draw(t, "prompt")}
				a := p.Open()
				if a == nil {
					break
				}
				submitting := a.State == AttemptSubmitting
				if p.Initiated(a.ID, "any", prompt, []byte("s"), now) == nil && a.State == AttemptAuthorizing && submitting {
					orders[a.ID].linked, orders[a.ID].at = prompt.Kind != PromptCode, now
				}
			case "relay":
				a := p.Open()
				if a == nil || p.Relaying(a.ID, PromptCode, now) != nil {
					break
				}
				o := orders[a.ID]
				switch rapid.SampledFrom([]string{"right", "wrong", "lost", "lost after", "last"}).Draw(t, "answer") {
				case "right":
					o.status = "ACTC"
					_ = p.Relayed(a.ID, Prompt{}, nil, now) // cannot fail: just checked
				case "wrong":
					_ = p.Relayed(a.ID, Prompt{Kind: PromptCode, Again: true}, nil, now)
				case "lost after":
					o.status = "ACTC"
				case "last":
					o.status = "RJCT"
					_ = p.RelayRefused(a.ID, ReasonAuthenticationFailed, "", now)
				}
			case "refuse":
				if a := p.Open(); a != nil && (a.State == AttemptSubmitting || a.State == AttemptPreparing) {
					delete(orders, a.ID)
					_ = p.InitiationFailed(a.ID, ReasonBankRejected, "", now)
				}
			case "lose":
				if a := p.Open(); a != nil {
					_ = p.InitiationLost(a.ID, now) // refused unless submitting
				}
			case "approve":
				for _, o := range orders {
					if o.usable(now) {
						o.status = rapid.SampledFrom([]string{"ACTC", "ACSP", "ACSC", "ACCC", "RJCT"}).Draw(t, "to")
					}
				}
			case "decline":
				for _, o := range orders {
					if o.usable(now) {
						o.status = "RJCT"
					}
				}
			case "settle":
				for _, o := range orders {
					if o.status == "ACTC" || o.status == "ACSP" || o.status == "ACSC" {
						o.status = "ACCC"
					}
				}
			case "look":
				look(true)
			case "silent":
				look(false)
			case "cancel":
				_, _ = p.Cancel(ReasonMerchantCanceled, now) // may be refused
			case "return":
				if a := p.Open(); a != nil {
					p.Returned(a.ID, now)
				}
			case "lapse":
				p.Lapse(time.Minute, now)
			case "lower":
				to := Euro(int64(rapid.IntRange(-1, 2600).Draw(t, "minor")))
				if was := p.Amount; p.Lower(to, now) == nil && (len(orders) > 0 || to.AmountMinor >= was.AmountMinor || to.AmountMinor <= 0 || p.AskedMinor != 2500) {
					t.Fatalf("%d orders, %v became %v of %d", len(orders), was, to, p.AskedMinor)
				}
			case "more":
				if was, a := p.ExpiresAt, p.Open(); p.MoreTime(now.Add(15*time.Minute), now) == nil && (p.ExpiresAt.Before(was) || !now.Before(was) || a != nil && a.AtRiskAt != nil) {
					t.Fatalf("more time at %s: %s became %s", now, was, p.ExpiresAt)
				}
			case "decide": // operators may be wrong
				if a := p.Open(); a != nil {
					_ = p.Decide(a.ID, "dec", rapid.SampledFrom(Verdicts).Draw(t, "verdict"), now) // refused unless unknown
				}
			}
			check()
		}
		for id, o := range orders { // the bank comes to an end with everything that was approved, or decided here
			switch {
			case o.status == "ACTC" || o.status == "ACSP":
				o.status = "ACSC"
			case o.status == "RCVD" && p.Attempt(id).Decision != nil:
				o.status = "RJCT"
			}
		}
		for range 200 {
			next, ok := p.NextStep(time.Minute)
			if !ok {
				break
			}
			if next.After(now) {
				now = next
			}
			look(true)
			check()
		}
		paid := 0
		for id, o := range orders {
			if o.amount != p.Amount {
				t.Fatalf("order %s of %v, the payment is of %v", id, o.amount, p.Amount)
			}
			if o.status == "ACSC" || o.status == "ACCC" {
				paid++
			}
		}
		switch {
		case paid > 0 && !p.State.MoneyMoved():
			t.Fatalf("the bank executed, the payment is %s", p.State)
		case paid == 0 && p.State.MoneyMoved():
			t.Fatalf("the bank moved nothing, the payment is %s", p.State)
		case paid == 0 && p.State != StateFailed && p.State != StateOutcomeUnknown:
			t.Fatalf("still %s when nothing more is due", p.State)
		}
	})
}

// onlyOperatorsSay reports whether no bank has said yet that money moved.
func onlyOperatorsSay(p *Payment) bool {
	l := p.leading()
	return l != nil && l.Decision.onlyWord()
}

func TestReasonCodesAreNeverEmpty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		code := string([]byte{byte('A' + r.IntN(26)), byte('A' + r.IntN(26)), byte('0' + r.IntN(10)), byte('0' + r.IntN(10))})
		if ReasonOf(code) == "" {
			t.Fatal(code)
		}
	}
}

// TestNobodyGetsALinkOncePaid: money of an attempt we had given up is found
// while another bank is being asked. That bank's link is handed out to nobody,
// and an unanswered initiation still ends.
func TestNobodyGetsALinkOncePaid(t *testing.T) {
	paidMeanwhile := func(risk bool) *Payment {
		p := testPayment(PayerOff)
		for _, id := range []string{"a", "b"} {
			if err := p.BeginAttempt(Attempt{ID: id, RiskAtOnce: risk && id == "b"}, PSU{}, t0); err != nil {
				t.Fatal(err)
			}
			if id == "a" {
				if err := p.InitiationLost("a", t0); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.Report("a", Report{Status: "ACSC"}, t0)
		return p
	}
	p := paidMeanwhile(false)
	if err := p.Initiated("b", "redirect", Prompt{Kind: PromptRedirect, RedirectURL: "https://bank"}, nil, t0); err != nil || p.Attempts[1].State != AttemptAbandoned || p.State != StateExecuted {
		t.Errorf("%v: attempt %s, payment %s", err, p.Attempts[1].State, p.State)
	}
	for risk, want := range map[bool]AttemptState{false: AttemptAbandoned, true: AttemptUnknown} {
		p := paidMeanwhile(risk)
		later := t0.Add(time.Minute)
		p.Lapse(time.Minute, later)
		if p.Attempts[1].State != want || p.State != StateExecuted {
			t.Errorf("lost: attempt %s, want %s; payment %s", p.Attempts[1].State, want, p.State)
		}
	}
}
