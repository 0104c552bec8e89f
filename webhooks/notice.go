package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Notice is something that happened to an endpoint itself: it is failing, or
// was disabled. The merchant's other endpoints are told of it as of any event;
// people are told by the Notifier.
type Notice struct {
	ID           string // evt_…, the event's
	MerchantID   string
	EndpointID   string
	Type         string // webhook_endpoint.failing or webhook_endpoint.disabled
	Reason       string // why it was disabled
	Percent      int    // of the failure budget that is used
	FailingSince *time.Time
	CreatedAt    time.Time
}

// Notifier tells people. It is called at least once for each notice, from one
// process at a time, outside of any transaction; after an error again later.
type Notifier interface {
	Notify(ctx context.Context, n Notice) error
}

const (
	noticesName  = "webhooks.notices" // of the lease
	noticesTTL   = time.Minute
	noticesBatch = 20
	noticesIdle  = 15 * time.Second
	noticesRetry = time.Minute
	noticesKeep  = 7 * 24 * time.Hour // an older one is nobody's news any more
)

type noticeRow struct {
	ID           string        `db:"id"`
	MerchantID   string        `db:"merchant_id"`
	EndpointID   string        `db:"endpoint_id"`
	Sequence     int64         `db:"sequence"`
	Type         string        `db:"type"`
	Reason       string        `db:"reason"`
	Percent      int           `db:"percent"`
	FailingSince sql.NullInt64 `db:"failing_since"`
	CreatedAt    int64         `db:"created_at"`
}

const noticeColumns = `id, merchant_id, endpoint_id, sequence, type, reason, percent, failing_since, created_at`

func (r *noticeRow) notice() Notice {
	n := Notice{
		ID: r.ID, MerchantID: r.MerchantID, EndpointID: r.EndpointID, Type: r.Type, Reason: r.Reason, Percent: r.Percent,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(),
	}
	if r.FailingSince.Valid {
		t := time.UnixMicro(r.FailingSince.Int64).UTC()
		n.FailingSince = &t
	}
	return n
}

// notice stores what happened to an endpoint, with its deliveries to the
// others of the merchant, whose ids it returns. The registry is fresh.
func (s *Service) notice(tx *store.Tx, h *health, eventType string) (told []string, err error) {
	var merchant string
	if err := tx.Get(&merchant, `SELECT merchant_id FROM webhook_endpoints WHERE id = ?`, h.id); err != nil {
		return nil, err
	}
	row := noticeRow{
		ID: psd2.NewID(psd2.PrefixEvent, tx.Now, s.deps.Random), MerchantID: merchant, EndpointID: h.id, Type: eventType,
		Reason: h.disable, Percent: h.alerted, CreatedAt: tx.Now.UnixMicro(),
		FailingSince: sql.NullInt64{Int64: h.failing.UnixMicro(), Valid: !h.failing.IsZero()},
	}
	if !h.failing.IsZero() {
		row.Percent = budgetUsed(h.failing, tx.Now)
	}
	err = tx.Get(&row.Sequence, `SELECT COALESCE(MAX(sequence), 0) + 1 FROM webhook_notices WHERE endpoint_id = ?`, h.id)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`INSERT INTO webhook_notices (`+noticeColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`,
		row.ID, row.MerchantID, row.EndpointID, row.Sequence, row.Type, row.Reason, row.Percent, row.FailingSince, row.CreatedAt)
	if err != nil {
		return nil, err
	}
	var jobs []*job
	for _, e := range s.registry.of(merchant) {
		if e.ID == h.id || !e.wants(eventType) {
			continue
		}
		jobs = append(jobs, &job{row: deliveryRow{
			EndpointID: e.ID, EventID: row.ID, ObjectID: h.id, Sequence: row.Sequence, Type: eventType,
			State: string(DeliveryPending), NextAt: row.CreatedAt, CreatedAt: row.CreatedAt, UpdatedAt: row.CreatedAt, Log: "[]",
		}})
		told = append(told, e.ID)
	}
	_, err = insertDeliveries(tx, jobs)
	return told, err
}

// ownEvent is the event of a delivery that has none in the journal: a test, or
// a notice. It is the same at each try.
func (s *Service) ownEvent(ctx context.Context, r deliveryRow) (e psd2.Event, exists bool, err error) {
	if r.Type == psd2.EventWebhookTest {
		return testEvent(r), true, nil
	}
	var row noticeRow
	err = s.deps.Store.Get(ctx, &row, `SELECT `+noticeColumns+` FROM webhook_notices WHERE id = ?`, r.EventID)
	if errors.Is(err, sql.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read notice: %w", err)
	}
	n := row.notice()
	var about struct {
		Endpoint struct {
			ID           string          `json:"id"`
			BudgetUsed   int             `json:"failure_budget_used"`
			FailingSince *psd2.Timestamp `json:"failing_since"`
			Reason       string          `json:"disabled_reason,omitempty"`
		} `json:"webhook_endpoint"`
	}
	about.Endpoint.ID, about.Endpoint.BudgetUsed, about.Endpoint.Reason = n.EndpointID, n.Percent, n.Reason
	if n.FailingSince != nil {
		at := psd2.Timestamp(*n.FailingSince)
		about.Endpoint.FailingSince = &at
	}
	data, err := json.Marshal(about)
	return psd2.Event{ID: n.ID, Type: n.Type, CreatedAt: n.CreatedAt, Sequence: row.Sequence, Data: data}, true, err
}

// notices tells people what they have not been told.
type notices struct{ s *Service }

// Step hands a few notices to the Notifier.
func (n *notices) Step(ctx context.Context, now time.Time) (time.Time, error) {
	var rows []noticeRow
	const unmailed = `SELECT ` + noticeColumns + ` FROM webhook_notices WHERE mailed_at IS NULL AND created_at > ? ORDER BY created_at LIMIT ?`
	since := now.Add(-noticesKeep).UnixMicro()
	if err := n.s.deps.Store.Select(ctx, &rows, unmailed, since, noticesBatch); err != nil {
		return now.Add(noticesRetry), fmt.Errorf("webhooks: notices: %w", err)
	}
	if len(rows) == 0 {
		return now.Add(noticesIdle), nil
	}
	held := false
	err := n.s.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		_, held, err = tx.Lease(noticesName, n.s.deps.Holder, noticesTTL)
		return err
	})
	if err != nil || !held {
		return now.Add(noticesIdle), err
	}
	for _, row := range rows {
		if err := n.s.deps.Notifier.Notify(ctx, row.notice()); err != nil {
			return now.Add(noticesRetry), fmt.Errorf("webhooks: notice %s: %w", row.ID, err)
		}
		err := n.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE webhook_notices SET mailed_at = ? WHERE id = ?`, tx.Now.UnixMicro(), row.ID)
			return err
		})
		if err != nil {
			return now.Add(noticesRetry), fmt.Errorf("webhooks: notices: %w", err)
		}
	}
	return now, nil
}
