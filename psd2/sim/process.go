package sim

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// process is one life of one hub process.
type process struct {
	world  *world
	place  int // which of the world's processes it is
	name   string
	chance chance
	offset time.Duration // of its clock
	sleeps time.Time     // suspended until then
	dead   bool
	tasks  []*task

	slept   time.Duration // in all
	metrics *prometheus.Registry

	disk    *disk
	line    *line
	db      *store.DB
	hub     *hub.Hub
	hooks   *webhooks.Service
	workers []*worker
}

// worker is a Step that is driven.
type worker struct {
	of      *process
	name    string
	step    func(context.Context, time.Time) (time.Time, error)
	wakes   <-chan struct{}
	running bool
	again   bool // woken while it ran
	turn    int  // counts what was put down for it: only the last counts
	saw     int  // the world's activity before its last step
	bored   int  // steps in a row in which nothing happened
}

// now is the process's clock.
func (p *process) now() time.Time { return p.world.now.Add(p.offset) }

// suspend stops a process for a while, as a paused virtual machine is.
func (p *process) suspend(d time.Duration) {
	p.world.say("%s: suspended for %s", p.name, d.Round(time.Second))
	p.sleeps, p.slept = p.world.now.Add(d), p.slept+d
}

// hubClock is what the hub tells by how long ago it meant to make a call. Where
// that is what is tried, the process falls asleep just there; and with the
// fault planted the clock stands still meanwhile, as one of the kernel may.
func (p *process) hubClock() time.Time {
	w := p.world
	if w.plant.dozes && w.chaos && w.current != nil && !p.disk.inTx && p.chance.in(4) {
		p.suspend(p.chance.between(150*time.Second, 4*time.Minute))
		w.await(0)
	}
	if w.plant.sleepless {
		return p.now().Add(-p.slept)
	}
	return p.now()
}

// start brings a process up.
func (w *world) start(place int) (err error) {
	w.lives++
	p := &process{world: w, place: place, name: fmt.Sprintf("hub-%d", place+1), chance: newChance(w.seed, fmt.Sprintf("process %d life %d", place, w.lives))}
	w.processes[place] = p
	w.say("%s: starts", p.name)
	p.metrics = prometheus.NewRegistry()
	p.disk = &disk{of: p, faulty: true, swallow: w.plant.swallow, rewrite: w.plant.rewrite}
	random := randomness{newChance(w.seed, fmt.Sprintf("ids of process %d life %d", place, w.lives))}
	p.db, err = store.Open(context.Background(), store.Config{URL: "sqlite:" + w.file}, store.Options{
		Now: p.now, Random: random, SubmitTimeout: hubConfig.SubmitTimeout(), Connect: p.disk.connect, Yield: p.disk.yield,
	})
	if err != nil {
		return err
	}
	p.line = w.stream.connect(p)
	adapters, entries := map[string]banks.Bank{}, []banks.Entry(nil)
	for _, m := range manners {
		adapters[m.id] = w.banks[m.id].adapter(p)
		entries = append(entries, banks.Entry{ID: m.id, Name: m.id, Adapter: "sim"})
	}
	p.hub = hub.New(hubConfig, hub.Deps{
		Store: p.db, Banks: banks.NewRegistry(entries, adapters, p.now), Holder: p.name, Now: p.hubClock, Random: random,
		Channels: map[string]banks.Channel{accountID: tillLink{w.till, p}},
	})
	p.hooks, err = webhooks.New(webhooks.Config{}, webhooks.Deps{
		Store: p.db, Bus: p.line, Follower: p.line, Keys: w.keys, Holder: p.name, Now: p.now, Random: random, Metrics: p.metrics,
		Transport: receivers{p}, Go: func(f func()) { w.spawn(p, p.name+" sender", f, nil) },
	})
	if err != nil {
		return err
	}
	sequencer := p.db.Sequencer(p.name)
	p.add("sequencer", sequencer.Step, p.db.Committed())
	p.add("relay", bus.NewRelay(p.line, p.db, p.name).Step, sequencer.Positioned())
	p.add("follow", p.hub.Step, p.hub.Wake())
	p.add("transfers", p.hub.StepTransfers, p.hub.TransfersWake())
	p.add("statements", p.hub.StepStatements, nil)
	p.add("health", p.hub.HealthStep, nil)
	p.add("sweep", p.hub.SweepStep, nil)
	for _, x := range p.hooks.Workers() {
		p.add(x.Name, x.Step, x.Wake)
	}
	return nil
}

