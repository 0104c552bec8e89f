package sim

import (
	"context"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

// carrier is what the hub wants of NATS, of either kind.
type carrier struct {
	relay    func(db *store.DB) *bus.Relay
	bus      webhooks.Bus
	follower interface {
		webhooks.Follower
		Seen() int64
	}
	loseDisk func(db *store.DB) // and with it every stream
	tick     func()             // lets time pass
}

func realNATS(t *testing.T) carrier {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return carrier{
		relay: func(db *store.DB) *bus.Relay { return b.Relay(db, "one") }, bus: b, follower: b.Follow("test"),
		loseDisk: func(db *store.DB) {
			last, err := db.LastPosition(t.Context())
			if err == nil {
				_, err = b.Rebuild(t.Context(), db, last, nil) // deletes the stream; nothing is published again
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		tick: func() { <-time.After(5 * time.Millisecond) }, // another thread of the server works on
	}
}

func modelled(t *testing.T) carrier {
	w := &world{schedule: newSchedule(epoch)}
	w.stream = &stream{world: w, chance: newChance(1, "stream"), kept: map[int64]bool{}, acked: map[int64]bool{}}
	l := w.stream.connect(&process{world: w, chance: newChance(1, "process")})
	return carrier{
		relay: func(db *store.DB) *bus.Relay { return bus.NewRelay(l, db, "one") }, bus: l, follower: l,
		loseDisk: func(*store.DB) { w.stream.loseDisk() },
		tick: func() {
			for w.next() {
			}
		},
	}
}

// TestStreamBehavesLikeNATS holds the model and the real NATS to one contract:
// what is relayed is told of, nudges arrive until they are stopped, and a lost
// disk stops neither.
func TestStreamBehavesLikeNATS(t *testing.T) {
	for name, open := range map[string]func(*testing.T) carrier{"model": modelled, "nats": realNATS} {
		t.Run(name, func(t *testing.T) {
			c, db := open(t), testkit.SQLite(t, nil)
			sequencer, relay := db.Sequencer("one"), c.relay(db)
			happen := func() (last int64) {
				err := db.Tx(t.Context(), func(tx *store.Tx) error {
					p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, tx.Now, randomness{newChance(uint64(tx.Now.UnixNano()), "id")}),
						MerchantID: "mer_a", PersonID: "per_a", Amount: psd2.Euro(1), ExpiresAt: tx.Now.Add(time.Hour)}
					p.LinkHash = p.ID
					p.Create(tx.Now)
					return tx.CreatePayment(p)
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := sequencer.Step(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				if last, err = db.LastPosition(t.Context()); err != nil {
					t.Fatal(err)
				}
				return last
			}
			until := func(what string, done func() bool) {
				t.Helper()
				deadline := time.Now().Add(40 * time.Second)
				for !done() {
					if time.Now().After(deadline) {
						t.Fatal("it never came to that: " + what)
					}
					_, _ = relay.Step(t.Context(), time.Now()) // what is away is away for a while
					_ = c.follower.Attach(t.Context(), time.Now())
					c.tick()
				}
			}
			reaches := func(position int64) {
				t.Helper()
				until("word of a position", func() bool { return c.follower.Seen() >= position })
				until("the cursor", func() bool { return cursorOf(t, db) >= position })
				select {
				case <-c.follower.Wake():
				default:
					t.Error("the follower was not woken")
				}
				c.follower.Ack(position)
			}
			if err := c.follower.Attach(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			reaches(happen())
			happen()
			reaches(happen())
			told := make(chan string, 8)
			stop, err := c.bus.Nudged(func(id string) { told <- id })
			if err != nil {
				t.Fatal(err)
			}
			nudged := func(id string) {
				t.Helper()
				until("a nudge", func() bool {
					if err := c.bus.Nudge(id); err != nil {
						t.Fatal(err)
					}
					c.tick()
					select {
					case got := <-told:
						return got == id
					default:
						return false
					}
				})
			}
			nudged("whe_a")
			c.loseDisk(db)
			first, turns := happen(), 0
			until("word of what happens after the loss", func() bool {
				if turns++; turns%50 == 0 { // what was told of before it listened again is in the journal
					happen()
				}
				return cursorOf(t, db) >= first && c.follower.Seen() >= first
			})
			nudged("whe_b")
			stop()
			c.follower.Close()
		})
	}
}

func cursorOf(t *testing.T, db *store.DB) (n int64) {
	t.Helper()
	err := db.Tx(context.Background(), func(tx *store.Tx) (err error) { n, err = tx.Cursor("relay"); return err })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
