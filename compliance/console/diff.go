package console

import "strings"

// diffLine is a line of a change: gone, new, or "" for what stands around it.
type diffLine struct{ Kind, Text string }

// context is how many unchanged lines stand around a change.
const contextLines = 2

// diff compares two texts line by line (longest common subsequence) and keeps
// what changed with a little around it. Texts are catalogues: some hundred
// lines.
func diff(before, after string) []diffLine {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var all []diffLine
	for _, s := range a[:head] {
		all = append(all, diffLine{"", s})
	}
	all = append(all, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, s := range a[len(a)-tail:] {
		all = append(all, diffLine{"", s})
	}
	return around(all)
}

// middle compares what differs at both ends.
func middle(a, b []string) []diffLine {
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []diffLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, diffLine{"", a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, diffLine{"gone", a[i]})
			i++
		default:
			out = append(out, diffLine{"new", b[j]})
			j++
		}
	}
	return out
}

// around drops unchanged lines that are far from any change; "…" stands for
// them.
func around(all []diffLine) []diffLine {
	keep := make([]bool, len(all))
	for i, l := range all {
		if l.Kind == "" {
			continue
		}
		for k := max(i-contextLines, 0); k < min(i+contextLines+1, len(all)); k++ {
			keep[k] = true
		}
	}
	var out []diffLine
	for i, l := range all {
		switch {
		case keep[i]:
			out = append(out, l)
		case len(out) > 0 && out[len(out)-1].Kind != "skip":
			out = append(out, diffLine{"skip", "…"})
		}
	}
	if n := len(out); n > 0 && out[n-1].Kind == "skip" {
		out = out[:n-1]
	}
	return out
}
