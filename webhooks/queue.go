package webhooks

import (
	"slices"
	"sort"
	"time"
)

const (
	maxQueued = 1024 // deliveries of one endpoint in memory; the rest waits in the database
	loadBatch = 256
	rateSlack = 100 * time.Millisecond // how far ahead of an even pace an endpoint may be served
)

// job is a delivery in memory. Its row is changed by one goroutine at a time:
// whoever made it, then its sender, then the record.
type job struct {
	row      deliveryRow
	body     []byte
	happened time.Time // when its event did
	outcome  outcome
}

// lane is the deliveries of one payment to one endpoint that are in memory.
// Its first one is on its way (or ready to go); the others wait for it.
type lane struct {
	first   *job   // while it is ready; nil once it is on its way
	waiting []*job // by sequence
	blocked bool   // the first one failed and that is not yet recorded
}

// queue is all there is to do for one endpoint: its own, so that endpoints
// cannot delay each other. The dispatch's lock guards it.
type queue struct {
	endpoint *endpoint
	slots    int // deliveries that may be under way: halved by a failure, one more by a success
	busy     int
	bytes    int // of the bodies in memory
	lanes    map[string]*lane
	ready    []*job
	jobs     map[string]*job // by event: queued, under way, or not yet recorded
	throttle time.Time       // the endpoint asked for quiet until then
	quiet    time.Duration   // how long it was left alone when it last said it cannot keep up
	paced    time.Time       // when the next request is due at an even pace
	halted   bool            // it said it is gone; that is being recorded
	gone     bool            // and has been

	// What the database holds beyond memory.
	loadAt   time.Time // when to look; never later than a sweep away
	retryAt  time.Time // not before then: the last look failed
	failures int       // looks that failed in a row
	behind   bool      // it holds due ones that are not in memory
	failing  bool      // some are out of turn: who waits for whom is the database's to say
	loading  bool
	offered  []*job              // while loading
	recorded map[string]struct{} // while loading: events, and payments with a failure, that it may show as they were

	// Of the endpoint, as the database has it.
	failingSince time.Time
	alerted      int // percent of the failure budget that was told of
	healthKnown  bool
}

func newQueue(e *endpoint, slots int) *queue {
	return &queue{endpoint: e, slots: e.slotsOf(slots), lanes: map[string]*lane{}, jobs: map[string]*job{}}
}

// slotsOf is how many deliveries an endpoint may have under way where the
// deployment allows so many.
func (e *endpoint) slotsOf(most int) int {
	if e.Slots > 0 {
		return min(e.Slots, most)
	}
	return most
}

// remember takes a delivery into memory.
func (q *queue) remember(j *job) {
	q.jobs[j.row.EventID] = j
	q.bytes += len(j.body)
}

// forget lets it go.
func (q *queue) forget(j *job) {
	if _, known := q.jobs[j.row.EventID]; known {
		delete(q.jobs, j.row.EventID)
		q.bytes -= len(j.body)
	}
}

// add queues a delivery, behind the earlier ones of its payment.
func (q *queue) add(j *job) {
	if _, known := q.jobs[j.row.EventID]; known {
		return
	}
	q.remember(j)
	l := q.lanes[j.row.ObjectID]
	if l == nil {
		q.lanes[j.row.ObjectID] = &lane{first: j}
		q.ready = append(q.ready, j)
		return
	}
	if l.first != nil && j.row.Sequence < l.first.row.Sequence { // an earlier one is found later: it takes the place
		q.ready[slices.Index(q.ready, l.first)] = j
		j, l.first = l.first, j
	}
	at := sort.Search(len(l.waiting), func(i int) bool { return l.waiting[i].row.Sequence > j.row.Sequence })
	l.waiting = append(l.waiting, nil)
	copy(l.waiting[at+1:], l.waiting[at:])
	l.waiting[at] = j
}

