package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

// RefusalOptions of a run of Refusals.
type RefusalOptions struct {
	Fleet    fleet.Options
	Each     int                // refusals of each kind
	Progress func(done, of int) // nil: none
}

// RefusalReport compares how long refusals take. Whoever can tell one kind from
// another by its time learns whom officers look at.
type RefusalReport struct {
	Each  int           `json:"each"`
	Kinds []RefusalKind `json:"kinds"`
	// Distance is the largest between two kinds' distributions
	// (Kolmogorov-Smirnov); Bound is what chance alone exceeds once in a thousand.
	Distance float64 `json:"distance"`
	Bound    float64 `json:"bound"`
	LatestMS float64 `json:"latest_ms"` // of all: beyond hub.refusal_beat and a quarter the beat is too short
}

// RefusalKind is one cause, as the payer waits for it after his consent.
type RefusalKind struct {
	Name  string  `json:"name"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`

	took []time.Duration
}

// listed is on the benchmark's own sanctions list.
const listed = "Zacharias Querulin"

// refusals are what is asked for, so that it is refused.
func refusals(account string) []apiclient.Deposit {
	wish := func(minor int64, p psd2.Player) apiclient.Deposit {
		return apiclient.Deposit{Amount: psd2.Euro(minor), PayeeAccountID: account, Reference: "Deposit", Player: p, ReturnURI: "https://casino.localhost/back"}
	}
	return []apiclient.Deposit{
		wish(2500, psd2.Player{Name: listed, DateOfBirth: "1961-04-05", Residence: "DE", KYCStatus: "verified"}), // stopped: nobody may know
		wish(20_000, psd2.Player{Name: fleet.Holder, KYCStatus: "pending"}),                                      // kyc_required
		wish(100_001, psd2.Player{Name: fleet.Holder, DateOfBirth: "1980-01-01", KYCStatus: "verified"}),         // limit_exceeded
	}
}

// Refusals has payers refused for different causes, one after the other, and
// compares the times between their consent and the answer.
func Refusals(ctx context.Context, o RefusalOptions) (r RefusalReport, err error) {
	lists := filepath.Join(o.Fleet.Dir, "lists")
	if err := errors.Join(mkdir(lists), os.WriteFile(filepath.Join(lists, "list.csv"), []byte("id,name,dob,country\n7,"+listed+",1961-04-05,DE\n"), 0o600)); err != nil {
		return r, err
	}
	o.Fleet.Gambling, o.Fleet.Hub = true, map[string]any{"compliance": map[string]any{"screening": map[string]any{"lists": lists}}}
	f, err := fleet.Start(ctx, o.Fleet)
	if err != nil {
		return r, err
	}
	defer f.Close()
	r = RefusalReport{Each: o.Each, Kinds: []RefusalKind{{Name: "sanctions list"}, {Name: "kyc_required"}, {Name: "limit_exceeded"}}}
	for i := range o.Each {
		for k, wish := range refusals(f.Sink.AccountID) {
			wish.Player.Reference = fmt.Sprintf("player-%d-%d", k, i)
			took, err := refused(ctx, f, wish, fmt.Sprintf("key-%d-%d", k, i))
			if err != nil {
				return r, fmt.Errorf("%s: %w", r.Kinds[k].Name, err)
			}
			r.Kinds[k].took = append(r.Kinds[k].took, took)
		}
		if o.Progress != nil {
			o.Progress(i+1, o.Each)
		}
	}
	r.compare()
	return r, nil
}

// refused makes one payment, whose payer consents and is refused.
func refused(ctx context.Context, f *fleet.Fleet, wish apiclient.Deposit, key string) (took time.Duration, err error) {
	p, err := f.Merchant.Create(ctx, wish, key)
	if err != nil {
		return 0, err
	}
	select { // who is listed is looked up before he pays, never while: all wait the same
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(1500 * time.Millisecond):
	}
	person := payer.Payer{Client: payer.NewClient(f.HTTP), Bank: fleet.BankID, Now: time.Now, Step: func(name string, d time.Duration) {
		if name == "consent" {
			took = d
		}
	}}
	result, err := person.Pay(ctx, p.HostedPage.URL)
	if err != nil {
		return 0, err
	}
	if result.Situation != "failed" || result.AtBank {
		return 0, fmt.Errorf("the payment was not refused: %q", result.Situation)
	}
	return took, nil
}

func (r *RefusalReport) compare() {
	for i := range r.Kinds {
		k := &r.Kinds[i]
		s := spreadOf(k.took) // sorted from here on
		k.P50MS, k.P99MS = round(s.p50), round(s.p99)
		r.LatestMS = max(r.LatestMS, round(millis(k.took[len(k.took)-1])))
		for _, other := range r.Kinds[:i] {
			r.Distance = max(r.Distance, distance(k.took, other.took))
		}
	}
	r.Bound = 1.95 * math.Sqrt(2/float64(r.Each))
}

// distance is the greatest between two distributions, both sorted.
func distance(a, b []time.Duration) (most float64) {
	below := func(list []time.Duration, at time.Duration) float64 {
		n, _ := slices.BinarySearch(list, at+1)
		return float64(n) / float64(len(list))
	}
	for _, at := range slices.Concat(a, b) {
		most = max(most, math.Abs(below(a, at)-below(b, at)))
	}
	return most
}
