package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestPaymentComesBackAsItWas(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		p := created(t, db, "mer_a", "player-1")
		for range 5 { // through its whole life
			p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
			got, err := w.open(t).Payment(ctx, p.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, p)
		}
		if p.State != psd2.StateSettled || p.Version != 6 {
			t.Fatalf("state %s, version %d", p.State, p.Version)
		}
		for name, find := range map[string]func() (*psd2.Payment, error){
			"merchant": func() (*psd2.Payment, error) { return db.MerchantPayment(ctx, "mer_a", p.ID) },
			"link":     func() (*psd2.Payment, error) { return db.PaymentByLink(ctx, p.LinkHash) },
			"attempt":  func() (*psd2.Payment, error) { return db.PaymentByAttempt(ctx, p.Attempts[0].ID) },
		} {
			got, err := find()
			if err != nil {
				t.Fatalf("by %s: %v", name, err)
			}
			same(t, got, p)
		}
	})
}

// C08: what belongs to another merchant does not exist.
func TestAnotherMerchantsPaymentDoesNotExist(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		p := created(t, db, "mer_a", "player")
		for name, err := range map[string]error{
			"other merchant": second(db.MerchantPayment(ctx, "mer_b", p.ID)),
			"unknown id":     second(db.Payment(ctx, "pay_x")),
			"unknown link":   second(db.PaymentByLink(ctx, "x")),
			"update":         second(db.UpdatePayment(ctx, "pay_x", func(*psd2.Payment) error { return nil })),
		} {
			if psd2.CodeOf(err) != psd2.CodeNotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		if list, _, err := db.Payments(ctx, store.Filter{MerchantID: "mer_b", Reference: "Deposit 1", PlayerReference: "player"}); err != nil || len(list) != 0 {
			t.Errorf("list of another merchant: %d, %v", len(list), err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// C43: 50 callers in two processes change one payment; nothing is lost.
func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		p := created(t, dbs[0], "mer_a", "player")
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_, err := dbs[i%2].UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
					if p.Personal.Metadata == nil {
						p.Personal.Metadata = map[string]string{}
					}
					p.Personal.Metadata[fmt.Sprint(i)] = "was here"
					p.Amount.AmountMinor++
					return nil
				})
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		got, err := dbs[0].Payment(ctx, p.ID)
		if err != nil || got.Version != 51 || got.Amount.AmountMinor != 2550 || len(got.Personal.Metadata) != 51 {
			t.Fatalf("version %d, amount %d, %d marks, %v", got.Version, got.Amount.AmountMinor, len(got.Personal.Metadata), err)
		}
	})
}

// C44: of 20 who begin an attempt at once, one does.
func TestOneAttemptIsBegun(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		p := created(t, dbs[0], "mer_a", "player")
		errs := make([]error, 20)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = dbs[i%2].UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
					a := psd2.Attempt{ID: fmt.Sprint("att_", i), EndToEndID: fmt.Sprint("RLT", i)}
					return p.BeginAttempt(a, psd2.PSU{}, dbs[0].Now())
				})
			})
		}
		wg.Wait()
		begun := 0
		for _, err := range errs {
			if err == nil {
				begun++
			} else if psd2.CodeOf(err) != psd2.CodeConflict {
				t.Error(err)
			}
		}
		events, err := dbs[0].PaymentEvents(ctx, p.ID)
		if begun != 1 || err != nil || len(events) != 2 {
			t.Fatalf("%d attempts begun, %d events, %v", begun, len(events), err)
		}
	})
}

func TestRefusedUpdateChangesNothing(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		p := created(t, db, "mer_a", "player")
		no := errors.New("no")
		_, err := db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
			return errors.Join(advance(p, db.Now()), no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		got, err := db.Payment(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, p)
	})
}

// TestLostRaceCannotBeIgnored: after a failed compare-and-swap a transaction
// must not commit its other half, whatever its function makes of the error.
func TestLostRaceCannotBeIgnored(t *testing.T) {
	w := newWorld(t, "postgres", nil)
	db, other := w.open(t), w.open(t)
	p := created(t, db, "mer_a", "player")
	runs := 0
	err := db.Tx(ctx, func(tx *store.Tx) error {
		runs++
		_, _ = tx.UpdatePayment(p.ID, func(p *psd2.Payment) error {
			if runs == 1 {
				update(t, other, p.ID, func(p *psd2.Payment) error { return advance(p, other.Now()) })
			}
			p.Amount.AmountMinor++
			return nil
		})
		return tx.SetCursor("half", int64(runs))
	})
	got, e2 := db.Payment(ctx, p.ID)
	if err != nil || e2 != nil || runs != 2 || got.Version != 3 || got.Amount.AmountMinor != 2501 {
		t.Fatalf("%v, %v after %d runs: %+v", err, e2, runs, got)
	}
}

