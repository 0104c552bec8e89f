package rules

import (
	"cmp"
	"math"
	"slices"
)

// take makes a number of the observations a measure picked, newest first.
type take func(s *scope, m *measure, picked []*Observation) float64

// takes are the words a feature may use.
var takes = map[string]take{
	"count":         func(_ *scope, _ *measure, p []*Observation) float64 { return float64(len(p)) },
	"sum":           func(_ *scope, _ *measure, p []*Observation) float64 { return float64(sum(p)) },
	"max":           takeMax,
	"min":           takeMin,
	"mean":          takeMean,
	"sd":            takeSD,
	"players":       distinct(func(o *Observation) string { return o.Player }),
	"ibans":         distinct(func(o *Observation) string { return o.IBAN }),
	"holders":       distinct(func(o *Observation) string { return o.Holder }),
	"merchants":     distinct(func(o *Observation) string { return o.Merchant }),
	"other_players": takeOthers,
	"gap":           takeGap,
	"age":           takeAge,
	"last":          takeLast,
	"row":           takeRow,
	"run":           func(_ *scope, _ *measure, p []*Observation) float64 { return float64(run(p)) },
	"run_ratio":     takeRunRatio,
	"run_hours":     takeRunHours,
	"rise":          func(_ *scope, _ *measure, p []*Observation) float64 { n, _ := rise(p); return float64(n) },
	"rise_ratio":    func(_ *scope, _ *measure, p []*Observation) float64 { _, r := rise(p); return r },
}

func sum(p []*Observation) (total int64) {
	for _, o := range p {
		total += o.Amount
	}
	return total
}

func takeMax(_ *scope, _ *measure, p []*Observation) float64 {
	var most int64
	for _, o := range p {
		most = max(most, o.Amount)
	}
	return float64(most)
}

func takeMin(_ *scope, _ *measure, p []*Observation) float64 {
	if len(p) == 0 {
		return 0
	}
	return float64(slices.MinFunc(p, func(a, b *Observation) int { return cmp.Compare(a.Amount, b.Amount) }).Amount)
}

func takeMean(_ *scope, _ *measure, p []*Observation) float64 {
	if len(p) == 0 {
		return 0
	}
	return float64(sum(p)) / float64(len(p))
}

// takeSD is the population's standard deviation.
func takeSD(s *scope, m *measure, p []*Observation) float64 {
	mean, squares := takeMean(s, m, p), 0.0
	for _, o := range p {
		d := float64(o.Amount) - mean
		squares += d * d
	}
	if len(p) == 0 {
		return 0
	}
	return math.Sqrt(squares / float64(len(p)))
}

// distinct counts different keys; an empty one is not known and not counted.
func distinct(key func(*Observation) string) take {
	return func(_ *scope, _ *measure, p []*Observation) float64 {
		var few [16]string
		seen := few[:0]
		for _, o := range p {
			if k := key(o); k != "" && !slices.Contains(seen, k) {
				seen = append(seen, k)
			}
		}
		return float64(len(seen))
	}
}

func takeOthers(s *scope, _ *measure, p []*Observation) float64 {
	var few [16]string
	seen := few[:0]
	for _, o := range p {
		if o.Player != "" && o.Player != s.self.Player && !slices.Contains(seen, o.Player) {
			seen = append(seen, o.Player)
		}
	}
	return float64(len(seen))
}

const hourMicros = 3600 * 1e6

// past drops the transaction itself.
func past(s *scope, p []*Observation) []*Observation {
	if len(p) > 0 && p[0] == &s.self {
		return p[1:]
	}
	return p
}

// takeGap is the hours since the one before, 0 when there is none.
func takeGap(s *scope, _ *measure, p []*Observation) float64 {
	if p = past(s, p); len(p) == 0 {
		return 0
	}
	return float64(s.self.At-p[0].At) / hourMicros
}

// takeAge is the hours since the first, 0 when there is none.
func takeAge(s *scope, _ *measure, p []*Observation) float64 {
	if len(p) == 0 {
		return 0
	}
	return float64(s.self.At-p[len(p)-1].At) / hourMicros
}

// takeLast is the amount of the one before.
func takeLast(s *scope, _ *measure, p []*Observation) float64 {
	if p = past(s, p); len(p) == 0 {
		return 0
	}
	return float64(p[0].Amount)
}

// takeRow counts how many came in a row with nothing of another kind between.
func takeRow(s *scope, m *measure, p []*Observation) float64 {
	if len(p) == 0 || p[0] != &s.self {
		return 0
	}
	n, list := 1, s.list(m.over)
	for i := len(list) - 1; i >= 0; i-- {
		o := &list[i]
		if o.ID == s.self.ID || !o.Status.counts() {
			continue
		}
		if !m.wants(o, s) {
			break
		}
		n++
	}
	return float64(n)
}

// run is how many deposits in a row, ending with the newest, each exceed the
// one before.
func run(p []*Observation) int {
	if len(p) == 0 {
		return 0
	}
	n := 1
	for n < len(p) && p[n-1].Amount > p[n].Amount {
		n++
	}
	return n
}

// takeRunRatio is how many times a run's first amount its last one is.
func takeRunRatio(_ *scope, _ *measure, p []*Observation) float64 {
	n := run(p)
	if n == 0 {
		return 0
	}
	return share(p[0].Amount, p[n-1].Amount)
}

// takeRunHours is how long a run took.
func takeRunHours(_ *scope, _ *measure, p []*Observation) float64 {
	n := run(p)
	if n == 0 {
		return 0
	}
	return float64(p[0].At-p[n-1].At) / hourMicros
}

// riseReach bounds how far back rise looks.
const riseReach = 32

// rise is the longest series of growing amounts that ends with the newest,
// passing over others, and how many times its first the last one is; of equally
// long ones the steepest.
func rise(p []*Observation) (n int, ratio float64) {
	p = p[:min(len(p), riseReach)]
	if len(p) == 0 {
		return 0, 0
	}
	var length [riseReach]int // of the longest series from here to the newest
	best := 0
	for i, o := range p {
		if i == 0 {
			length[0] = 1
			continue
		}
		for j := range i {
			if length[j] > 0 && o.Amount < p[j].Amount {
				length[i] = max(length[i], length[j]+1)
			}
		}
		if length[i] > length[best] || length[i] == length[best] && o.Amount < p[best].Amount {
			best = i
		}
	}
	return length[best], share(p[0].Amount, p[best].Amount)
}

func share(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
