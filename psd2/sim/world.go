package sim

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
)

const (
	merchantID  = "mer_00000000000000000000000001"
	accountID   = "acc_00000000000000000000000001"
	bankTimeout = 20 * time.Second
	hookTimeout = 15 * time.Second
	opening     = 1_000_000 // cents on the till
)

var (
	epoch     = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	hubConfig = hub.Config{PublicURL: "https://pay.example", BankTimeout: bankTimeout, Followers: 1}
	payee     = psd2.Party{Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"}
	merchant  = &psd2.Merchant{
		ID: merchantID, Name: "Lucky Lagoon", ReturnURIs: []string{"https://casino.example/back"},
		Accounts: []psd2.PayeeAccount{{ID: accountID, Name: payee.Name, IBAN: payee.IBAN, BIC: payee.BIC}},
	}
	browser = psd2.PSU{IP: "192.0.2.7", UserAgent: "Mozilla/5.0"}
)

// plant is a fault put into the world to see whether it is found. The zero
// value is none.
type plant struct {
	resend   bool              // adapters send again after a timeout
	statuses map[string]string // adapters take one status for another
	unfenced bool              // a call is made although its time ran out while the process slept
	lie      func() bool       // the stream acknowledges what it has not stored

	concealed bool // a bank asks in its app and does not say that it does
	dozes     bool // processes sleep between intent and call; no fault yet
	sleepless bool // and do not notice
	// swallow drops statements: what it gives is reported as their result. task is
	// who asks for them.
	swallow func(task, query string, args []driver.NamedValue) driver.Result
	rewrite func(query string) string // statements that say something else
}

// world is one seed's world.
type world struct {
	schedule
	seed   uint64
	chance chance
	plant  plant
	keys   *jose.KeySet
	file   string // the database

	chaos     bool // faults happen
	healed    time.Time
	over      bool // nobody begins anything any more
	mortal    bool
	mortality int // a process dies once in so many waits
	drowsy    int // and is suspended once in so many

	processes []*process // nil: being started again
	lives     int
	deaths    int
	burying   bool
	jumps     time.Duration // how far apart two clocks ever were, at most

	stream    *stream
	banks     map[string]*bank
	till      *till
	endpoints []*endpoint
	byHost    map[string]*endpoint

	leases map[string]lease // by job, as committed
	gaps   int              // deliveries that processes now dead found missing

	activity         int // counts what happens
	wishes, deposits int

	ends    map[string]int
	tracing bool
	trace   []string
	found   []finding
}

// newWorld makes the world of a seed on a copy of the template's database.
func newWorld(seed uint64, t *template, file string, p plant, tracing bool) (*world, error) {
	w := &world{
		schedule: newSchedule(epoch), seed: seed, chance: newChance(seed, "world"), plant: p, keys: t.keys, file: file, tracing: tracing,
		chaos: true, processes: make([]*process, 2), banks: map[string]*bank{}, byHost: map[string]*endpoint{}, ends: map[string]int{},
		leases: map[string]lease{},
	}
	w.between = w.look
	w.broken = func(what string) { w.find(Stuck, "%s", what) }
	w.mortal, w.mortality, w.drowsy = !w.chance.in(4), oneOf(w.chance, 700, 2500, 10_000), oneOf(w.chance, 500, 5000, 20_000)
	w.stream = &stream{world: w, chance: newChance(seed, "stream"), faulty: !w.chance.in(3), kept: map[int64]bool{}, acked: map[int64]bool{}, plantLie: p.lie}
	for _, m := range manners {
		c := newChance(seed, "bank "+m.id)
		w.banks[m.id] = &bank{manner: m, world: w, chance: c, faulty: !c.in(3), orders: map[string]*order{}, byRef: map[string][]*order{}}
	}
	c := newChance(seed, "till")
	w.till = &till{world: w, chance: c, faulty: !c.in(3), payments: map[string][]*payment{}, balance: opening}
	for _, e := range t.endpoints {
		one := e.fresh(newChance(seed, e.host))
		w.endpoints = append(w.endpoints, one)
		w.byHost[e.host] = one
	}
	for i := range w.processes {
		if err := w.start(i); err != nil {
			return nil, err
		}
	}
	w.look()
	return w, nil
}

// say puts a line into the trace.
func (w *world) say(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, w.now.Sub(epoch).String()+" "+fmt.Sprintf(format, args...))
	}
}

// look is called whenever a task has handed over: the dead are buried, the
// woken are put down.
func (w *world) look() {
	for _, p := range w.processes {
		if p != nil && p.dead && !w.burying {
			w.burying = true
			w.funeral(p)
			w.burying = false
		}
	}
	for _, p := range w.processes {
		if p != nil && !p.dead {
			p.poll()
		}
	}
}

