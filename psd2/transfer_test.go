package psd2

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	testPatience = 12 * time.Second
	testNever    = 2 * time.Minute
	testTimeout  = 45 * time.Second
)

func testTransfer() *Transfer {
	t := &Transfer{ID: "pot_00000000000000000000000000", Kind: KindPayout, MerchantID: "mer_00000000000000000000000000", Amount: Euro(2500),
		Personal: TransferPersonal{Reference: "Payout", Payee: Party{Name: "Erika Mustermann", IBAN: "DE89370400440532013000"}}}
	t.Create(t0)
	return t
}

// transferBank is the bank's truth about the one order. An order that is lost
// may still be on its way, but no longer than answers are waited for.
type transferBank struct {
	onWay    bool
	sentAt   time.Time
	taken    bool
	status   string // ACSP, ACSC, RJCT
	returned bool
}

func (b *transferBank) arrive() { b.onWay, b.taken, b.status = false, true, "ACSP" }

// TestTransferEndsInTheBanksTruth drives a transfer with everything that can
// happen to it, then lets the bank answer every question on schedule. C44.
func TestTransferEndsInTheBanksTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, bank, now := testTransfer(), &transferBank{}, t0
		window := rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "window")
		calls, sequence, moved := 0, int64(0), false
		seen := map[string]int{}
		check := func() {
			executed := x.State == TransferExecuted || x.State == TransferReturned
			switch {
			case calls > 1:
				t.Fatal("sent twice")
			case executed && bank.status != "ACSC" && !x.Decision.onlyWord():
				t.Fatalf("%s, but the bank has not executed", x.State)
			case moved && !executed:
				t.Fatalf("money had moved, state is %s", x.State)
			case x.Retryable && x.State != TransferFailed:
				t.Fatalf("retryable while %s", x.State)
			case x.Retryable && (bank.taken || bank.onWay) && x.Decision == nil: // operators may be wrong
				t.Fatal("retryable, but the bank has the order or may get it")
			case x.State == TransferReturned && !bank.returned:
				t.Fatal("returned, but the money is gone")
			}
			moved = moved || executed && !x.Decision.onlyWord()
			events, err := x.TakeEvents()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if sequence++; e.Sequence != sequence {
					t.Fatalf("%s has sequence %d, want %d", e.Type, e.Sequence, sequence)
				}
				if seen[e.Type]++; seen[e.Type] > 1 && !x.Decision.Contradicted() {
					t.Fatalf("%s told twice", e.Type)
				}
			}
			doc, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			var back Transfer
			if err := json.Unmarshal(doc, &back); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(&back); string(again) != string(doc) {
				t.Fatal("a transfer changes by being stored")
			}
		}
		ask := func(answers bool) {
			if bank.onWay && now.Sub(bank.sentAt) >= testNever {
				bank.onWay = false // lost for good
			}
			switch {
			case x.SubmittedAt == nil:
			case !answers:
				x.Silent(testPatience, now)
			case bank.taken && (window == 0 || now.Sub(bank.sentAt) < window):
				x.Report(bank.status, map[string]string{"RJCT": "AC04"}[bank.status], testPatience, now)
			default:
				x.NotFound(testNever, now)
			}
			x.Lapse(testTimeout, now)
		}
		send := func() {
			if x.Submit(window, now) != nil {
				return
			}
			if !x.AsCommitted() {
				t.Fatal("what is sent is not what was committed")
			}
			calls++
			bank.sentAt = now
			switch rapid.SampledFrom([]string{"answered", "refused", "unreachable", "lost", "lost on the way", "arrived, answer lost", "died"}).Draw(t, "call") {
			case "answered":
				bank.arrive()
				x.Report(bank.status, "", testPatience, now)
			case "refused":
				bank.arrive()
				bank.status = "RJCT"
				x.Report("RJCT", "AC04", testPatience, now)
			case "unreachable":
				x.NotSent("", now)
			case "lost":
				x.Lost(now)
			case "lost on the way":
				bank.onWay = true
				x.Lost(now)
			case "arrived, answer lost":
				bank.arrive()
				x.Lost(now)
			case "died": // Lapse finds it
			}
		}
		ops := []string{"hold", "refuse", "send", "send", "find", "find", "arrive", "execute", "reject", "return", "statement", "find", "silent", "recall", "wait", "decide"}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			switch rapid.SampledFrom(ops).Draw(t, "op") {
			case "hold":
				before, _ := json.Marshal(x.View())
				x.Hold(now)
				if after, _ := json.Marshal(x.View()); string(before) != string(after) {
					t.Fatal("a hold shows")
				}
			case "refuse":
				x.Refuse(ReasonPaymentNotPossible, false, now)
			case "send":
				send()
			case "arrive":
				if bank.onWay && now.Sub(bank.sentAt) < testNever {
					bank.arrive()
				}
			case "execute":
				if bank.status == "ACSP" {
					bank.status = "ACSC"
				}
			case "reject":
				if bank.status == "ACSP" {
					bank.status = "RJCT"
				}
			case "return":
				bank.returned = bank.returned || bank.status == "ACSC" && rapid.Bool().Draw(t, "really")
			case "statement":
				if bank.status == "ACSC" {
					x.Booked(now)
				}
				if bank.returned && x.State != TransferReturned {
					x.CameBack("AC04", now)
				}
			case "find":
				ask(true)
			case "silent":
				ask(false)
			case "recall":
				if x.AskRecall(RecallRequest, now) == nil && x.SendRecall(now) == nil && x.SendRecall(now) == nil {
					t.Fatal("recalled twice")
				}
			case "decide":
				_ = x.Decide("dec", rapid.SampledFrom(Verdicts).Draw(t, "verdict"), now) // refused unless unknown
			case "wait":
			}
			check()
		}
		if bank.status == "ACSP" {
			bank.status = "ACSC"
		}
		for range 200 {
			next, ok := x.NextStep(testTimeout)
			if !ok || x.Unsent() {
				break
			}
			if next.After(now) {
				now = next
			}
			if x.Recall.open() && x.State == TransferExecuted {
				x.RecallAsked(now)
			} else {
				ask(true)
			}
			check()
			if again, ok := x.NextStep(testTimeout); ok && !again.After(now) && !x.Unsent() {
				t.Fatalf("due again at the same moment in %s", x.State)
			}
		}
		finish(t, x, bank, window)
	})
}

