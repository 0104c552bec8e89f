package score

import "math"

// Logistic is a logistic regression over standardised columns, in which rare
// outcomes weigh as much as common ones.
type Logistic struct {
	Bias    float64   `json:"bias"`
	Weights []float64 `json:"weights"`
	Mean    []float64 `json:"mean"`
	SD      []float64 `json:"sd"`
}

const (
	rounds = 400
	rate   = 0.3
	ridge  = 1e-3
)

// fitLogistic fits by gradient descent with momentum; deterministic.
func fitLogistic(rows [][]float64, bad []bool) *Logistic {
	width := len(rows[0])
	m := &Logistic{Weights: make([]float64, width)}
	m.Mean, m.SD = standard(rows)
	n := 0.0
	for _, b := range bad {
		if b {
			n++
		}
	}
	weightBad, weightGood := 0.5/n, 0.5/(float64(len(rows))-n)
	speed := make([]float64, width+1)
	x := make([]float64, width)
	for range rounds {
		slope := make([]float64, width+1)
		for i, r := range rows {
			m.standardise(r, x)
			err, weight := m.chance(x), weightGood
			if bad[i] {
				err, weight = err-1, weightBad
			}
			for c, v := range x {
				slope[c] += weight * err * v
			}
			slope[width] += weight * err
		}
		for c := range m.Weights {
			speed[c] = 0.9*speed[c] - rate*(slope[c]+ridge*m.Weights[c])
			m.Weights[c] += speed[c]
		}
		speed[width] = 0.9*speed[width] - rate*slope[width]
		m.Bias += speed[width]
	}
	return m
}

// standard gives mean and deviation of every column; a column that never
// changes has deviation 0 and says nothing.
func standard(rows [][]float64) (mean, sd []float64) {
	width := len(rows[0])
	mean, sd = make([]float64, width), make([]float64, width)
	for _, r := range rows {
		for c, v := range r {
			mean[c] += squash(v) / float64(len(rows))
		}
	}
	for _, r := range rows {
		for c, v := range r {
			d := squash(v) - mean[c]
			sd[c] += d * d / float64(len(rows))
		}
	}
	for c := range sd {
		if sd[c] = math.Sqrt(sd[c]); sd[c] < 1e-9 { // rounding
			sd[c] = 0
		}
	}
	return mean, sd
}

// squash tames amounts: the step from 10 to 100 euro counts like the one from
// 100 to 1,000.
func squash(v float64) float64 { return math.Copysign(math.Log1p(math.Abs(v)), v) }

func (m *Logistic) standardise(row, to []float64) {
	for c, v := range row {
		if to[c] = 0; m.SD[c] > 0 {
			to[c] = max(-8, min(8, (squash(v)-m.Mean[c])/m.SD[c]))
		}
	}
}

func (m *Logistic) chance(x []float64) float64 {
	z := m.Bias
	for c, v := range x {
		z += m.Weights[c] * v
	}
	return 1 / (1 + math.Exp(-z))
}

// Score is 0..1, and by how much each column moved its log-odds.
func (m *Logistic) Score(row []float64) (chance float64, moved []float64) {
	x := make([]float64, len(row))
	m.standardise(row, x)
	moved = make([]float64, len(row))
	for c, v := range x {
		moved[c] = m.Weights[c] * v
	}
	return m.chance(x), moved
}
