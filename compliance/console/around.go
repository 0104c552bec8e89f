package console

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rialto-hub/rialto/compliance"
)

// What lies around a case: money that waits because of it, what rules could not
// see, and cases that may be the same matter.

// around fills it in.
func (v *visit) around(c *compliance.Case, f *compliance.Facts, p *casePage) error {
	if c.JoinedTo != "" {
		p.Joined = c.JoinedTo
	}
	holds, err := v.Desk.HoldsOf(v.ctx(), v.officer, c)
	if err != nil {
		return err
	}
	p.Holds, p.Ended = v.holdRows(holds)
	if v.Watch != nil {
		list, err := v.Watch.BlindTo(v.ctx(), f.Implicated)
		if err != nil {
			return err
		}
		p.Gaps = v.gaps(list)
	}
	p.CanSplit = c.Can(compliance.Split, v.officer, v.Now())
	if p.CanJoin = c.Can(compliance.Join, v.officer, v.Now()); !p.CanJoin {
		return nil
	}
	others, err := v.Desk.Joinable(v.ctx(), v.officer, c)
	if err != nil {
		return err
	}
	for _, o := range others {
		p.Joinable = append(p.Joinable, option{Value: o.ID, Text: "…" + short(o.ID) + " · " + v.rule(o.Rule)})
	}
	return nil
}

// gaps says what rules could not see, a line for each thing that was missing.
func (v *visit) gaps(list []compliance.Blind) []fact {
	rules := map[string][]string{}
	var missing []string
	for _, b := range list {
		for _, what := range b.Missing {
			if rules[what] == nil {
				missing = append(missing, what)
			}
			rules[what] = append(rules[what], b.Rule)
		}
	}
	out := make([]fact, 0, len(missing))
	for _, what := range missing {
		slices.Sort(rules[what])
		out = append(out, fact{Term: v.sayOr("missing_fact."+what, columnName(what)), Text: strings.Join(rules[what], ", ")})
	}
	return out
}

// seeing is how well transactions are seen, beside the rules.
type seeing struct {
	Of    int // newest transactions
	Blind []blindRow
	Drift []driftRow
	Look  bool // some number has drifted
}

type blindRow struct {
	Rule, Title, Missing string
	Transactions         int
	Share                int
}

type driftRow struct {
	Name, PSI string
	Width     int
	State     badge
}

// From which stability index on a number wants a look, and the model training.
const (
	driftLook  = 0.1
	driftTrain = 0.25
	driftRows  = 8
)

// seeing is nil when nobody watches.
func (v *visit) seeing() (*seeing, error) {
	if v.Watch == nil {
		return nil, nil
	}
	list, of, err := v.Watch.Blind(v.ctx())
	if err != nil {
		return nil, err
	}
	s := &seeing{Of: of}
	for _, b := range list {
		words := make([]string, len(b.Missing))
		for i, what := range b.Missing {
			words[i] = v.sayOr("missing_fact."+what, columnName(what))
		}
		s.Blind = append(s.Blind, blindRow{b.Rule, v.rule(b.Rule), strings.Join(words, ", "), b.Transactions, b.Transactions * 100 / max(of, 1)})
	}
	drifted, err := v.Watch.Drift(v.ctx())
	if err != nil {
		return nil, err
	}
	for _, d := range drifted[:min(len(drifted), driftRows)] {
		r := driftRow{Name: v.sayOr("input."+d.Column, columnName(d.Column)), PSI: v.comma(strconv.FormatFloat(d.PSI, 'f', 2, 64)),
			Width: int(math.Min(d.PSI/driftTrain, 1) * 100), State: badge{"done", v.say("drift.steady")}}
		switch {
		case d.PSI > driftTrain:
			r.State, s.Look = badge{"failed", v.say("drift.train")}, true
		case d.PSI > driftLook:
			r.State, s.Look = badge{"look", v.say("drift.look")}, true
		}
		s.Drift = append(s.Drift, r)
	}
	return s, nil
}
