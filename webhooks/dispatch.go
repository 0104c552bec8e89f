package webhooks

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	sweepEvery   = 15 * time.Second // an endpoint's rows are looked at that often without a sign
	loadsPerStep = 32
	reloadAfter  = time.Second // a failed look at an endpoint's rows, and longer each time
	reloadMost   = time.Minute
	failsPerStep = 4 // failed looks in a row: it is the database, not one endpoint's rows
)

// dispatch owns the queues of this process's endpoints and sends from them.
// Sending runs in goroutines that belong to one endpoint each; Step does what
// needs the database: leases, changed endpoints, deliveries that are due.
type dispatch struct {
	s      *Service
	client *http.Client
	wake   chan struct{}
	shards shards
	under  sync.WaitGroup // deliveries under way
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	queues   map[string]*queue
	order    []*queue // the same, by endpoint id: what is due at once always goes in one order
	turn     string   // the endpoint that came last when not all that was due could be loaded at once
	revision int64    // of the endpoints the queues were made from
	synced   bool
	stale    bool // endpoints may have changed
	stopped  bool
}

func newDispatch(s *Service) *dispatch {
	d := &dispatch{s: s, client: newClient(s), wake: make(chan struct{}, 1), queues: map[string]*queue{}, stale: true}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.shards.init(s)
	return d
}

// offer takes over deliveries that were just committed. complete says that
// their rows were all new; otherwise some may be under way already, and the
// database has to say which are due.
func (d *dispatch) offer(jobs []*job, complete bool) {
	if len(jobs) == 0 {
		return
	}
	now, foreign := d.s.deps.Now(), map[string]bool{}
	d.mu.Lock()
	var touched []*queue
	for _, j := range jobs {
		q := d.queues[j.row.EndpointID]
		if q == nil || !d.shards.owns(q.endpoint.shard, now) {
			// Not ours, or not seen yet; the step that makes the queue also
			// reads what waits for it.
			foreign[j.row.EndpointID] = true
			d.stale = true
			continue
		}
		switch {
		case q.failing || q.behind || !complete || len(q.jobs)+len(q.offered) >= maxQueued || q.bytes >= d.s.config.Bytes:
			q.behind = true
		case q.loading:
			q.offered = append(q.offered, j)
		default:
			q.add(j)
		}
		if !slices.Contains(touched, q) {
			touched = append(touched, q)
		}
	}
	wake := len(foreign) > 0
	for _, q := range touched {
		d.pump(q, now)
		wake = wake || q.behind || q.held(now)
	}
	d.mu.Unlock()
	if wake {
		signal(d.wake)
	}
	for _, id := range slices.Sorted(maps.Keys(foreign)) {
		if !d.shards.owns(shardOf(id), now) {
			_ = d.s.deps.Bus.Nudge(id) // its process also looks by itself
		}
	}
}

// nudge makes the next step look at an endpoint again.
func (d *dispatch) nudge(endpointID string) {
	d.mu.Lock()
	d.stale = true
	if q := d.queues[endpointID]; q != nil {
		q.behind = true
	}
	d.mu.Unlock()
	signal(d.wake)
}

// reread makes every queue look at the database before it takes anything more.
func (d *dispatch) reread() {
	d.mu.Lock()
	for _, q := range d.queues {
		q.behind = true
	}
	d.mu.Unlock()
	signal(d.wake)
}

// pump sends from a queue while it has something to send and slots; d.mu is held.
func (d *dispatch) pump(q *queue, now time.Time) {
	for !d.stopped && d.shards.owns(q.endpoint.shard, now) {
		j := q.take(now)
		if j == nil {
			return
		}
		d.under.Add(1)
		e := q.endpoint
		d.s.deps.Go(func() { d.deliver(q, j, e) })
	}
}

