package webhooks

import (
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// An endpoint's failure budget is giveUpAfter of nothing but failures. Its
// merchant is told when these shares of it are used; when all of it is, the
// endpoint is disabled.
var alertAt = []int{50, 70, 90}

// budgetUsed is the share of the failure budget that is used, in percent.
func budgetUsed(failingSince, now time.Time) int {
	return int(min(max(now.Sub(failingSince), 0), giveUpAfter) * 100 / giveUpAfter)
}

// alertFor is the highest alert that a share calls for, 0 for none.
func alertFor(percent int) (due int) {
	for _, at := range alertAt {
		if percent >= at {
			due = at
		}
	}
	return due
}

// health is a change of an endpoint's well-being.
type health struct {
	queue   *queue
	id      string
	failing time.Time // zero: it works (again)
	alerted int       // percent of the budget
	disable string
}

// health sums up what a batch says about its endpoints: only a change is
// worth a write.
func (d *dispatch) health(batch []*result) []*health {
	d.mu.Lock()
	defer d.mu.Unlock()
	byQueue := map[*queue]*health{}
	var all, changed []*health
	for _, r := range batch {
		o := &r.job.outcome
		h := byQueue[r.queue]
		if h == nil {
			h = &health{queue: r.queue, id: r.queue.endpoint.ID, failing: r.queue.failingSince, alerted: r.queue.alerted}
			byQueue[r.queue] = h
			all = append(all, h)
		}
		h.learn(o)
	}
	for _, h := range all {
		if h.disable != "" || !h.failing.Equal(h.queue.failingSince) || h.alerted != h.queue.alerted {
			changed = append(changed, h)
		}
	}
	return changed
}

func (h *health) learn(o *outcome) {
	switch {
	case o.delivered():
		h.failing, h.alerted = time.Time{}, 0
	case o.ours: // says nothing about the endpoint
	case h.failing.IsZero():
		h.failing = o.at
	default:
		h.alerted = max(h.alerted, alertFor(budgetUsed(h.failing, o.at)))
	}
	if o.disable != "" {
		h.disable = o.disable
	} else if !h.failing.IsZero() && o.at.Sub(h.failing) >= giveUpAfter {
		h.disable = ReasonFailing
	}
}

// write stores the change, and what is to be told of it.
func (h *health) write(s *Service, tx *store.Tx) error {
	var since any
	if !h.failing.IsZero() {
		since = h.failing.UnixMicro()
	}
	if h.disable != "" {
		n, err := tx.Exec(`UPDATE webhook_endpoints SET failing_since = ?, alerted = 100, state = 'disabled', reason = ?, updated_at = ?
			WHERE id = ? AND state NOT IN ('disabled', 'deleted') AND (? <> '`+ReasonFailing+`' OR failing_since IS NOT NULL)`, // or it has a new URL
			since, h.disable, tx.Now.UnixMicro(), h.id, h.disable)
		if err != nil || n == 0 {
			return err
		}
		if err := revise(tx); err != nil {
			return err
		}
		return s.notice(tx, h.notice(psd2.EventEndpointDisabled, tx.Now))
	}
	n, err := tx.Exec(`UPDATE webhook_endpoints SET failing_since = ?, alerted = ? WHERE id = ? AND alerted < ?`, since, h.alerted, h.id, h.alerted)
	if err != nil {
		return err
	}
	if n == 1 {
		return s.notice(tx, h.notice(psd2.EventEndpointFailing, tx.Now))
	}
	_, err = tx.Exec(`UPDATE webhook_endpoints SET failing_since = ?, alerted = ? WHERE id = ?`, since, h.alerted, h.id)
	return err
}

func (h *health) notice(eventType string, now time.Time) Notice {
	n := Notice{ObjectID: h.id, Type: eventType, Reason: h.disable, Percent: h.alerted}
	if !h.failing.IsZero() {
		at := h.failing.UTC()
		n.FailingSince, n.Percent = &at, budgetUsed(h.failing, now)
	}
	return n
}

// recorded takes over what was written about endpoints.
func (d *dispatch) recorded(changed []*health) {
	d.mu.Lock()
	disabled := false
	for _, h := range changed {
		h.queue.failingSince, h.queue.alerted = h.failing, h.alerted
		if h.disable != "" {
			h.queue.gone, d.stale, disabled = h.queue.halted, true, true
			d.s.deps.Log.Warn("webhooks: endpoint disabled", "endpoint", h.id, "reason", h.disable)
		}
	}
	d.mu.Unlock()
	if disabled {
		signal(d.wake)
	}
}
