package score

import (
	"math"
	"math/rand/v2"
)

// Forest tells what is unlike the rest: it takes fewer random cuts to set an
// odd point apart.
type Forest struct {
	Sample int    `json:"sample"` // points each tree was grown from
	Trees  []Tree `json:"trees"`
}

// Tree is one series of cuts; node 0 is the root.
type Tree []Node

// Node cuts at a value, or is a leaf with how many points ended there.
type Node struct {
	Column int     `json:"c"` // -1: leaf
	Cut    float64 `json:"v,omitempty"`
	Left   int     `json:"l,omitempty"`
	Right  int     `json:"r,omitempty"`
	Size   int     `json:"n,omitempty"`
}

const (
	trees  = 100
	sample = 256
)

// growForest grows from rows of equal length.
func growForest(rows [][]float64, random *rand.Rand) Forest {
	f := Forest{Sample: min(sample, len(rows))}
	depth := int(math.Ceil(math.Log2(float64(max(2, f.Sample)))))
	for range trees {
		picked := make([][]float64, f.Sample)
		for i, n := range random.Perm(len(rows))[:f.Sample] {
			picked[i] = rows[n]
		}
		var t Tree
		t.grow(picked, depth, random)
		f.Trees = append(f.Trees, t)
	}
	return f
}

// grow adds the node for some points and gives its number.
func (t *Tree) grow(rows [][]float64, depth int, random *rand.Rand) int {
	me := len(*t)
	*t = append(*t, Node{Column: -1, Size: len(rows)})
	if depth == 0 || len(rows) < 2 {
		return me
	}
	for _, c := range random.Perm(len(rows[0])) {
		low, high := math.Inf(1), math.Inf(-1)
		for _, r := range rows {
			low, high = min(low, r[c]), max(high, r[c])
		}
		if low == high {
			continue
		}
		cut := low + random.Float64()*(high-low)
		var left, right [][]float64
		for _, r := range rows {
			if r[c] <= cut {
				left = append(left, r)
			} else {
				right = append(right, r)
			}
		}
		if len(right) == 0 {
			continue
		}
		l := t.grow(left, depth-1, random)
		r := t.grow(right, depth-1, random)
		(*t)[me] = Node{Column: c, Cut: cut, Left: l, Right: r}
		return me
	}
	return me
}

// Score is near 1 for what is set apart at once, near 0.5 and below for the
// usual.
func (f *Forest) Score(x []float64) float64 {
	if len(f.Trees) == 0 || f.Sample < 2 {
		return 0
	}
	total := 0.0
	for _, t := range f.Trees {
		total += t.path(x)
	}
	return math.Pow(2, -total/float64(len(f.Trees))/expected(f.Sample))
}

func (t Tree) path(x []float64) float64 {
	at, cuts := 0, 0.0
	for t[at].Column >= 0 {
		if x[t[at].Column] <= t[at].Cut {
			at = t[at].Left
		} else {
			at = t[at].Right
		}
		cuts++
	}
	return cuts + expected(t[at].Size)
}

// expected is the mean number of cuts that set one of n points apart.
func expected(n int) float64 {
	if n < 2 {
		return 0
	}
	const euler = 0.5772156649015329
	m := float64(n - 1)
	return 2*(math.Log(m)+euler) - 2*m/float64(n)
}