// deliver sends one delivery, and then the next ones of its queue.
func (d *dispatch) deliver(q *queue, j *job, e *endpoint) {
	defer d.under.Done()
	for j != nil {
		j.outcome = d.s.send(d.ctx, d.client, e, j)
		now := d.s.deps.Now()
		d.mu.Lock()
		q.sent(j, j.outcome.delivered(), d.s.config.Slots)
		if j.outcome.overloaded {
			q.calm(j.outcome.after, now)
		}
		if q.endpoint.URL != e.URL { // what the old address says is not the new one's word
			j.outcome.disable = ""
		}
		q.halted = q.halted || j.outcome.disable != ""
		done := j
		if j = nil; !d.stopped && d.shards.owns(q.endpoint.shard, now) {
			if j = q.take(now); j != nil {
				e = q.endpoint
			}
			d.pump(q, now)
		}
		wake := q.behind && len(q.jobs) < loadBatch || q.held(now)
		d.mu.Unlock()
		d.s.record.add(q, done)
		if wake {
			signal(d.wake)
		}
	}
}

// settled is called with deliveries whose outcomes have been committed.
func (d *dispatch) settled(done []*result) {
	d.mu.Lock()
	wake := false
	for _, r := range done {
		r.queue.settled(r.job)
		wake = wake || r.queue.behind
		d.pump(r.queue, d.s.deps.Now())
	}
	d.mu.Unlock()
	if wake {
		signal(d.wake)
	}
}

// Step keeps the leases, follows changed endpoints and loads what is due.
func (d *dispatch) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if d.shards.lapse(now) { // somebody else may have delivered meanwhile
		d.mu.Lock()
		for _, q := range d.queues {
			if !d.shards.owns(q.endpoint.shard, now) {
				q.clear()
			}
		}
		d.mu.Unlock()
	}
	leased, err := d.shards.keep(ctx, now)
	if err != nil {
		return now.Add(time.Second), fmt.Errorf("webhooks: dispatch: %w", err)
	}
	if err := d.follow(ctx, now, leased); err != nil {
		return now.Add(time.Second), fmt.Errorf("webhooks: dispatch: %w", err)
	}
	due, next := d.due(now)
	failures := 0
	for _, q := range due {
		if err = d.load(ctx, q, now); err == nil {
			failures = 0
			continue
		}
		if failures++; failures == failsPerStep || ctx.Err() != nil {
			return now.Add(reloadAfter), fmt.Errorf("webhooks: dispatch: %w", err)
		}
		d.s.deps.Log.Error("webhooks: an endpoint's deliveries cannot be read; the others go on", "endpoint", q.endpoint.ID, "cause", err.Error())
	}
	if len(due) == loadsPerStep { // the rest comes first
		d.turn = due[loadsPerStep-1].endpoint.ID
	}
	if len(due) > 0 { // there may be more, and loading has changed when
		_, next = d.due(now)
	}
	if at := d.shards.renewAt; at.Before(next) {
		next = at
	}
	return next, nil
}

// follow makes the queues fit the endpoints and the shards we own.
func (d *dispatch) follow(ctx context.Context, now time.Time, leased bool) error {
	d.mu.Lock()
	_, revision := d.s.registry.all()
	unchanged := d.synced && !leased && !d.stale && revision == d.revision
	d.stale = false
	d.mu.Unlock()
	if unchanged {
		return nil
	}
	if err := d.s.deps.Store.Tx(ctx, d.s.refresh); err != nil {
		d.mu.Lock()
		d.stale = true
		d.mu.Unlock()
		return err
	}
	endpoints, revision := d.s.registry.all()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced, d.revision = true, revision
	for id, e := range endpoints {
		q, ours := d.queues[id], d.shards.owns(e.shard, now)
		switch {
		case q == nil && ours:
			q = newQueue(e, d.s.config.Slots)
			q.behind = true
			d.queues[id] = q
		case q == nil:
			continue
		}
		d.update(q, e)
	}
	for id, q := range d.queues {
		if _, exists := endpoints[id]; exists && d.shards.owns(q.endpoint.shard, now) {
			continue
		}
		q.clear()
		if len(q.jobs) == 0 {
			delete(d.queues, id)
		}
	}
	d.order = slices.SortedFunc(maps.Values(d.queues), func(a, b *queue) int { return strings.Compare(a.endpoint.ID, b.endpoint.ID) })
	return nil
}

