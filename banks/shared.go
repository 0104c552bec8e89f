package banks

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Shared is where the processes of one hub tell each other how the banks do.
// Each writes under keys of its own, and nobody waits for it: without it a
// process goes by what it sees itself. psd2/bus has one on NATS.
type Shared interface {
	// Put replaces the value of a key: letters, digits, '-', '_' and one '.'.
	Put(ctx context.Context, key string, value []byte) error
	// Values gives the newest value of each key; false as long as it has not seen
	// what was there before.
	Values() (map[string][]byte, bool)
}

// record is what one process knows of one bank, and what it shares.
type record struct {
	Breaker breaker           `json:"breaker"`
	Latency time.Duration     `json:"latency,omitempty"`
	Short   map[string]series `json:"short,omitempty"` // by approach; "" is all of them
	Long    series            `json:"long,omitempty"`

	changed, urgent bool
	shared          time.Time
}

// shareEvery bounds how often a process tells about one bank; a breaker that
// turns is told at once.
const shareEvery = 5 * time.Second

// keepRecords is how long the word of a process that is gone still counts.
const keepRecords = 10 * time.Minute

// observe counts one call.
func (r *record) observe(a Approach, err error, took time.Duration, now time.Time) {
	failed, counts := unanswered(err)
	if !counts {
		return
	}
	if r.Breaker.observe(err, failed, now) {
		r.urgent = true
	}
	if !failed {
		r.smooth(took)
	}
	if r.Short == nil {
		r.Short = map[string]series{}
	}
	r.Short[""] = r.Short[""].count(shortStep, shortLen, failed, took, now)
	if a != "" {
		r.Short[string(a)] = r.Short[string(a)].count(shortStep, shortLen, failed, took, now)
	}
	r.Long = r.Long.count(longStep, longLen, failed, took, now)
	r.changed = true
}

func (r *record) smooth(took time.Duration) {
	if r.Latency == 0 {
		r.Latency = took
		return
	}
	r.Latency += (took - r.Latency) / 8
}

// merged is what all processes know of a bank. An answer that any of them got
// after another's breaker opened closes it.
func merged(own *record, others []*record) record {
	out := record{Breaker: own.Breaker, Latency: own.Latency, Long: own.Long, Short: maps.Clone(own.Short)}
	answered := own.Breaker.Answered
	for _, o := range others {
		if out.Long = out.Long.add(o.Long); out.Latency == 0 {
			out.Latency = o.Latency
		}
		for a, s := range o.Short {
			if out.Short == nil {
				out.Short = map[string]series{}
			}
			out.Short[a] = out.Short[a].add(s)
		}
		if o.Breaker.Until.After(out.Breaker.Until) {
			out.Breaker.Until, out.Breaker.Reason, out.Breaker.Tripped = o.Breaker.Until, o.Breaker.Reason, o.Breaker.Tripped
		}
		if o.Breaker.Answered.After(answered) {
			answered = o.Breaker.Answered
		}
		out.Breaker.Failures = max(out.Breaker.Failures, o.Breaker.Failures)
		out.Breaker.Trips = max(out.Breaker.Trips, o.Breaker.Trips)
	}
	if out.Breaker.Answered = answered; answered.After(out.Breaker.Tripped) && !out.Breaker.Until.IsZero() {
		out.Breaker = breaker{Answered: answered}
	}
	return out
}

// Share makes the registry tell other processes what it sees, and listen to
// them. holder names this process and stays the same over its restarts, so that
// what it shared before is its own history.
func (r *Registry) Share(s Shared, holder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared, r.holder = s, holder
}

func (r *Registry) key(bankID string) string { return bankID + "." + r.holder }

// Step tells the other processes what is new and takes in what they told. It
// is cheap when there is nothing.
func (r *Registry) Step(ctx context.Context, now time.Time) (time.Time, error) {
	next := now.Add(time.Second)
	r.mu.Lock()
	shared := r.shared
	if shared == nil {
		r.mu.Unlock()
		return now.Add(time.Minute), nil
	}
	values, known := shared.Values()
	if !known {
		r.mu.Unlock()
		return next, nil
	}
	r.listen(values, now)
	tell := map[string][]byte{}
	for id, own := range r.records {
		if !own.changed || !own.urgent && now.Sub(own.shared) < shareEvery {
			continue
		}
		if raw, err := json.Marshal(own); err == nil {
			tell[id] = raw
			own.changed, own.urgent, own.shared = false, false, now
		}
	}
	r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(tell)) {
		if err := shared.Put(ctx, r.key(id), tell[id]); err != nil {
			r.mu.Lock()
			r.records[id].changed = true
			r.mu.Unlock()
			return next, err
		}
	}
	return next, nil
}

// listen takes in what others shared, and our own history once.
func (r *Registry) listen(values map[string][]byte, now time.Time) {
	others := map[string][]*record{}
	for key, raw := range values {
		bank, holder, ok := strings.Cut(key, ".")
		own := r.records[bank]
		var told record
		if !ok || own == nil || json.Unmarshal(raw, &told) != nil {
			continue
		}
		switch {
		case holder != r.holder:
			others[bank] = append(others[bank], told.current(now))
		case !r.recalled: // later, what stands under our name is what we told ourselves
			history := merged(&record{Long: own.Long, Short: own.Short}, []*record{&told})
			own.Long, own.Short = history.Long, history.Short
		}
	}
	r.others, r.recalled = others, true
}

// current drops what is too old to count; history stays.
func (r *record) current(now time.Time) *record {
	at := now.UnixNano()
	for a, s := range r.Short {
		r.Short[a] = s.recent(shortLen, at/int64(shortStep))
	}
	r.Long = r.Long.recent(longLen, at/int64(longStep))
	if last := later(r.Breaker.Answered, r.Breaker.Tripped); now.Sub(last) > keepRecords {
		r.Breaker = breaker{}
	}
	return r
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
