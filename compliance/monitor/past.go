package monitor

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// past keeps observations read before, so that a shared address's hundreds are
// not read whole at every judgement. A row changes with its revision, or when
// its person is erased (then it is bare): both are read every time. It is safe
// for concurrent use.
type past struct {
	mu         sync.Mutex
	young, old map[string]remembered // by id; old are dropped when young is full
}

type remembered struct {
	Revision int64 `db:"revision"`
	rules.Observation
}

// pastHolds is how many are kept young, and how many old.
const pastHolds = 8192

// known finds an observation that still stands as the mark says.
func (p *past) known(m mark) (rules.Observation, bool) {
	r, ok := p.young[m.ID]
	if !ok {
		if r, ok = p.old[m.ID]; ok {
			p.put(r)
		}
	}
	return r.Observation, ok && r.Revision == m.Revision && bare(&r.Observation) == m.Bare
}

func bare(o *rules.Observation) bool { return o.Device == "" && o.IP == "" && !o.Placed }

func (p *past) put(r remembered) {
	if p.young == nil || len(p.young) >= pastHolds {
		p.young, p.old = make(map[string]remembered, 64), p.young
	}
	p.young[r.ID] = r
}

func (p *past) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.young, id)
	delete(p.old, id)
}

// mark is what says whether a remembered observation still stands.
type mark struct {
	ID       string `db:"id"`
	Revision int64  `db:"revision"`
	Bare     bool   `db:"bare"`
}

const (
	marked   = `SELECT id, revision, CASE WHEN device_key = '' AND ip_key = '' AND placed = 0 THEN 1 ELSE 0 END AS bare FROM monitor_transactions`
	observed = `SELECT id, revision, at, kind, status, amount_minor, merchant_id, player_key, iban_key, iban_country, device_key, ip_key, holder_key,
		gambling, placed, lat, lon FROM monitor_transactions`
	one = observed + ` WHERE id = ?`

	upToHere = ` AND at >= ? AND at <= ? AND NOT (at = ? AND id >= ?) ORDER BY at DESC, id DESC LIMIT ?`
	fromHere = ` AND decided = 1 AND at >= ? AND NOT (at = ? AND id <= ?)`
)

// entity is one of those whose past is read: its key in a fact, and how many
// of its transactions are looked at. What a player or person did is needed
// whole; of shared things the newest will do, and of those before them what
// each player did last: many small transactions of one hide no other.
type entity struct {
	over          string
	key           func(*rules.Fact) string
	limit         int
	marks, wholes string // queries, newest first
	later         string // and of what has been judged after a place, oldest first
	enqueue       string // marks that to be judged again
	others        string // of shared things: what each player did last before a place
}

const (
	ownLimit    = 4096
	sharedLimit = 256
)

func entityOf(over, column string, limit int, key func(*rules.Fact) string) entity {
	where := ` WHERE ` + column + ` = ?`
	if limit == sharedLimit {
		where += ` AND ` + column + ` <> ''` // as its index says
	}
	e := entity{
		over: over, key: key, limit: limit, marks: marked + where + upToHere, wholes: observed + where + upToHere,
		later:   `SELECT id, at FROM monitor_transactions` + where + fromHere + ` ORDER BY at, id LIMIT ?`,
		enqueue: `UPDATE monitor_transactions SET decided = 0` + where + fromHere,
	}
	if limit == sharedLimit {
		e.others = observed + ` WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY player_key, merchant_id, kind,
			CASE WHEN status IN ('accepted', 'settled') THEN 1 ELSE 0 END ORDER BY at DESC, id DESC) AS nth FROM monitor_transactions` + where +
			` AND at >= ? AND at <= ? AND NOT (at = ? AND id >= ?)%s) AS theirs WHERE nth = 1) ORDER BY at DESC, id DESC LIMIT ?`
	}
	return e
}

// entities are in the order of lists.
var entities = [...]entity{
	entityOf("player", "player_key", ownLimit, func(f *rules.Fact) string { return f.Player }),
	entityOf("person", "person_key", ownLimit, func(f *rules.Fact) string { return f.Person }),
	entityOf("iban", "iban_key", sharedLimit, func(f *rules.Fact) string { return f.IBAN }),
	entityOf("device", "device_key", sharedLimit, func(f *rules.Fact) string { return f.Device }),
	entityOf("network", "network_key", sharedLimit, func(f *rules.Fact) string { return f.Network }),
}

// lists are a history's, in the order of entities.
func lists(h *rules.History) [len(entities)]*[]rules.Observation {
	return [...]*[]rules.Observation{&h.Player, &h.Person, &h.IBAN, &h.Device, &h.Network}
}

// place is where in the order of time and id something stands.
type place struct {
	at int64
	id string
}

func placeOf(f *rules.Fact) place { return place{f.At.UnixMicro(), f.ID} }

func (p place) compare(o place) int { return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.id, o.id)) }