// finish checks where a transfer is left when nothing more is due. An outcome
// that the bank has forgotten may stay unknown: then only the statement tells.
func finish(t *rapid.T, x *Transfer, bank *transferBank, window time.Duration) {
	switch {
	case x.Unsent() || x.SubmittedAt == nil:
		if bank.taken || bank.onWay {
			t.Fatal("sent without an intent")
		}
	case x.State == TransferUnknown:
		if window == 24*time.Hour {
			t.Fatal("unknown, though the bank has answered in time")
		}
	case x.Decision != nil && x.Decision.Bank == "" && window < 24*time.Hour: // it has forgotten, and operators may be wrong
	case bank.status == "ACSC" && x.State != TransferExecuted && x.State != TransferReturned:
		t.Fatalf("the bank executed, the transfer is %s", x.State)
	case bank.status == "RJCT" && (x.State != TransferFailed || x.Retryable):
		t.Fatalf("the bank refused, the transfer is %s, retryable %v", x.State, x.Retryable)
	case !bank.taken && (x.State != TransferFailed || !x.Retryable):
		t.Fatalf("the bank never got it, the transfer is %s, retryable %v", x.State, x.Retryable)
	}
}

// TestTransferEventsAreInTheVocabulary: types are put together, so they are
// compared with the constants.
func TestTransferEventsAreInTheVocabulary(t *testing.T) {
	known := []string{
		EventRefundCreated, EventRefundAuthorized, EventRefundExecuted, EventRefundFailed, EventRefundOutcomeUnknown, EventRefundReturned,
		EventRefundRecalled, EventRefundRecallRefused, EventPayoutCreated, EventPayoutAuthorized, EventPayoutExecuted, EventPayoutFailed,
		EventPayoutOutcomeUnknown, EventPayoutReturned, EventPayoutRecalled, EventPayoutRecallRefused,
	}
	for _, kind := range []TransferKind{KindRefund, KindPayout} {
		for _, what := range []string{happenedCreated, happenedAuthorized, happenedExecuted, happenedFailed, happenedUnknown, happenedReturned,
			happenedRecalled, happenedRecallRefused} {
			if !slices.Contains(known, string(kind)+"."+what) {
				t.Errorf("%s.%s has no constant", kind, what)
			}
		}
	}
}

func TestBankingDaysAreThoseOfTARGET(t *testing.T) {
	for _, c := range []struct {
		from string
		days int
		want string
	}{
		{"2026-11-20", 1, "2026-11-23"}, {"2026-11-20", 10, "2026-12-04"}, {"2026-12-23", 2, "2026-12-28"}, {"2027-03-25", 1, "2027-03-30"},
		{"2028-04-13", 1, "2028-04-18"}, {"2026-04-30", 1, "2026-05-04"}, {"2026-12-31", 1, "2027-01-04"},
	} {
		from, err := time.Parse(time.DateOnly, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := addBankingDays(from, c.days).Format(time.DateOnly); got != c.want {
			t.Errorf("%d banking days after %s: %s, want %s", c.days, c.from, got, c.want)
		}
	}
}

func TestTransferReferencesAreOursAndShort(t *testing.T) {
	x := testTransfer()
	for _, id := range []string{x.MessageID, x.EndToEndID, NewRecallID(x.ID)} {
		if len(id) != 29 || !IsEPC(id) {
			t.Errorf("%q", id)
		}
	}
}
