package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Notice is something that happened to an endpoint itself: it is failing, was
// disabled, or was changed in what decides who receives its deliveries; or that a
// key the merchant signs with was replaced. It is an event of the journal, so the
// merchant's other endpoints are told of it and /v1/events has it; people are told
// by the Notifier.
type Notice struct {
	ID           string // evt_…, the event's
	MerchantID   string
	ObjectID     string   // whe_…, or mer_… of a key
	Type         string   // webhook_endpoint.failing, .disabled or .changed, signing_key.replaced
	Reason       string   // why it was disabled
	Changed      []string // what was changed: url, keys; of a key its kid, and that of the one it replaces
	Percent      int      // of the failure budget that is used
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
	ObjectID     string        `db:"object_id"`
	Sequence     int64         `db:"sequence"`
	Type         string        `db:"type"`
	Reason       string        `db:"reason"`
	Percent      int           `db:"percent"`
	FailingSince sql.NullInt64 `db:"failing_since"`
	CreatedAt    int64         `db:"created_at"`
}

const noticeColumns = `id, merchant_id, object_id, sequence, type, reason, percent, failing_since, created_at`

func (r *noticeRow) notice() Notice {
	n := Notice{
		ID: r.ID, MerchantID: r.MerchantID, ObjectID: r.ObjectID, Type: r.Type, Reason: r.Reason, Percent: r.Percent,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(),
	}
	if r.Type == psd2.EventEndpointChanged || r.Type == psd2.EventSigningKeyReplaced {
		n.Reason, n.Changed = "", strings.Split(r.Reason, ",")
	}
	if r.FailingSince.Valid {
		t := time.UnixMicro(r.FailingSince.Int64).UTC()
		n.FailingSince = &t
	}
	return n
}

// data is what the event says. It names no address: those hold tokens.
func (n *Notice) data() ([]byte, error) {
	var about struct {
		Endpoint struct {
			ID           string          `json:"id"`
			BudgetUsed   int             `json:"failure_budget_used"`
			FailingSince *psd2.Timestamp `json:"failing_since"`
			Reason       string          `json:"disabled_reason,omitempty"`
			Changed      []string        `json:"changed,omitempty"`
		} `json:"webhook_endpoint"`
	}
	about.Endpoint.ID, about.Endpoint.BudgetUsed, about.Endpoint.Reason, about.Endpoint.Changed = n.ObjectID, n.Percent, n.Reason, n.Changed
	if n.FailingSince != nil {
		at := psd2.Timestamp(*n.FailingSince)
		about.Endpoint.FailingSince = &at
	}
	return json.Marshal(about)
}

// notice writes what happened to an endpoint into the journal, and down for
// people. The caller has written the endpoint's row before, so that notices of
// one endpoint wait for each other.
func (s *Service) notice(tx *store.Tx, n Notice) error {
	if err := tx.Get(&n.MerchantID, `SELECT merchant_id FROM webhook_endpoints WHERE id = ?`, n.ObjectID); err != nil {
		return err
	}
	data, err := n.data()
	if err != nil {
		return err
	}
	return announce(tx, n, data)
}

// KeyReplacedIn tells that one of the merchant's signing keys has taken the place
// of another, which counts until then: a thief who has done it cannot keep it from
// him.
func (s *Service) KeyReplacedIn(tx *store.Tx, merchantID, kid, old string, until time.Time) error {
	var about struct {
		Key struct {
			ID            string         `json:"id"`
			Replaces      string         `json:"replaces"`
			ReplacedUntil psd2.Timestamp `json:"replaced_until"`
		} `json:"signing_key"`
	}
	about.Key.ID, about.Key.Replaces, about.Key.ReplacedUntil = kid, old, psd2.Timestamp(until)
	data, err := json.Marshal(about)
	if err != nil {
		return err
	}
	return announce(tx, Notice{MerchantID: merchantID, ObjectID: merchantID, Type: psd2.EventSigningKeyReplaced, Changed: []string{kid, old}}, data)
}

func announce(tx *store.Tx, n Notice, data []byte) (err error) {
	if n.ID, err = tx.Announce(n.MerchantID, n.ObjectID, n.Type, data); err != nil {
		return err
	}
	row := noticeRow{
		ID: n.ID, MerchantID: n.MerchantID, ObjectID: n.ObjectID, Type: n.Type, Reason: n.Reason, Percent: n.Percent, CreatedAt: tx.Now.UnixMicro(),
	}
	if len(n.Changed) > 0 {
		row.Reason = strings.Join(n.Changed, ",")
	}
	if n.FailingSince != nil {
		row.FailingSince = sql.NullInt64{Int64: n.FailingSince.UnixMicro(), Valid: true}
	}
	err = tx.Get(&row.Sequence, `SELECT COALESCE(MAX(sequence), 0) + 1 FROM notices WHERE object_id = ?`, n.ObjectID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO notices (`+noticeColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`,
		row.ID, row.MerchantID, row.ObjectID, row.Sequence, row.Type, row.Reason, row.Percent, row.FailingSince, row.CreatedAt)
	return err
}

// changed tells of a change that could lead an endpoint's deliveries, or the
// power to forge them, to somebody else: whoever did not make it must hear of it
// by another way (security: endpoint takeover).
func (s *Service) changed(tx *store.Tx, e, old *Endpoint) error {
	if old == nil || old.URL == "" { // it is new, or was deleted
		return nil
	}
	n := Notice{ObjectID: e.ID, Type: psd2.EventEndpointChanged, FailingSince: e.FailingSince, Percent: e.BudgetUsed(tx.Now)}
	if e.URL != old.URL {
		n.Changed = append(n.Changed, "url")
	}
	if !reflect.DeepEqual(e.Keys, old.Keys) {
		n.Changed = append(n.Changed, "keys")
	}
	if len(n.Changed) == 0 {
		return nil
	}
	return s.notice(tx, n)
}

// notices tells people what they have not been told.
type notices struct{ s *Service }

// Step hands a few notices to the Notifier.
func (n *notices) Step(ctx context.Context, now time.Time) (time.Time, error) {
	var rows []noticeRow
	// In turn: who has many of them does not keep the others' people waiting.
	const unmailed = `SELECT ` + noticeColumns + ` FROM (SELECT ` + noticeColumns + `, ROW_NUMBER() OVER (PARTITION BY merchant_id ORDER BY created_at) AS turn
		FROM notices WHERE mailed_at IS NULL AND created_at > ?) AS untold ORDER BY turn, created_at LIMIT ?`
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
			_, err := tx.Exec(`UPDATE notices SET mailed_at = ? WHERE id = ?`, tx.Now.UnixMicro(), row.ID)
			return err
		})
		if err != nil {
			return now.Add(noticesRetry), fmt.Errorf("webhooks: notices: %w", err)
		}
	}
	return now, nil
}