// read lists an entity's observations from a moment to before a place, oldest
// first: the newest, up to a limit.
func (p *past) read(r outside, e *entity, key string, from int64, to place, limit int) ([]rules.Observation, error) {
	args := []any{key, from, to.at, to.at, to.id, limit}
	var marks []mark
	if err := r.Select(&marks, e.marks, args...); err != nil {
		return nil, err
	}
	out, missing := p.recall(marks)
	if len(missing) > len(marks)/8+1 {
		var rows []remembered
		if err := r.Select(&rows, e.wholes, args...); err != nil {
			return nil, err
		}
		return p.keep(rows), nil
	}
	for _, i := range missing {
		var row remembered
		err := r.Get(&row, one, marks[len(marks)-1-i].ID)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if err == nil {
			out[i] = p.keep([]remembered{row})[0]
		}
	}
	return slices.DeleteFunc(out, func(o rules.Observation) bool { return o.ID == "" }), nil
}

// recall turns marks, newest first, into observations, oldest first, and says
// which of these are not known.
func (p *past) recall(marks []mark) (out []rules.Observation, missing []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out = make([]rules.Observation, len(marks))
	for i := range out {
		o, ok := p.known(marks[len(marks)-1-i])
		if ok {
			out[i] = o
		} else {
			missing = append(missing, i)
		}
	}
	return out, missing
}

// keep remembers rows, newest first, and gives them oldest first.
func (p *past) keep(rows []remembered) []rules.Observation {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]rules.Observation, len(rows))
	for i, r := range rows {
		p.put(r)
		out[len(rows)-1-i] = r.Observation
	}
	return out
}

// view is the past as some facts see it that are not stored yet: what the
// database holds, with them in their places. What several look at is read once.
type view struct {
	outside
	past    *past
	fresh   map[string]*rules.Fact
	windows map[string]window
	elders  map[string]elders
}

// window is what was read of one entity.
type window struct {
	from  int64
	to    place
	whole bool // there is no more in it
	list  []rules.Observation
}

func (m *Monitor) view(ctx context.Context) *view {
	return &view{outside: outside{ctx, m.deps.Store}, past: &m.past, fresh: map[string]*rules.Fact{}, windows: map[string]window{}, elders: map[string]elders{}}
}

// history is the past of everyone in a fact, as far back as rules look over
// each kind of entity.
func (v *view) history(reach func(over string) time.Duration, f *rules.Fact) (*rules.History, error) {
	var h rules.History
	to := lists(&h)
	for i := range entities {
		e := &entities[i]
		key := e.key(f)
		if key == "" {
			continue
		}
		list, err := v.of(e, key, f.At.Add(-reach(e.over)).UnixMicro(), placeOf(f))
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		if *to[i], err = v.before(e, key, list, placeOf(f)); err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
	}
	return &h, nil
}

// windowMargin is how much earlier a window begins for the others of a batch,
// and windowMore how many more are read.
const (
	windowMargin = int64(time.Hour / time.Microsecond)
	windowMore   = 32
)

// of is one entity's past.
func (v *view) of(e *entity, key string, from int64, to place) ([]rules.Observation, error) {
	if len(v.fresh) == 0 { // nobody else will look
		return v.past.read(v.outside, e, key, from, to, e.limit)
	}
	need := e.limit + len(v.fresh) // some of them may be taken out again
	w, ok := v.windows[e.over+"/"+key]
	list, covered := w.cut(from, to, need)
	if !ok || !covered {
		w = window{from: from - windowMargin, to: to}
		var err error
		if w.list, err = v.past.read(v.outside, e, key, w.from, to, need+windowMore); err != nil {
			return nil, err
		}
		w.whole = len(w.list) < need+windowMore
		v.windows[e.over+"/"+key] = w
		list, _ = w.cut(from, to, need)
	}
	return v.overlay(list, e, key, from, to), nil
}

// cut gives the part of a window from a moment to before a place, and whether
// it holds as many as are needed, or all.
func (w window) cut(from int64, to place, need int) ([]rules.Observation, bool) {
	first, _ := slices.BinarySearchFunc(w.list, place{from, ""}, against)
	last, _ := slices.BinarySearchFunc(w.list, to, against)
	list := w.list[min(first, last):last]
	return list, w.from <= from && to.compare(w.to) <= 0 && (w.whole || len(list) >= need)
}

func against(o rules.Observation, p place) int { return place{o.At, o.ID}.compare(p) }

// overlay puts the facts not stored yet into their places.
func (v *view) overlay(list []rules.Observation, e *entity, key string, from int64, to place) []rules.Observation {
	out := make([]rules.Observation, 0, len(list)+len(v.fresh))
	for i := range list {
		if v.fresh[list[i].ID] == nil {
			out = append(out, list[i])
		}
	}
	for _, f := range v.fresh {
		if at := placeOf(f); e.key(f) == key && at.at >= from && at.compare(to) < 0 {
			i, _ := slices.BinarySearchFunc(out, at, against)
			out = slices.Insert(out, i, f.Observe())
		}
	}
	return out[max(0, len(out)-e.limit):]
}

// outside reads what is committed, outside a transaction.
type outside struct {
	ctx context.Context
	db  *store.DB
}

// Select reads rows.
func (o outside) Select(dst any, query string, args ...any) error {
	return o.db.Select(o.ctx, dst, query, args...)
}

// Get reads one row.
func (o outside) Get(dst any, query string, args ...any) error {
	return o.db.Get(o.ctx, dst, query, args...)
}
