package bus_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// canaries are what a payment knows of people; none of it may leave the store.
var canaries = []string{"Canary-Erika", "DE89370400440532013000", "canary-player-7", "canary reference"}

func open(t *testing.T, c bus.Config, now func() time.Time) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), c, bus.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// create commits a payment of the merchant and gives its event a position.
func create(t *testing.T, db *store.DB, merchant string) *psd2.Payment {
	t.Helper()
	now := db.Now()
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchant,
		PersonID: db.PersonID(merchant, canaries[2]), Amount: psd2.Euro(2500),
		ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(), PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{
			Reference: canaries[3], Player: psd2.Player{Reference: canaries[2], Name: canaries[0]},
			Payee: psd2.Party{Name: "Casino", IBAN: psd2.IBAN(canaries[1])},
		},
	}
	p.Create(now)
	if err := db.Tx(t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Sequencer("test").Step(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return p
}

func relay(t *testing.T, r *bus.Relay, now time.Time) time.Time {
	t.Helper()
	next, err := r.Step(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// await takes signals until the follower has seen position.
func await(t *testing.T, f *bus.Follower, position int64) {
	t.Helper()
	for f.Seen() < position {
		select {
		case <-f.Wake():
		case <-time.After(20 * time.Second):
			t.Fatalf("the follower saw %d, not %d", f.Seen(), position)
		}
	}
}

func cursor(t *testing.T, db *store.DB) (n int64) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *store.Tx) (err error) {
		n, err = tx.Cursor("relay")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryPositionReachesTheFollowerAndTheCursorFollowsTheAcks(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		clock := testkit.NewClock()
		b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
		f, r := b.Follow("test"), b.Relay(db, "one")
		t.Cleanup(f.Close)
		if err := f.Attach(t.Context(), clock.Now()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			create(t, db, "mer_a")
		}
		next := relay(t, r, clock.Now())
		await(t, f, 3)
		if got := cursor(t, db); got != 0 {
			t.Fatalf("the cursor is at %d before it was due", got)
		}
		relay(t, r, clock.Add(next.Sub(clock.Now())))
		if got := cursor(t, db); got != 3 {
			t.Fatalf("the cursor is at %d, want 3", got)
		}
	})
}

func TestBadAddressIsNotQuotedWithItsPassword(t *testing.T) { // C39
	for _, address := range []string{"nats://user:s3cret@host:port", "nats://user:s3cr%zet@host:4222"} {
		b, err := bus.Open(t.Context(), bus.Config{URL: address}, bus.Options{})
		if err == nil {
			b.Close()
			t.Fatalf("%s was accepted", address)
		}
		if strings.Contains(err.Error(), "s3cr") || !strings.Contains(err.Error(), "nats.url") {
			t.Errorf("the error is %q", err)
		}
	}
}

func TestIdleRelayDoesNotTakeTheLease(t *testing.T) {
	db := testkit.SQLite(t, nil)
	b := open(t, bus.Config{Dir: t.TempDir()}, nil)
	relay(t, b.Relay(db, "one"), time.Now())
	var n int
	if err := db.Get(t.Context(), &n, `SELECT COUNT(*) FROM leases WHERE name = 'relay'`); err != nil || n != 0 {
		t.Fatalf("%d leases (%v): an idle system wrote", n, err)
	}
}

func TestOnlyTheHolderRelaysAndTheNextGoesOnWhereHeStopped(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
	f := b.Follow("test")
	t.Cleanup(f.Close)
	if err := f.Attach(t.Context(), clock.Now()); err != nil {
		t.Fatal(err)
	}
	one, two := b.Relay(db, "one"), b.Relay(db, "two")
	create(t, db, "mer_a")
	relay(t, one, clock.Now())
	await(t, f, 1)
	create(t, db, "mer_a")
	relay(t, two, clock.Now())
	relay(t, two, clock.Add(time.Second))
	if n := len(b.Subjects(t.Context())); n != 1 {
		t.Fatalf("%d events in the stream: a relay without the lease published", n)
	}
	clock.Add(time.Minute) // one is dead; it had not stored its cursor
	relay(t, two, clock.Now())
	await(t, f, 2)
	create(t, db, "mer_a")
	relay(t, one, clock.Now()) // it comes back, and must see that it has been replaced
	if n := len(b.Subjects(t.Context())); n != 2 {
		t.Fatalf("%d events in the stream: the former holder published", n)
	}
	relay(t, two, clock.Add(time.Second))
	relay(t, two, clock.Add(time.Second))
	await(t, f, 3)
	if got := cursor(t, db); got != 3 {
		t.Fatalf("the cursor is at %d, want 3", got)
	}
}

func TestServerThatForgotEverythingIsSetUpAgainAndNothingIsLost(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	dir := t.TempDir()
	address := testkit.FreeAddress(t)
	server := startServer(t, dir, address)
	b := open(t, bus.Config{URL: server.URL()}, clock.Now)
	f, r := b.Follow("test"), b.Relay(db, "one")
	t.Cleanup(f.Close)
	step := func() { // until the relay has nothing left to do
		for last, err := r.Step(t.Context(), clock.Now()); err != nil || last.Before(clock.Now()); last, err = r.Step(t.Context(), clock.Add(time.Second)) {
		}
		_ = f.Attach(t.Context(), clock.Add(2*time.Second))
	}
	told := func() int64 { // what was told of before the follower listened is in the journal
		before := f.Seen()
		until(t, func() bool { create(t, db, "mer_a"); step(); return f.Seen() > before })
		until(t, func() bool {
			step()
			last, err := db.LastPosition(t.Context())
			return err == nil && cursor(t, db) == last
		})
		return cursor(t, db)
	}
	known := told()

	server.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	create(t, db, "mer_a") // while NATS is away
	startServer(t, dir, address)
	last := told()
	if got := b.Positions(t.Context()); int64(len(got)) != last-known || !slices.IsSorted(got) || got[0] != known+1 {
		t.Errorf("of the events from %d to %d the new server has %v", known+1, last, got)
	}
}

func TestEmbeddedServerThatStoppedIsStartedAgain(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
	f, r := b.Follow("test"), b.Relay(db, "one")
	t.Cleanup(f.Close)
	b.StopServer()
	create(t, db, "mer_a")
	until(t, func() bool {
		_, _ = r.Step(t.Context(), clock.Add(10*time.Second))
		_ = f.Attach(t.Context(), clock.Add(10*time.Second))
		return f.Seen() == 1 || cursor(t, db) == 1
	})
	create(t, db, "mer_a")
	until(t, func() bool {
		_, _ = r.Step(t.Context(), clock.Add(10*time.Second))
		_ = f.Attach(t.Context(), clock.Add(10*time.Second))
		return f.Seen() == 2 || cursor(t, db) == 2
	})
}

func TestWatchPingsForItsPaymentOnly(t *testing.T) {
	db := testkit.SQLite(t, nil)
	b := open(t, bus.Config{Dir: t.TempDir()}, nil)
	r := b.Relay(db, "one")
	mine, other := create(t, db, "mer_a"), create(t, db, "mer_b")
	first, stopFirst := b.Watch(mine.ID)
	second, stopSecond := b.Watch(mine.ID)
	foreign, stopForeign := b.Watch("*") // C41
	defer stopForeign()
	if err := b.Ping(t.Context()); err != nil { // the subscriptions have arrived
		t.Fatal(err)
	}
	relay(t, r, time.Now())
	for _, ch := range []<-chan struct{}{first, second} {
		select {
		case <-ch:
		case <-time.After(10 * time.Second):
			t.Fatal("no ping")
		}
	}
	stopFirst()
	stopFirst() // harmless
	stopSecond()
	if n := b.Watches(); n != 0 {
		t.Fatalf("%d subscriptions are left", n)
	}
	select {
	case <-foreign:
		t.Fatalf("a wildcard watched %s", other.ID)
	default:
	}
}

// C41: an id that could choose a subject never becomes one.
func TestIDsThatAreNoTokensNeverReachASubject(t *testing.T) {
	db := testkit.SQLite(t, nil)
	b := open(t, bus.Config{Dir: t.TempDir()}, nil)
	f, r := b.Follow("test"), b.Relay(db, "one")
	t.Cleanup(f.Close)
	if err := f.Attach(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"mer_a.payment_failed", "*", ">", "mer a", `mer"a`, "", "mer_ä"} {
		create(t, db, bad)
	}
	good := create(t, db, "mer_a")
	relay(t, r, time.Now())
	await(t, f, 8)
	if subjects := b.Subjects(t.Context()); len(subjects) != 1 || subjects["rialto.events.mer_a.payment_created."+good.ID] != 1 {
		t.Fatalf("subjects %v", subjects)
	}
	for _, bad := range []string{"*", ">", "whe_a.b", ""} {
		if b.Nudge(bad) == nil {
			t.Errorf("nudged %q", bad)
		}
	}
}

func TestEventPublishedTwiceIsKeptOnce(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
	p := create(t, db, "mer_a")
	relay(t, b.Relay(db, "one"), clock.Now()) // and dies before it stores the cursor
	relay(t, b.Relay(db, "two"), clock.Add(time.Minute))
	if got := b.Subjects(t.Context())["rialto.events.mer_a.payment_created."+p.ID]; got != 1 {
		t.Fatalf("kept %d times", got)
	}
}

// The cursor waits for JetStream's word, not for ours.
func TestEventThatWasNotAcknowledgedIsPublishedAgain(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
	r := b.Relay(db, "one")
	create(t, db, "mer_a")
	relay(t, r, clock.Now())
	b.DeleteStream(t) // behind our back
	p := create(t, db, "mer_a")
	if _, err := r.Step(t.Context(), clock.Add(time.Second)); err == nil {
		t.Fatal("nobody stored it, and the relay is content")
	}
	if got := cursor(t, db); got > 1 {
		t.Fatalf("the cursor is at %d", got)
	}
	relay(t, r, clock.Add(time.Second))
	if got := b.Subjects(t.Context())["rialto.events.mer_a.payment_created."+p.ID]; got != 1 {
		t.Fatalf("%d of the event in the stream made anew", got)
	}
}

func TestAsynchronousStreamIsRefused(t *testing.T) {
	listen := testkit.FreeAddress(t)
	server := startServer(t, t.TempDir(), listen)
	clock := testkit.NewClock()
	b := open(t, bus.Config{URL: server.URL()}, clock.Now)
	server.Close() // it comes back with another disk, on which somebody made the stream
	bus.MakeAsyncStream(t, startServer(t, t.TempDir(), listen).URL())
	r := b.Relay(testkit.SQLite(t, clock.Now), "one")
	var err error
	until(t, func() bool {
		_, err = r.Step(t.Context(), clock.Add(10*time.Second))
		return err != nil && b.Ping(t.Context()) == nil
	})
	if want := "acknowledges before it has stored"; !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestNothingPersonalInTheStreamsFiles(t *testing.T) {
	db, dir := testkit.SQLite(t, nil), t.TempDir()
	b := open(t, bus.Config{Dir: dir}, nil)
	p := create(t, db, "mer_a")
	relay(t, b.Relay(db, "one"), time.Now())
	b.Close()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(all, []byte(p.ID)) {
		t.Fatal("the files do not hold the event: the test looks at the wrong ones")
	}
	for _, canary := range canaries {
		if bytes.Contains(all, []byte(canary)) {
			t.Errorf("%q is in JetStream's files", canary)
		}
	}
}

func TestClosedBusLeavesNoGoroutine(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	b, err := bus.Open(context.Background(), bus.Config{Dir: t.TempDir()}, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := b.Follow("test")
	if err := f.Attach(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	_, stop := b.Watch("pay_a")
	stop()
	f.Close()
	b.Close()
	goleak.VerifyNone(t, ignore)
}

func startServer(t *testing.T, dir, listen string) *bus.Server {
	t.Helper()
	s, err := bus.StartServer(bus.ServerConfig{Dir: dir, Listen: listen}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// until repeats a step that moves work in other goroutines along.
func until(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-deadline:
			t.Fatal("it did not come to that")
		case <-time.After(5 * time.Millisecond): // another goroutine's turn
		}
	}
}

// woken reports whether there is a signal, and takes it.
func woken(f *bus.Follower) bool {
	select {
	case <-f.Wake():
		return true
	default:
		return false
	}
}

// TestHintedFollowerIsNotWokenTwice: an owner who hears of an event from the
// store, and has dealt with it, is woken by neither relay nor NATS.
func TestHintedFollowerIsNotWokenTwice(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	b := open(t, bus.Config{Dir: t.TempDir()}, clock.Now)
	early, late, r := b.Follow("early"), b.Follow("late"), b.Relay(db, "one")
	db.OnPositioned(early.Hint)
	for _, f := range []*bus.Follower{early, late} {
		t.Cleanup(f.Close)
		if err := f.Attach(t.Context(), clock.Now()); err != nil {
			t.Fatal(err)
		}
		woken(f)
	}
	create(t, db, "mer_a")
	if !woken(early) || woken(late) {
		t.Fatal("the commit wakes who is hinted, and nobody else")
	}
	early.Ack(1)
	relay(t, r, clock.Now())
	await(t, late, 1)
	seen := time.After(20 * time.Second)
	for early.Seen() < 1 { // its word came; it said nothing new
		select {
		case <-early.Wake():
			t.Fatal("woken again")
		case <-seen:
			t.Fatal("word never came")
		case <-time.After(time.Millisecond):
		}
	}
	if woken(early) {
		t.Error("woken again by what it has dealt with")
	}
	create(t, db, "mer_a") // this one it has not dealt with, and missed the hint
	woken(early)
	relay(t, r, clock.Now())
	await(t, early, 2)
}