// TestLostRaceIsNotLostAgain: who lost a race takes the row's lock the next
// time, so that he does not lose for ever where many meet.
func TestLostRaceIsNotLostAgain(t *testing.T) {
	w := newWorld(t, "postgres", nil)
	db, other := w.open(t), w.open(t)
	p := created(t, db, "mer_a", "player")
	add := func(p *psd2.Payment) error { p.Amount.AmountMinor++; return nil }
	runs, rival := 0, make(chan error, 1)
	update(t, db, p.ID, func(p *psd2.Payment) error {
		if runs++; runs == 1 {
			update(t, other, p.ID, add)
			return add(p)
		}
		go func() { rival <- second(other.UpdatePayment(ctx, p.ID, add)) }()
		for waiting := 0; waiting == 0; {
			if len(rival) > 0 {
				t.Error("somebody else was let in again")
				break
			}
			if err := other.Get(ctx, &waiting, `SELECT COUNT(*) FROM pg_locks WHERE NOT granted`); err != nil {
				return err
			}
		}
		return add(p)
	})
	if err := <-rival; err != nil || runs != 2 {
		t.Fatalf("the rival: %v; %d runs", err, runs)
	}
	if got, err := db.Payment(ctx, p.ID); err != nil || got.Amount.AmountMinor != 2503 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestFilterChoosesAndPagesStayStable(t *testing.T) {
	both(t, testkit.NewClock().Now, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db := w.open(t)
		var all []*psd2.Payment // newest first
		for i := range 23 {
			p := newPayment(db, "mer_a", fmt.Sprint("player ", i%3))
			p.Personal.Reference = fmt.Sprint("R", i%4)
			create(t, db, p)
			if i%2 == 0 {
				p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
			}
			all = slices.Insert(all, 0, p)
			created(t, db, "mer_b", "player 0")
			clock.Add(time.Second)
		}
		from, to := all[15].CreatedAt, all[3].CreatedAt
		tests := []struct {
			name   string
			filter store.Filter
			keep   func(*psd2.Payment) bool
		}{
			{"all", store.Filter{}, func(*psd2.Payment) bool { return true }},
			{"state", store.Filter{State: psd2.StateAuthorizing}, func(p *psd2.Payment) bool { return p.State == psd2.StateAuthorizing }},
			{"player", store.Filter{PlayerReference: "player 1"}, func(p *psd2.Payment) bool { return p.Personal.Player.Reference == "player 1" }},
			{"reference", store.Filter{Reference: "R2"}, func(p *psd2.Payment) bool { return p.Personal.Reference == "R2" }},
			{"EndToEndId", store.Filter{EndToEndID: all[0].Attempts[0].EndToEndID}, func(p *psd2.Payment) bool { return p == all[0] }},
			{"from inclusive, to exclusive", store.Filter{CreatedFrom: from, CreatedTo: to},
				func(p *psd2.Payment) bool { return !p.CreatedAt.Before(from) && p.CreatedAt.Before(to) }},
			{"everything", store.Filter{State: psd2.StateAuthorizing, PlayerReference: "player 0", Reference: "R2", CreatedFrom: from, CreatedTo: all[0].CreatedAt},
				func(p *psd2.Payment) bool {
					return p.State == psd2.StateAuthorizing && p.Personal.Player.Reference == "player 0" && p.Personal.Reference == "R2" &&
						!p.CreatedAt.Before(from) && p.CreatedAt.Before(all[0].CreatedAt)
				}},
			{"nothing", store.Filter{Reference: "' OR 1=1 --"}, func(*psd2.Payment) bool { return false }}, // C40
		}
		for _, tt := range tests {
			var want []string
			for _, p := range all {
				if tt.keep(p) {
					want = append(want, p.ID)
				}
			}
			if tt.name != "nothing" && len(want) == 0 {
				t.Fatalf("%s: chooses nothing", tt.name)
			}
			for _, limit := range []int{1, 4, 100} {
				f := tt.filter
				f.MerchantID, f.Limit = "mer_a", limit
				if got := pages(t, db, f); !slices.Equal(got, want) {
					t.Errorf("%s by %d:\n got %v\nwant %v", tt.name, limit, got, want)
				}
			}
		}
		// A payment made between two pages does not move the second.
		first, next, err := db.Payments(ctx, store.Filter{MerchantID: "mer_a", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		created(t, db, "mer_a", "late")
		rest := pages(t, db, store.Filter{MerchantID: "mer_a", Limit: 10, Cursor: next})
		if len(first)+len(rest) != len(all) || rest[0] != all[10].ID {
			t.Errorf("%d and %d of %d payments", len(first), len(rest), len(all))
		}
	})
}

// pages reads all pages and gives the ids.
func pages(t *testing.T, db *store.DB, f store.Filter) (ids []string) {
	t.Helper()
	for {
		list, next, err := db.Payments(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > f.Limit {
			t.Fatalf("%d payments on a page of %d", len(list), f.Limit)
		}
		for _, p := range list {
			ids = append(ids, p.ID)
		}
		if next == "" {
			return ids
		}
		f.Cursor = next
	}
}

func TestOperatorFindsByEveryKey(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		p := newPayment(db, "mer_a", "player")
		p.Personal.Reference = "Only mine"
		create(t, db, p)
		clock.Add(time.Second)
		other := created(t, db, "mer_b", "player")
		for p.State != psd2.StateSettled {
			p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
		}
		for _, q := range []string{p.ID, p.Attempts[0].ID, p.Attempts[0].EndToEndID, strings.ToLower(p.Attempts[0].EndToEndID),
			"Only mine", " Only mine ", "DE02120300000000202051", "de02 1203 0000 0000 2020 51"} {
			got, err := db.Find(ctx, q)
			if err != nil || len(got) != 1 {
				t.Fatalf("%q: %d payments, %v", q, len(got), err)
			}
			same(t, got[0], p)
		}
		for _, q := range []string{"", "pay_", "%", "Only", "DE89370400440532013000", "DE00"} {
			if got, err := db.Find(ctx, q); err != nil || len(got) != 0 {
				t.Errorf("%q: %d payments, %v", q, len(got), err)
			}
		}
		recent, err := db.Recent(ctx, "", 10)
		if err != nil || len(recent) != 2 || recent[0].ID != other.ID {
			t.Errorf("recent: %d, %v", len(recent), err)
		}
		if recent, err = db.Recent(ctx, psd2.StateSettled, 10); err != nil || len(recent) != 1 || recent[0].ID != p.ID {
			t.Errorf("recent settled: %d, %v", len(recent), err)
		}
	})
}

func TestDueGivesWhatIsDueAndTheNext(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db := w.open(t)
		if ids, next, err := db.Due(ctx, clock.Now(), 10); err != nil || len(ids) != 0 || !next.IsZero() {
			t.Fatalf("nothing is due: %v, %v, %v", ids, next, err)
		}
		var want []string
		for range 3 { // due at expiry, a minute apart
			want = append(want, created(t, db, "mer_a", "player").ID)
			clock.Add(time.Minute)
		}
		start := testkit.NewClock().Now()
		for _, tt := range []struct {
			after time.Duration
			due   int
			next  time.Duration
		}{{15*time.Minute - time.Microsecond, 0, 15 * time.Minute}, {15 * time.Minute, 1, 16 * time.Minute}, {time.Hour, 3, 0}} {
			ids, next, err := db.Due(ctx, start.Add(tt.after), 10)
			if err != nil || !slices.Equal(ids, want[:tt.due]) || tt.next > 0 && !next.Equal(start.Add(tt.next)) || tt.next == 0 && !next.IsZero() {
				t.Errorf("after %v: %v, %v, %v", tt.after, ids, next, err)
			}
		}
		if ids, _, err := db.Due(ctx, start.Add(time.Hour), 2); err != nil || !slices.Equal(ids, want[:2]) {
			t.Errorf("the longest due come first: %v, %v", ids, err)
		}
		clock.Add(time.Hour)
		update(t, db, want[0], func(p *psd2.Payment) error { p.Lapse(time.Minute, clock.Now()); return nil })
		if ids, _, err := db.Due(ctx, clock.Now(), 10); err != nil || !slices.Equal(ids, want[1:]) {
			t.Errorf("a finished payment is due: %v, %v", ids, err)
		}
	})
}

