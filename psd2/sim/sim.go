package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// Options say which worlds to live.
type Options struct {
	First    uint64 // seed of the first world; the others follow it
	Seeds    int
	Workers  int                // worlds at a time; 0: one per processor
	Progress func(done, of int) // may be nil; called by one goroutine at a time

	plant func(seed uint64) plant // for tests
	stop  bool                    // at the first failure
}

// Report is what was found, by kind.
type Report struct {
	Seeds             int       `json:"seeds"`
	DoubleSubmissions int       `json:"double_submissions"`
	WrongFinal        int       `json:"wrong_final"`
	LostEvents        int       `json:"lost_events"`
	Stuck             int       `json:"stuck"`
	Failures          []Failure `json:"failures,omitempty"`

	Deaths int            `json:"-"` // of processes, in all worlds
	Steps  int            `json:"-"`
	Ends   map[string]int `json:"-"` // objects by kind and last state, e.g. "payment settled"
}

// Failure is a seed that broke a promise.
type Failure struct {
	Seed     uint64   `json:"seed"`
	Findings []string `json:"findings"`
	Trace    []string `json:"trace,omitempty"` // of the first failure
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Failures) == 0 }

// Run lives one world per seed and reports what broke in any of them. The
// trace of the first seed that failed is made by living it once more.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	dir, err := os.MkdirTemp("", "rialto-sim")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := newTemplate(dir)
	if err != nil {
		return nil, err
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	r := &runner{options: o, template: t, dir: dir, report: &Report{Ends: map[string]int{}}}
	r.all(ctx)
	if r.err != nil {
		return nil, r.err
	}
	if f := r.report.Failures; len(f) > 0 {
		w, err := r.live(f[0].Seed, true)
		if err != nil {
			return nil, err
		}
		f[0].Trace = w.trace
	}
	return r.report, ctx.Err()
}

// Trace lives one world and tells everything that happened in it.
func Trace(seed uint64) (trace []string, err error) {
	dir, err := os.MkdirTemp("", "rialto-sim")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := newTemplate(dir)
	if err != nil {
		return nil, err
	}
	w, err := (&runner{template: t, dir: dir}).live(seed, true)
	if err != nil {
		return nil, err
	}
	return w.trace, nil
}

// runner lives worlds beside each other.
type runner struct {
	options  Options
	template *template
	dir      string

	mu     sync.Mutex
	begun  int
	report *Report
	err    error
}

func (r *runner) all(ctx context.Context) {
	var living sync.WaitGroup
	for range min(r.options.Workers, r.options.Seeds) {
		living.Go(func() {
			for seed, ok := r.draw(ctx); ok; seed, ok = r.draw(ctx) {
				w, err := r.live(seed, false)
				r.count(seed, w, err)
			}
		})
	}
	living.Wait()
}

func (r *runner) draw(ctx context.Context) (seed uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == r.options.Seeds || r.err != nil || ctx.Err() != nil || r.options.stop && !r.report.OK() {
		return 0, false
	}
	r.begun++
	return r.options.First + uint64(r.begun) - 1, true
}

func (r *runner) count(seed uint64, w *world, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("seed %d: %w", seed, err))
		return
	}
	p := r.report
	p.Seeds++
	p.Deaths, p.Steps = p.Deaths+w.deaths, p.Steps+w.steps
	for end, n := range w.ends {
		p.Ends[end] += n
	}
	if len(w.found) > 0 {
		f := Failure{Seed: seed}
		for _, x := range w.found {
			f.Findings = append(f.Findings, string(x.kind)+": "+x.what)
			switch x.kind {
			case DoubleSubmission:
				p.DoubleSubmissions++
			case WrongFinal:
				p.WrongFinal++
			case LostEvent:
				p.LostEvents++
			case Stuck:
				p.Stuck++
			}
		}
		p.Failures = append(p.Failures, f)
	}
	if r.options.Progress != nil {
		r.options.Progress(p.Seeds, r.options.Seeds)
	}
}

// live lives the world of one seed.
func (r *runner) live(seed uint64, tracing bool) (w *world, err error) {
	dir, err := os.MkdirTemp(r.dir, "world")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file, err := r.template.copyTo(dir)
	if err != nil {
		return nil, err
	}
	p := plant{}
	if r.options.plant != nil {
		p = r.options.plant(seed)
	}
	if w, err = newWorld(seed, r.template, file, p, tracing); err != nil {
		return nil, err
	}
	w.run()
	if len(w.found) == 0 {
		w.check()
	}
	w.end()
	return w, nil
}

// end takes the world down.
func (w *world) end() {
	w.chaos, w.burying = false, true
	for _, p := range w.processes {
		if p != nil {
			p.dead = true
			w.bury(p)
			_ = p.db.Close() // as dead as its process
		}
	}
}

// template is the database that every world begins with: schema, merchant and
// endpoints.
type template struct {
	dir       string
	keys      *jose.KeySet
	endpoints []*endpoint
}

var files = []string{"rialto.db", "deployment.key"}

func newTemplate(dir string) (_ *template, err error) {
	t := &template{dir: filepath.Join(dir, "template")}
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return nil, err
	}
	w := &world{schedule: newSchedule(epoch), file: filepath.Join(t.dir, files[0])}
	w.stream = &stream{world: w, chance: newChance(0, "stream")}
	p := &process{world: w, chance: newChance(0, "template")}
	random := randomness{newChance(0, "template ids")}
	if t.keys, err = jose.NewKeySet(random, epoch.AddDate(0, -1, 0), jose.ES256); err != nil {
		return nil, err
	}
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + w.file}, store.Options{Now: p.now, Random: random})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := db.Tx(ctx, func(tx *store.Tx) error { return tx.PutMerchant(merchant) }); err != nil {
		return nil, err
	}
	line := w.stream.connect(p)
	hooks, err := webhooks.New(webhooks.Config{}, webhooks.Deps{
		Store: db, Bus: line, Follower: line, Keys: t.keys, Holder: "template", Now: p.now, Random: random, Transport: receivers{p},
	})
	if err != nil {
		return nil, err
	}
	for i, families := range [][]string{nil, {"payment.*"}, {"refund.*", "payout.*"}} {
		e, err := hooks.Put(ctx, webhooks.Endpoint{MerchantID: merchantID, URL: fmt.Sprintf("https://hooks%d.lucky-lagoon.com/", i), Events: families})
		if err != nil {
			return nil, err
		}
		one := &endpoint{id: e.ID, host: fmt.Sprintf("hooks%d.lucky-lagoon.com", i), families: families}
		if one.verifier, err = verify.New(verify.Config{Secrets: []string{e.Keys[0].Value}}); err != nil {
			return nil, err
		}
		t.endpoints = append(t.endpoints, one)
	}
	return t, nil
}

func (t *template) copyTo(dir string) (file string, err error) {
	for _, name := range files {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(t.dir, name)); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, files[0]), nil
}

func copyFile(to, from string) error {
	in, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, bytes.NewReader(in))
	return errors.Join(err, out.Close())
}

// fresh is the endpoint at the beginning of a world.
func (e *endpoint) fresh(c chance) *endpoint {
	return &endpoint{
		id: e.id, host: e.host, verifier: e.verifier, families: e.families, chance: c,
		seen: map[string]int{}, byPlace: map[string]string{}, receipts: map[string][]receipt{},
	}
}

// wants reports whether it is told of a type.
func (e *endpoint) wants(eventType string) bool {
	for _, f := range e.families {
		if strings.HasPrefix(eventType, strings.TrimSuffix(f, "*")) {
			return true
		}
	}
	return len(e.families) == 0
}
