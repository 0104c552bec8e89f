package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// DeliveryState says how far one event has got to one endpoint.
type DeliveryState string

// States of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"   // will be tried at NextAt
	DeliveryDelivered DeliveryState = "delivered" // answered 2xx
	DeliveryFailed    DeliveryState = "failed"    // given up
)

// Delivery is one event for one endpoint and what became of it.
type Delivery struct {
	ID         string // dlv_…, unique within its endpoint
	EndpointID string
	EventID    string
	ObjectID   string
	Sequence   int64
	Type       string
	State      DeliveryState
	Attempts   int64
	NextAt     *time.Time // when pending
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Tries      []Try // oldest first, the last twenty
}

// Try is one request to the endpoint.
type Try struct {
	At     time.Time     `json:"at"`
	Took   time.Duration `json:"took"`
	Status int           `json:"status,omitempty"` // of the answer; 0: there was none
	Error  string        `json:"error,omitempty"`  // why it failed, one of a few words
	// Answer is the beginning of a failure's body, printable ASCII only. It is
	// sealed at rest: an endpoint may echo what it was sent.
	Answer string `json:"-"`
	Sealed []byte `json:"answer,omitempty"`
}

// maxTries bounds the log of a delivery that is resent again and again.
const maxTries = 20

type deliveryRow struct {
	EndpointID string `db:"endpoint_id"`
	EventID    string `db:"event_id"`
	ObjectID   string `db:"object_id"`
	Sequence   int64  `db:"sequence"`
	Position   int64  `db:"position"`
	Type       string `db:"type"`
	State      string `db:"state"`
	Attempts   int64  `db:"attempts"`
	Step       int64  `db:"step"`
	NextAt     int64  `db:"next_at"`
	CreatedAt  int64  `db:"created_at"`
	UpdatedAt  int64  `db:"updated_at"`
	Log        string `db:"log"`
	Asked      int64  `db:"asked"` // times it was asked for while it was pending, when this was read
}

const deliveryColumns = `endpoint_id, event_id, object_id, sequence, position, type, state, attempts, step, next_at, created_at, updated_at, log`

func (r *deliveryRow) all(to []any) []any {
	return append(to, r.EndpointID, r.EventID, r.ObjectID, r.Sequence, r.Position, r.Type, r.State, r.Attempts, r.Step,
		r.NextAt, r.CreatedAt, r.UpdatedAt, r.Log)
}

func (r *deliveryRow) key(to []any) []any { return append(to, r.EndpointID, r.EventID) }

// outcome is what a try changes, behind the key.
func (r *deliveryRow) outcome(to []any) []any {
	return append(to, r.EndpointID, r.EventID, r.State, r.Attempts, r.Step, r.NextAt, r.UpdatedAt, r.Log)
}

// chunks are the numbers of rows one statement writes: few, so that prepared
// statements are few.
var chunks = []int{64, 16, 4, 1}

// writing is a statement that writes rows, as many as there are.
type writing struct {
	texts   map[int]string // by the number of rows
	columns func(*deliveryRow, []any) []any
}

func newWriting(before, row, after string, columns func(*deliveryRow, []any) []any) writing {
	w := writing{map[int]string{}, columns}
	for _, n := range chunks {
		w.texts[n] = before + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + after
	}
	return w
}