func TestMerchantIsSeenAsItIsNow(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db, other := w.open(t), w.open(t)
		put := func(name string) {
			t.Helper()
			if err := db.Tx(ctx, func(tx *store.Tx) error { return tx.PutMerchant(&psd2.Merchant{ID: "mer_a", Name: name}) }); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(db *store.DB, name string) {
			t.Helper()
			if m, err := db.Merchant(ctx, "mer_a"); err != nil || m.Name != name {
				t.Fatalf("merchant %+v, %v", m, err)
			}
		}
		if _, err := db.Merchant(ctx, "mer_a"); psd2.CodeOf(err) != psd2.CodeNotFound {
			t.Fatal(err)
		}
		put("Old")
		expect(db, "Old")
		expect(other, "Old")
		put("New")
		expect(db, "New") // at once here, in five seconds elsewhere
		clock.Add(5 * time.Second)
		expect(other, "New")
		boom := errors.New("boom")
		err := db.Tx(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.PutMerchant(&psd2.Merchant{ID: "mer_a", Name: "Never"}), boom)
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		expect(db, "New")
		if list, err := db.Merchants(ctx); err != nil || len(list) != 1 || list[0].Name != "New" {
			t.Fatalf("%v, %v", list, err)
		}
	})
}

func TestReadsStopWithTheirContext(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := db.Payment(gone, "pay_x"); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// TestMoreQueriesThanAreKeptPrepared: prepared statements are bounded, queries
// are not.
func TestMoreQueriesThanAreKeptPrepared(t *testing.T) {
	db := testkit.SQLite(t, nil)
	for i := range 600 {
		var inside, outside int
		query := fmt.Sprintf("SELECT %d", i)
		err := db.Tx(ctx, func(tx *store.Tx) error { return tx.Get(&inside, query) })
		if err2 := db.Get(ctx, &outside, query); err != nil || err2 != nil || inside != i || outside != i {
			t.Fatalf("%s: %d, %d, %v, %v", query, inside, outside, err, err2)
		}
	}
	created(t, db, "mer_a", "player")
	if readers, writer := store.Prepared(db); readers > 256 || writer > 256 {
		t.Errorf("%d and %d statements are kept", readers, writer)
	}
}
