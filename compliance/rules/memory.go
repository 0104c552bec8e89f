package rules

import (
	"slices"
	"time"
)

// Memory keeps the past in memory: for tests, recorded streams and measuring.
// It is not safe for concurrent use.
type Memory struct {
	lists map[string][]Observation // by entity: "player/…"
	facts map[string]*Fact         // newest revision, by id
	hours map[string]map[int64]*Hour
}

// NewMemory makes an empty past.
func NewMemory() *Memory {
	return &Memory{lists: map[string][]Observation{}, facts: map[string]*Fact{}, hours: map[string]map[int64]*Hour{}}
}

// entities are the lists a fact is in.
func entities(f *Fact) [5]string {
	return [5]string{key("player", f.Player), key("person", f.Person), key("iban", f.IBAN), key("device", f.Device), key("network", f.Network)}
}

func key(kind, value string) string {
	if value == "" {
		return ""
	}
	return kind + "/" + value
}

// Add remembers a fact. It reports false for one that is known already, or
// older than what is known of it.
func (m *Memory) Add(f *Fact) bool {
	old := m.facts[f.ID]
	if old != nil {
		if old.Revision >= f.Revision {
			return false
		}
		m.forget(old)
	}
	m.facts[f.ID] = f
	o := f.Observe()
	for _, e := range entities(f) {
		if e != "" {
			m.lists[e] = insert(m.lists[e], o)
		}
	}
	m.count(f, 1)
	return true
}

// forget takes an older revision out: its time, account or status may have
// changed.
func (m *Memory) forget(f *Fact) {
	for _, e := range entities(f) {
		if e != "" {
			m.lists[e] = slices.DeleteFunc(m.lists[e], func(o Observation) bool { return o.ID == f.ID })
		}
	}
	m.count(f, -1)
}

func (m *Memory) count(f *Fact, sign int64) {
	of := m.hours[f.Merchant]
	if of == nil {
		of = map[int64]*Hour{}
		m.hours[f.Merchant] = of
	}
	n := f.At.Unix() / 3600
	h := of[n]
	if h == nil {
		h = &Hour{Hour: n}
		of[n] = h
	}
	h.Count(f, sign)
}

// Count adds a fact to its hour, or takes it out with sign -1.
func (h *Hour) Count(f *Fact, sign int64) {
	switch {
	case f.Kind == Deposit && f.Status == Failed:
		h.Failed += sign
	case f.Kind == Deposit && f.Status.counts():
		h.Deposits += sign
		h.Sum += sign * f.Amount
	case f.Kind == Refund && f.Status.counts():
		h.Refunds += sign * f.Amount
	}
}

// History is the past of a fact.
func (m *Memory) History(f *Fact) *History {
	at := f.At.UnixMicro()
	var lists [5][]Observation
	for i, e := range entities(f) {
		if e != "" {
			lists[i] = upTo(m.lists[e], at, f.ID)
		}
	}
	return &History{Player: lists[0], Person: lists[1], IBAN: lists[2], Device: lists[3], Network: lists[4]}
}

// MerchantHours is a merchant's past up to the hour that ends at a moment.
func (m *Memory) MerchantHours(merchant string, end time.Time) Hours {
	last := end.Unix()/3600 - 1
	var out Hours
	of := m.hours[merchant]
	for n := last - weekHours + 1; n <= last; n++ {
		if h := of[n]; h != nil {
			out = append(out, *h)
		}
	}
	for day := range int64(28) {
		n := last - 24*(day+1)
		if h := of[n]; h != nil && n <= last-weekHours {
			out = append(out, *h)
		}
	}
	return out
}

// Later lists facts after f that share an entity with it, oldest first: those
// who were judged without f if f came late.
func (m *Memory) Later(f *Fact) []*Fact {
	at := f.At.UnixMicro()
	seen := map[string]bool{f.ID: true}
	var out []*Fact
	for _, e := range entities(f) {
		list := m.lists[e]
		for _, o := range list[len(upTo(list, at, f.ID)):] {
			if !seen[o.ID] {
				seen[o.ID] = true
				out = append(out, m.facts[o.ID])
			}
		}
	}
	slices.SortFunc(out, func(a, b *Fact) int { return compare(a.Observe(), b.At.UnixMicro(), b.ID) })
	return out
}
