package rules

// Rules lists what the engine judges by, in its profile.
func (e *Engine) Rules() []Described {
	out := make([]Described, len(e.rules))
	for i, r := range e.rules {
		d := Described{Rule: r.Rule, Version: r.version}
		d.Grade = r.grades[0].Grade
		d.Lower = nil
		for _, g := range r.grades[1:] {
			d.Lower = append(d.Lower, g.Grade)
		}
		out[i] = d
	}
	return out
}

// Described is a rule with its numbers in place and its version.
type Described struct {
	Rule
	Version string `json:"version"`
}