// somebody is a process that takes a request, as a load balancer would choose;
// nil when there is none.
func (w *world) somebody() *process {
	first := w.chance.IntN(len(w.processes))
	for i := range w.processes {
		if p := w.processes[(first+i)%len(w.processes)]; p != nil && !p.dead && !w.now.Before(p.sleeps) {
			return p
		}
	}
	return nil
}

// run lives the world from its first deposit until nothing is left to do.
func (w *world) run() {
	end := epoch.Add(w.chance.between(10*time.Minute, 40*time.Minute))
	for range 4 + w.chance.IntN(5) {
		w.at(epoch.Add(w.chance.between(0, end.Sub(epoch)*3/4)), w.deposit)
	}
	w.trouble(end)
	for w.now.Before(end) && len(w.found) == 0 && w.next() {
	}
	w.heal()
	w.settle(w.now.Add(4 * 24 * time.Hour))
}

// trouble puts down what befalls the world as a whole.
func (w *world) trouble(end time.Time) {
	sometime := func(most int, do func()) {
		for range w.chance.IntN(most + 1) {
			w.at(epoch.Add(w.chance.between(0, end.Sub(epoch))), do)
		}
	}
	for _, e := range w.endpoints {
		sometime(4, func() {
			e.mood = mood(w.chance.IntN(int(moods)))
			if e.mood == gone && !w.chance.in(3) {
				e.mood = unreachable
			}
		})
		sometime(3, func() { e.mood = well })
	}
	for _, m := range manners {
		b := w.banks[m.id]
		if b.faulty {
			sometime(1, func() { b.down = w.now.Add(w.chance.between(time.Second, 5*time.Minute)) })
		}
	}
	if w.stream.faulty {
		sometime(2, func() { w.stream.away = w.now.Add(w.chance.between(time.Second, 3*time.Minute)) })
		sometime(2, func() {
			w.say("stream: its disk is lost")
			w.stream.loseDisk()
		})
	}
	if w.mortal {
		sometime(3, func() {
			if p := w.somebody(); p != nil {
				w.kill(p, "for no reason")
				w.look()
			}
		})
	}
	if w.chance.in(3) {
		sometime(3, w.jump)
	}
}

// jump moves one process's clock, as NTP or an operator does.
func (w *world) jump() {
	p := w.somebody()
	if p == nil {
		return
	}
	far := oneOf(w.chance, 2*time.Second, 30*time.Second, 10*time.Minute)
	p.offset = w.chance.between(-far, far)
	w.jumps = max(w.jumps, 2*far)
	w.say("%s: its clock is %s off", p.name, p.offset.Round(time.Millisecond))
}

// heal ends all trouble.
func (w *world) heal() {
	w.say("all is healed")
	w.chaos, w.healed = false, w.now
	w.stream.away = time.Time{}
	for _, p := range w.processes {
		if p != nil {
			p.offset, p.sleeps = 0, w.now
		}
	}
	for _, e := range w.endpoints {
		w.after(time.Minute, func() { w.reconcile(e) })
	}
	w.after(time.Hour, w.decide)
	w.after(3*time.Hour, func() { w.over = true })
}

// settle lets time run, fast where nothing happens, until nothing is left to
// do.
func (w *world) settle(until time.Time) {
	const calm = 10 * time.Second
	seen, since, rounds := w.activity, w.now, 0
	for len(w.found) == 0 && w.now.Before(until) && w.next() {
		if w.activity != seen {
			seen, since, rounds = w.activity, w.now, 0
		}
		if w.now.Sub(since) < calm {
			continue
		}
		at, ok := w.ahead()
		switch {
		case !ok && rounds == 2:
			return
		case !ok: // statements are read and balances asked for now and then
			rounds++
			at = w.now.Add(6 * time.Minute)
		case at.Before(w.now.Add(-10*time.Minute)) && w.now.Sub(w.healed) > time.Hour:
			w.find(Stuck, "work was due at %s and nobody does it", at.Sub(epoch))
			return
		case at.Before(w.now.Add(calm)):
			continue
		}
		since = at
		for _, p := range w.processes {
			if p == nil {
				continue
			}
			for _, x := range p.workers {
				if !x.running {
					x.put(at)
				}
			}
		}
	}
}

// ahead is when something is to happen next that is not a worker's idle step.
func (w *world) ahead() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	for _, e := range w.agenda {
		if !e.idle {
			sooner(e.at)
		}
	}
	p := w.somebody()
	if p == nil {
		return w.now, true
	}
	for _, query := range []string{
		`SELECT MIN(next_step_at) FROM payments`, `SELECT MIN(next_step_at) FROM transfers`,
		`SELECT MIN(next_at) FROM webhook_deliveries WHERE state = 'pending'`,
	} {
		var due sql.NullInt64
		if err := p.db.Get(context.Background(), &due, query); err != nil {
			w.find(Stuck, "%s: %v", query, err)
		} else if due.Valid {
			sooner(time.UnixMicro(due.Int64))
		}
	}
	return at, ok
}