func (p *process) add(name string, step func(context.Context, time.Time) (time.Time, error), wakes <-chan struct{}) {
	x := &worker{of: p, name: p.name + " " + name, step: step, wakes: wakes}
	p.workers = append(p.workers, x)
	x.put(p.world.now.Add(p.chance.between(0, 200*time.Millisecond)))
}

// put has the worker's next step at a time, instead of what was put down before.
func (x *worker) put(at time.Time) {
	x.turn++
	turn := x.turn
	x.of.world.idly(at, func() {
		if turn == x.turn {
			x.run()
		}
	})
}

func (x *worker) run() {
	p, w := x.of, x.of.world
	if p.dead || x.running {
		return
	}
	x.running, x.again = true, false
	x.saw = w.activity
	w.spawn(p, x.name, func() {
		at := p.now()
		next, err := x.step(context.Background(), at)
		if next.IsZero() {
			next = at.Add(time.Minute)
		}
		wait := max(next.Sub(p.now()), 0)
		if err != nil {
			wait = max(wait, 200*time.Millisecond)
			if !w.chaos {
				w.say("%s: %v", x.name, err)
			}
		}
		x.rest(wait)
	}, func(bool) { x.running = false })
}

// rest says when to step again: later and later while nothing happens, which
// a slow machine would do too.
func (x *worker) rest(wait time.Duration) {
	w := x.of.world
	if x.bored++; w.activity != x.saw {
		x.bored = 0
	}
	if x.again {
		wait = 0
	}
	if x.bored > 1 {
		wait = max(wait, min(250*time.Millisecond<<min(x.bored, 10), 4*time.Second))
	}
	x.put(w.now.Add(wait))
}

// poll lets woken workers step at once.
func (p *process) poll() {
	for _, x := range p.workers {
		if x.wakes == nil {
			continue
		}
		select {
		case <-x.wakes:
			if x.again = true; !x.running {
				x.put(p.world.now)
			}
		default:
		}
	}
}

// gaps is how many deliveries the process found missing that its fan-out, or
// another's, should have made.
func (p *process) gaps() (n int) {
	families, err := p.metrics.Gather()
	if err != nil {
		p.world.broken("metrics: " + err.Error())
	}
	for _, f := range families {
		if f.GetName() == "rialto_webhook_gaps_total" {
			for _, m := range f.GetMetric() {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// kill ends a process at this very point. What it has told the world is told;
// nothing follows.
func (w *world) kill(p *process, where string) {
	if p.dead {
		return
	}
	w.say("%s: dies %s", p.name, where)
	p.dead = true
	w.deaths++
}

// mayDie is called wherever a process waits for the outside.
func (w *world) mayDie(p *process, where string) {
	if w.chaos && !p.dead && w.mortal && p.chance.in(w.mortality) {
		w.kill(p, where)
	}
	if p.dead {
		w.await(0) // does not come back
	}
}

// port is called by everything that reaches the world from a process.
func (w *world) port(p *process, what string) { w.mayDie(p, what) }

// funeral takes away what a dead process held, and has it start again.
func (w *world) funeral(p *process) {
	w.bury(p)
	w.gaps += p.gaps()
	w.stream.disconnect(p)
	_ = p.db.Close() // its last words do not reach the disk
	w.processes[p.place] = nil
	w.after(p.chance.between(100*time.Millisecond, 45*time.Second), func() {
		if err := w.start(p.place); err != nil {
			w.broken(fmt.Sprintf("%s does not start again: %v", p.name, err))
		}
	})
}

// receivers is the way to merchants' endpoints.
type receivers struct{ of *process }

// RoundTrip implements http.RoundTripper.
func (r receivers) RoundTrip(request *http.Request) (*http.Response, error) {
	return r.of.world.deliver(r.of, request)
}