// inserting makes rows; conflict says what of those that are there already.
func inserting(conflict string) writing {
	return newWriting(`INSERT INTO webhook_deliveries (`+deliveryColumns+`) VALUES `, `(?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		` ON CONFLICT (endpoint_id, event_id) `+conflict, (*deliveryRow).all)
}

var (
	made = inserting(`DO NOTHING`)
	// attempts only grows: of two processes that tried at once the first counts.
	tried = newWriting(`UPDATE webhook_deliveries SET state = v.column3, attempts = v.column4, step = v.column5, next_at = v.column6,
		updated_at = v.column7, log = v.column8 FROM (VALUES `,
		`(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT))`,
		`) AS v WHERE endpoint_id = v.column1 AND event_id = v.column2 AND state = 'pending' AND attempts < v.column4`, (*deliveryRow).outcome)
	asked = newWriting(`UPDATE webhook_deliveries SET asked = asked + 1 FROM (VALUES `, `(CAST(? AS TEXT), CAST(? AS TEXT))`,
		`) AS v WHERE endpoint_id = v.column1 AND event_id = v.column2 AND state = 'pending'`, (*deliveryRow).key)
)

// write writes the deliveries and counts the rows it changed.
func (w writing) write(tx *store.Tx, jobs []*job) (written int64, err error) {
	args := make([]any, 0, 13*64)
	for _, size := range chunks {
		for ; len(jobs) >= size; jobs = jobs[size:] {
			args = args[:0]
			for _, j := range jobs[:size] {
				args = w.columns(&j.row, args)
			}
			n, err := tx.Exec(w.texts[size], args...)
			if err != nil {
				return written, err
			}
			written += n
		}
	}
	return written, nil
}

// Deliveries lists an endpoint's deliveries, newest event first. next is the
// cursor of the following page, empty on the last.
func (s *Service) Deliveries(ctx context.Context, merchantID, endpointID, cursor string, limit int) (list []Delivery, next string, err error) {
	if _, err := s.Endpoint(ctx, merchantID, endpointID); err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > 100 {
		limit = 25
	}
	before := "f" // after every evt_…
	if cursor != "" {
		if before = eventOf(cursor); before == "" {
			return nil, "", psd2.Invalid("cursor", "cursor_invalid", "the cursor is not one of ours")
		}
	}
	var rows []deliveryRow
	err = s.deps.Store.Select(ctx, &rows, `SELECT `+deliveryColumns+` FROM webhook_deliveries
		WHERE endpoint_id = ? AND event_id < ? ORDER BY event_id DESC LIMIT ?`, endpointID, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = deliveryID(rows[limit-1].EventID)
	}
	for _, row := range rows {
		d, err := s.view(row)
		if err != nil {
			return nil, "", err
		}
		list = append(list, d)
	}
	return list, next, nil
}

func (s *Service) view(r deliveryRow) (Delivery, error) {
	d := Delivery{
		ID: deliveryID(r.EventID), EndpointID: r.EndpointID, EventID: r.EventID, ObjectID: r.ObjectID, Sequence: r.Sequence, Type: r.Type,
		State: DeliveryState(r.State), Attempts: r.Attempts,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC(),
	}
	if d.State == DeliveryPending {
		at := time.UnixMicro(r.NextAt).UTC()
		d.NextAt = &at
	}
	if err := json.Unmarshal([]byte(r.Log), &d.Tries); err != nil {
		return d, fmt.Errorf("log of delivery: %w", err)
	}
	for i, try := range d.Tries {
		if try.Sealed == nil {
			continue
		}
		plain, err := s.deps.Store.UnsealShared("webhook_deliveries", sealedRow(r.EndpointID, r.EventID), "log", try.Sealed)
		if err != nil {
			return d, err
		}
		d.Tries[i].Answer, d.Tries[i].Sealed = string(plain), nil
	}
	return d, nil
}

func sealedRow(endpointID, eventID string) string { return endpointID + "/" + eventID }

// deliveryID names a delivery within its endpoint by its event, so that it
// needs no index of its own.
func deliveryID(eventID string) string {
	return psd2.PrefixDelivery + strings.TrimPrefix(eventID, psd2.PrefixEvent)
}

func eventOf(deliveryID string) string {
	if !psd2.IsID(psd2.PrefixDelivery, deliveryID) {
		return ""
	}
	return psd2.PrefixEvent + strings.TrimPrefix(deliveryID, psd2.PrefixDelivery)
}

// Resend is ResendIn in a transaction of its own.
func (s *Service) Resend(ctx context.Context, merchantID, endpointID, delivery string) error {
	err := s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := s.ResendIn(tx, merchantID, endpointID, delivery)
		return err
	})
	if err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	s.Changed(endpointID)
	return nil
}

// addTry appends to a row's log.
func (r *deliveryRow) addTry(t Try) {
	if r.Log == "[]" { // the usual case, without decoding
		one, _ := json.Marshal(t)
		r.Log = "[" + string(one) + "]"
		return
	}
	var tries []Try
	if err := json.Unmarshal([]byte(r.Log), &tries); err != nil {
		tries = nil
	}
	tries = append(tries, t)
	if len(tries) > maxTries {
		tries = tries[len(tries)-maxTries:]
	}
	text, _ := json.Marshal(tries)
	r.Log = string(text)
}
