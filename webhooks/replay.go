package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// PrefixReplay is that of a replay's id.
const PrefixReplay = "rpl"

// ReplayWhich says which events of a range are delivered again.
type ReplayWhich string

// The two kinds of replay.
const (
	ReplayMissing ReplayWhich = "missing" // whose delivery failed, or that had none
	ReplayAll     ReplayWhich = "all"     // also those that got there
)

// States of a replay.
const (
	ReplayRunning = "running"
	ReplayDone    = "done" // every delivery is asked for; how they went is with the deliveries
)

// Range chooses events of a merchant's journal. However old they are, the
// journal has them.
type Range struct {
	After  int64      // behind this position; 0: from the beginning
	From   *time.Time // that happened then or later
	Until  *time.Time // that happened before
	Events []string   // of these types or families; empty: what the endpoint wants
	Which  ReplayWhich
}

// Replay is a range that is being, or was, delivered to an endpoint again.
type Replay struct {
	ID         string // rpl_…
	EndpointID string
	Events     []string
	Which      ReplayWhich
	From       *time.Time
	Until      *time.Time
	State      string
	Matched    int64 // deliveries made pending so far
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

const (
	replaysName  = "webhooks.replays" // of the lease
	replaysTTL   = time.Minute
	replaysIdle  = 15 * time.Second
	replaysBatch = 500
	replaysPause = 500 * time.Millisecond
	// replaysAhead is how many due deliveries of an endpoint make a replay wait:
	// what happens now must not stand behind all that ever happened.
	replaysAhead = 500
)

type replayRow struct {
	ID            string `db:"id"`
	EndpointID    string `db:"endpoint_id"`
	Events        string `db:"events"`
	Which         string `db:"which"`
	CreatedFrom   int64  `db:"created_from"`
	CreatedUntil  int64  `db:"created_until"`
	Cursor        int64  `db:"cursor"`
	UntilPosition int64  `db:"until_position"`
	Matched       int64  `db:"matched"`
	State         string `db:"state"`
	CreatedAt     int64  `db:"created_at"`
	UpdatedAt     int64  `db:"updated_at"`
}

const replayColumns = `id, endpoint_id, events, which, created_from, created_until, cursor, until_position, matched, state, created_at, updated_at`

func (r *replayRow) view() (*Replay, error) {
	out := &Replay{
		ID: r.ID, EndpointID: r.EndpointID, Which: ReplayWhich(r.Which), State: r.State,
		Matched: r.Matched, CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC(),
	}
	if r.CreatedFrom > 0 {
		from := time.UnixMicro(r.CreatedFrom).UTC()
		out.From = &from
	}
	if r.CreatedUntil < math.MaxInt64 {
		until := time.UnixMicro(r.CreatedUntil).UTC()
		out.Until = &until
	}
	if err := json.Unmarshal([]byte(r.Events), &out.Events); err != nil {
		return nil, fmt.Errorf("replay %s: %w", r.ID, err)
	}
	return out, nil
}

// ReplayIn begins to deliver a range to an endpoint again. It ends at the
// journal's end of now: later events are delivered anyway. A disabled
// endpoint, or one with a replay that still runs, is a conflict.
func (s *Service) ReplayIn(tx *store.Tx, merchantID, endpointID string, r Range) (*Replay, error) {
	if err := s.open(tx, merchantID, endpointID); err != nil {
		return nil, err
	}
	if err := knownTypes(r.Events); err != nil {
		return nil, err
	}
	if r.Which != ReplayMissing && r.Which != ReplayAll {
		return nil, psd2.Invalid("deliver", "replay_invalid", "deliver must be missing or all")
	}
	row := replayRow{
		ID: psd2.NewID(PrefixReplay, tx.Now, s.deps.Random), EndpointID: endpointID, Which: string(r.Which), Cursor: max(r.After, 0),
		CreatedUntil: math.MaxInt64, State: ReplayRunning, CreatedAt: tx.Now.UnixMicro(), UpdatedAt: tx.Now.UnixMicro(),
	}
	if r.From != nil {
		row.CreatedFrom = max(r.From.UnixMicro(), 0)
	}
	if r.Until != nil {
		row.CreatedUntil = r.Until.UnixMicro()
	}
	if row.CreatedUntil <= row.CreatedFrom {
		return nil, psd2.Invalid("created_until", "replay_invalid", "created_until must lie behind created_from")
	}
	var running int
	err := tx.Get(&running, `SELECT COUNT(*) FROM webhook_replays WHERE endpoint_id = ? AND state = 'running'`, endpointID)
	if err != nil {
		return nil, err
	}
	if running > 0 {
		return nil, psd2.Fail(psd2.CodeConflict, "webhook_replay_running", "a replay to this endpoint is still running; wait for its end")
	}
	if row.UntilPosition, err = tx.LastPosition(); err != nil {
		return nil, err
	}
	events, err := json.Marshal(append([]string{}, r.Events...))
	if err != nil {
		return nil, err
	}
	row.Events = string(events)
	_, err = tx.Exec(`INSERT INTO webhook_replays (`+replayColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, row.ID, row.EndpointID, row.Events, row.Which,
		row.CreatedFrom, row.CreatedUntil, row.Cursor, row.UntilPosition, row.Matched, row.State, row.CreatedAt, row.UpdatedAt)
	if err != nil {
		return nil, err
	}
	return row.view()
}

// Replay finds a replay to one of the merchant's endpoints.
func (s *Service) Replay(ctx context.Context, merchantID, endpointID, id string) (*Replay, error) {
	if _, err := s.Endpoint(ctx, merchantID, endpointID); err != nil {
		return nil, err
	}
	var row replayRow
	err := s.deps.Store.Get(ctx, &row, `SELECT `+replayColumns+` FROM webhook_replays WHERE id = ? AND endpoint_id = ?`, id, endpointID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("webhook_replay")
	}
	if err != nil {
		return nil, fmt.Errorf("read replay: %w", err)
	}
	return row.view()
}

// replays works the running ones off, a batch at a time.
type replays struct {
	s    *Service
	wake chan struct{}
}

// Step does one batch of each running replay.
func (r *replays) Step(ctx context.Context, now time.Time) (time.Time, error) {
	var rows []replayRow
	const running = `SELECT ` + replayColumns + ` FROM webhook_replays WHERE state = 'running' ORDER BY id LIMIT 50`
	if err := r.s.deps.Store.Select(ctx, &rows, running); err != nil {
		return now.Add(time.Second), fmt.Errorf("webhooks: replays: %w", err)
	}
	next := now.Add(replaysIdle)
	for _, row := range rows {
		at, err := r.batch(ctx, row, now)
		if err != nil {
			return now.Add(time.Second), fmt.Errorf("webhooks: replay %s: %w", row.ID, err)
		}
		if at.Before(next) {
			next = at
		}
	}
	return next, nil
}

// batch goes on with one replay and says when it wants to go on again.
func (r *replays) batch(ctx context.Context, row replayRow, now time.Time) (time.Time, error) {
	db := r.s.deps.Store
	var due int
	err := db.Get(ctx, &due, `SELECT COUNT(*) FROM (SELECT 1 FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending' AND next_at <= ? LIMIT ?) AS d`,
		row.EndpointID, now.UnixMicro(), replaysAhead)
	if err != nil || due == replaysAhead {
		return now.Add(replaysPause), err
	}
	merchant, wants, err := r.filter(ctx, row)
	if err != nil {
		return now, err
	}
	places, err := db.PlacesFrom(ctx, merchant, row.Cursor, row.UntilPosition, replaysBatch)
	if err != nil {
		return now, err
	}
	state, cursor := ReplayDone, row.UntilPosition
	if len(places) == replaysBatch {
		state, cursor = ReplayRunning, places[len(places)-1].Position
	}
	matched := int64(0)
	held := false
	err = db.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, held, err = tx.Lease(replaysName, r.s.deps.Holder, replaysTTL); err != nil || !held {
			return err
		}
		var jobs []*job
		for i := range places {
			if p := &places[i]; p.Created >= row.CreatedFrom && p.Created < row.CreatedUntil && wants(p.Type) && p.ObjectID != row.EndpointID {
				jobs = append(jobs, &job{row: newRow(row.EndpointID, p, tx.Now)})
			}
		}
		if _, err = asked.write(tx, jobs); err != nil {
			return err
		}
		if matched, err = again[ReplayWhich(row.Which)].write(tx, jobs); err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE webhook_replays SET cursor = ?, matched = matched + ?, state = ?, updated_at = ? WHERE id = ? AND cursor = ? AND state = 'running'`,
			cursor, matched, state, tx.Now.UnixMicro(), row.ID, row.Cursor)
		if err == nil && n != 1 {
			err = psd2.Fail(psd2.CodeConflict, "lease_lost", "another process works the replay off")
		}
		return err
	})
	switch {
	case err != nil:
		return now, err
	case !held:
		return now.Add(replaysIdle), nil
	case matched > 0:
		r.s.Changed(row.EndpointID)
	}
	if state == ReplayDone {
		return now.Add(replaysIdle), nil
	}
	return now, nil
}

// filter finds out what a replay is about. An endpoint that is gone wants
// nothing any more.
func (r *replays) filter(ctx context.Context, row replayRow) (merchantID string, wants func(eventType string) bool, err error) {
	nothing := func(string) bool { return false }
	var e endpointRow
	err = r.s.deps.Store.Get(ctx, &e, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE id = ?`, row.EndpointID)
	if err != nil || !keeps(EndpointState(e.State)) {
		return e.MerchantID, nothing, err
	}
	chosen, own := []string{}, []string{}
	if err := errors.Join(json.Unmarshal([]byte(row.Events), &chosen), json.Unmarshal([]byte(e.Events), &own)); err != nil {
		return "", nil, err
	}
	if len(chosen) == 0 {
		chosen = own
	}
	return e.MerchantID, func(t string) bool { return merchantEvents[t] && matches(chosen, t) }, nil
}