func (d *dispatch) update(q *queue, e *endpoint) {
	if q.endpoint != e {
		again, moved := e.State == EndpointActive && q.endpoint.State != EndpointActive, e.URL != q.endpoint.URL
		if again || moved {
			q.behind, q.healthKnown = true, false
		}
		if moved { // its failures were the old one's
			q.failingSince, q.alerted = time.Time{}, 0
		}
		if again || moved || q.gone {
			q.halted, q.gone = false, false
		}
		q.endpoint = e
	}
	if e.State != EndpointActive {
		q.clear()
	}
}

// due lists queues that are to be loaded now, and says when the next one is.
// On the way it lets those go whose throttle is over.
func (d *dispatch) due(now time.Time) (list []*queue, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next = now.Add(sweepEvery)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	first := sort.Search(len(d.order), func(i int) bool { return d.order[i].endpoint.ID > d.turn })
	for i := range d.order {
		q := d.order[(first+i)%len(d.order)]
		d.pump(q, now)
		if q.held(now) {
			sooner(q.freeAt())
		}
		switch {
		case q.endpoint.State != EndpointActive || q.halted || q.loading || !d.shards.owns(q.endpoint.shard, now):
		case len(q.jobs) > maxQueued-loadBatch || q.bytes >= d.s.config.Bytes: // wakes us when it has drained
		case now.Before(q.retryAt):
			sooner(q.retryAt)
		case !q.behind && now.Before(q.loadAt):
			sooner(q.loadAt)
		case len(list) == loadsPerStep:
			sooner(now)
		default:
			list = append(list, q)
			sooner(now)
		}
	}
	return list, next
}

// load reads an endpoint's due deliveries.
func (d *dispatch) load(ctx context.Context, q *queue, now time.Time) (err error) {
	d.mu.Lock()
	q.loading, q.behind, q.recorded = true, false, map[string]struct{}{}
	id, known := q.endpoint.ID, make(map[string]bool, len(q.jobs))
	q.failing = false // a failure meanwhile sets it again
	for event := range q.jobs {
		known[event] = true
	}
	d.mu.Unlock()
	found, err := d.read(ctx, id, known, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	q.loading = false
	if err != nil {
		q.behind, q.failing, q.offered = true, true, nil
		q.retryAt = now.Add(min(reloadAfter<<min(q.failures, 6), reloadMost))
		q.failures++
		return err
	}
	q.failures, q.retryAt = 0, time.Time{}
	q.loaded(found.jobs)
	q.failing = q.failing || found.failing
	if found.more || q.failing {
		q.behind = q.behind || found.more || len(q.offered) > 0
	} else {
		q.loaded(q.offered)
	}
	q.offered, q.recorded = nil, nil
	q.loadAt = found.next
	if !q.healthKnown {
		q.failingSince, q.alerted, q.healthKnown = found.failingSince, found.alerted, true
	}
	d.pump(q, now)
	return nil
}

type found struct {
	jobs    []*job
	more    bool      // there were more than a batch
	failing bool      // there are some out of turn
	next    time.Time // when the next one is due

	failingSince time.Time // of the endpoint
	alerted      int
}

func (d *dispatch) read(ctx context.Context, endpointID string, known map[string]bool, now time.Time) (f found, err error) {
	db, us := d.s.deps.Store, now.UnixMicro()
	limit := loadBatch + len(known)
	var rows []dueRow
	err = db.Select(ctx, &rows, dueQuery+` ORDER BY d.next_at, d.position LIMIT ?`, us, us, endpointID, us+clockSkew.Microseconds(), limit)
	if err != nil {
		return f, fmt.Errorf("read due deliveries: %w", err)
	}
	f.more, f.next = len(rows) == limit && rows[limit-1].NextAt <= us, now.Add(sweepEvery)
	rows = slices.DeleteFunc(rows, func(r dueRow) bool { return r.NextAt > us && !r.fresh() })
	if f.more {
		if rows, err = d.withEarlier(ctx, endpointID, rows, us); err != nil {
			return f, err
		}
	}
	var held []dueRow
	for _, r := range rows {
		switch until := r.heldUntil(); {
		case known[r.EventID]:
		case us < until:
			r.NextAt = until
			held = append(held, r)
		default:
			f.jobs = append(f.jobs, &job{row: r.deliveryRow})
		}
	}
	// Rows come by when they are due; overdue ones of a payment go in its order.
	slices.SortFunc(f.jobs, func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.row.Position, b.row.Position), cmp.Compare(a.row.Sequence, b.row.Sequence))
	})
	if err := d.hold(ctx, held); err != nil {
		return f, err
	}
	var when struct {
		Next    sql.NullInt64 `db:"next"`
		Failing int64         `db:"failing"`
		Since   sql.NullInt64 `db:"since"`
		Alerted sql.NullInt64 `db:"alerted"`
	}
	err = db.Get(ctx, &when, `SELECT (SELECT MIN(next_at) FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending' AND next_at > ?) AS next,
		(SELECT COUNT(*) FROM (SELECT 1 FROM webhook_deliveries e WHERE e.endpoint_id = ? AND e.state = 'pending' AND `+outOfTurn+` LIMIT 1) AS f) AS failing,
		(SELECT failing_since FROM webhook_endpoints WHERE id = ?) AS since,
		(SELECT alerted FROM webhook_endpoints WHERE id = ?) AS alerted`, endpointID, us, endpointID, endpointID, endpointID)
	if err != nil {
		return f, fmt.Errorf("read due deliveries: %w", err)
	}
	f.failing, f.alerted = when.Failing > 0, int(when.Alerted.Int64)
	if when.Since.Valid {
		f.failingSince = time.UnixMicro(when.Since.Int64)
	}
	if at := time.UnixMicro(when.Next.Int64); when.Next.Valid && at.Before(f.next) {
		f.next = at
	}
	return f, d.fill(ctx, &f)
}