// take gives the next delivery to send, nil when there is none or no slot.
func (q *queue) take(now time.Time) *job {
	if len(q.ready) == 0 || q.busy >= q.slots || q.halted || q.endpoint.State != EndpointActive || now.Before(q.freeAt()) {
		return nil
	}
	if rate := q.endpoint.Rate; rate > 0 {
		if q.paced.Before(now) {
			q.paced = now
		}
		q.paced = q.paced.Add(time.Second / time.Duration(rate))
	}
	j := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	if l := q.lanes[j.row.ObjectID]; l != nil {
		l.first = nil
	}
	q.busy++
	return j
}

// freeAt is when quiet and pace allow the next request.
func (q *queue) freeAt() time.Time {
	if at := q.paced.Add(-rateSlack); q.endpoint.Rate > 0 && at.After(q.throttle) {
		return at
	}
	return q.throttle
}

// held reports whether something waits for that.
func (q *queue) held(now time.Time) bool { return len(q.ready) > 0 && now.Before(q.freeAt()) }

// calm leaves an endpoint alone that says it cannot keep up: as long as it
// asks for, and longer each time it says so again.
func (q *queue) calm(asked time.Duration, now time.Time) {
	if now.Before(q.throttle) { // one of several that were under way
		asked = min(asked, maxThrottle)
	} else {
		q.quiet = min(max(2*q.quiet, minThrottle), maxThrottle)
		asked = min(max(asked, q.quiet), maxThrottle)
	}
	if at := now.Add(asked); at.After(q.throttle) {
		q.throttle = at
	}
}

// sent takes a delivery back from its sender. After a success the payment's
// next one may go at once; after a failure its lane stays closed until the
// failure is recorded.
func (q *queue) sent(j *job, delivered bool, most int) {
	q.busy--
	if delivered {
		q.slots, q.quiet = min(q.slots+1, q.endpoint.slotsOf(most)), 0
		q.open(j.row.ObjectID)
		return
	}
	q.slots = max(q.slots/2, 1)
	q.failing = true
	if l := q.lanes[j.row.ObjectID]; l != nil {
		l.blocked = true
		q.drop(l)
	}
}

// loaded queues what a load has found, without what has changed since it began.
func (q *queue) loaded(jobs []*job) {
	for _, j := range jobs {
		_, over := q.recorded[j.row.EventID]
		_, closed := q.recorded[j.row.ObjectID]
		if !over && !closed {
			q.add(j)
		}
	}
}

// open lets a lane's next delivery go.
func (q *queue) open(object string) {
	l := q.lanes[object]
	if l == nil {
		return
	}
	l.blocked = false
	if len(l.waiting) == 0 {
		delete(q.lanes, object)
		return
	}
	l.first = l.waiting[0]
	q.ready = append(q.ready, l.first)
	l.waiting = l.waiting[1:]
}

// drop forgets what waits in a lane. The database knows it and says when it
// is due.
func (q *queue) drop(l *lane) {
	for _, j := range l.waiting {
		q.forget(j)
		q.behind = true
	}
	l.waiting = nil
}

// settled is called when a delivery's outcome is in the database.
func (q *queue) settled(j *job) {
	q.forget(j)
	if q.loading {
		q.recorded[j.row.EventID] = struct{}{}
	}
	if j.row.State == string(DeliveryDelivered) {
		return
	}
	if q.loading {
		q.recorded[j.row.ObjectID] = struct{}{}
	}
	if l := q.lanes[j.row.ObjectID]; l != nil && l.blocked {
		q.drop(l)
		delete(q.lanes, j.row.ObjectID)
	}
	q.behind = true
}

// clear forgets everything that is not under way.
func (q *queue) clear() {
	for _, l := range q.lanes {
		q.drop(l)
	}
	for _, j := range q.ready {
		q.forget(j)
		delete(q.lanes, j.row.ObjectID)
	}
	q.ready, q.behind = nil, true
}
