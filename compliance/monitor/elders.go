package monitor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// othersReach is how far back different players of a shared thing are counted.
const othersReach = 31 * 24 * time.Hour

// elders are what each player did last with a shared thing before a place, of
// those of the database, oldest first. Thousands may share an address, and
// finding them looks at all they did: so it is done once for all of a batch.
type elders struct {
	from int64
	cut  place
	list []rules.Observation
}

// group is whose last deed an elder is.
type group struct {
	player, merchant string
	kind             rules.Kind
	paid             bool
}

func groupOf(o rules.Observation) group {
	return group{o.Player, o.Merchant, o.Kind, o.Status == rules.Accepted || o.Status == rules.Settled}
}

// before puts before a list that was cut, of what came before a place, what each
// of those did last that are not in it.
func (v *view) before(e *entity, key string, list []rules.Observation, to place) ([]rules.Observation, error) {
	if e.others == "" || len(list) < e.limit {
		return list, nil
	}
	cut, from := place{list[0].At, list[0].ID}, to.at-othersReach.Microseconds()
	if cut.at < from {
		return list, nil
	}
	found, err := v.eldersOf(e, key, from, cut, to)
	if err != nil {
		return nil, err
	}
	there := make(map[group]bool, len(list))
	for _, o := range list {
		there[groupOf(o)] = true
	}
	var old []rules.Observation
	for _, o := range found {
		if p := (place{o.At, o.ID}); p.at >= from && p.compare(cut) < 0 && !there[groupOf(o)] {
			old = append(old, o)
		}
	}
	var last []rules.Observation // newest first
	for _, o := range slices.Backward(v.overlay(old, e, key, from, cut)) {
		if g := groupOf(o); !there[g] {
			there[g], last = true, append(last, o)
		}
	}
	slices.Reverse(last)
	return append(last, list...), nil
}

// eldersOf reads the elders before a cut, or takes those before a later one: whose
// last deed lies between the two is in the list that begins at this cut and
// reaches beyond that one. As many as the list is long may be, so twice as many
// are read as are needed.
func (v *view) eldersOf(e *entity, key string, from int64, cut, to place) ([]rules.Observation, error) {
	known, ok := v.elders[e.over+"/"+key]
	if ok && known.from <= from && cut.compare(known.cut) <= 0 && known.cut.compare(to) <= 0 {
		return known.list, nil
	}
	known = elders{from: from - windowMargin, cut: cut}
	args, without := []any{key, known.from, cut.at, cut.at, cut.id}, ""
	if len(v.fresh) > 0 {
		without = ` AND id NOT IN (?` + strings.Repeat(`,?`, len(v.fresh)-1) + `)`
		for id := range v.fresh {
			args = append(args, id)
		}
	}
	var rows []remembered
	if err := v.Select(&rows, fmt.Sprintf(e.others, without), append(args, 2*e.limit)...); err != nil {
		return nil, err
	}
	known.list = v.past.keep(rows)
	v.elders[e.over+"/"+key] = known
	return known.list, nil
}