// hold puts deliveries off that wait behind an earlier one, so that they are
// not read again before their time.
func (d *dispatch) hold(ctx context.Context, rows []dueRow) error {
	if len(rows) == 0 {
		return nil
	}
	err := d.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			_, err := tx.Exec(`UPDATE webhook_deliveries SET next_at = ? WHERE endpoint_id = ? AND event_id = ? AND state = 'pending' AND attempts = ?`,
				r.NextAt, r.EndpointID, r.EventID, r.Attempts)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("hold deliveries: %w", err)
	}
	return nil
}

// fill gives loaded deliveries the events they are about.
func (d *dispatch) fill(ctx context.Context, f *found) error {
	ids := make([]string, len(f.jobs))
	for i, j := range f.jobs {
		ids[i] = j.row.EventID
	}
	events, err := d.s.deps.Store.EventsByID(ctx, ids...)
	if err != nil {
		return err
	}
	whole, size := f.jobs[:0], 0
	for _, j := range f.jobs {
		e, exists := events[j.row.EventID]
		switch {
		case exists:
		case j.row.Type == psd2.EventWebhookTest:
			e = testEvent(j.row)
		default: // cannot be while the journal is whole
			d.s.deps.Log.Error("webhooks: a delivery's event is not in the journal", "event", j.row.EventID)
			continue
		}
		j.body, j.happened = body(e), e.CreatedAt
		if size += len(j.body); size > d.s.config.Bytes && len(whole) > 0 {
			f.more = true // the rest is read when these are gone
			break
		}
		whole = append(whole, j)
	}
	f.jobs = whole
	return nil
}

// stop lets nothing new go and waits for what is under way.
func (d *dispatch) stop(ctx context.Context) {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() { d.under.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		d.cancel()
		<-done
	}
	d.cancel()
	d.client.CloseIdleConnections()
}