// again makes deliveries of a replay pending; one that is pending already keeps
// its turn.
var again = map[ReplayWhich]writing{
	ReplayMissing: inserting(makeAgain + ` AND webhook_deliveries.state = 'failed'`),
	ReplayAll:     inserting(makeAgain + ` AND webhook_deliveries.state <> 'pending'`),
}

const makeAgain = `DO UPDATE SET state = 'pending', step = 0, next_at = excluded.next_at WHERE webhook_deliveries.position = excluded.position`

// newRow is a delivery that is made now, after the event's turn: it counts as
// created before it is due, see outOfTurn.
func newRow(endpointID string, p *store.Place, now time.Time) deliveryRow {
	at := now.UnixMicro()
	return deliveryRow{
		EndpointID: endpointID, EventID: p.ID, ObjectID: p.ObjectID, Sequence: p.Sequence, Position: p.Position, Type: p.Type,
		State: string(DeliveryPending), NextAt: at, CreatedAt: at - 1, UpdatedAt: at, Log: "[]",
	}
}

// matches reports whether a type is one of the wanted types and families; of
// none everything is.
func matches(wanted []string, eventType string) bool {
	for _, want := range wanted {
		if family, ok := strings.CutSuffix(want, "*"); want == eventType || ok && strings.HasPrefix(eventType, family) {
			return true
		}
	}
	return len(wanted) == 0
}

// knownTypes refuses a type or family that there is not.
func knownTypes(wanted []string) error {
	for _, want := range wanted {
		known := func(t string) bool {
			family, ok := strings.CutSuffix(want, ".*")
			return t == want || ok && strings.HasPrefix(t, family+".")
		}
		if !slices.ContainsFunc(psd2.MerchantEvents, known) {
			return psd2.Invalid("events", "unknown_event_type", "there is no such type of event")
		}
	}
	return nil
}
