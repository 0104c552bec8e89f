package iso20022

import "strconv"

// walker holds a tree against the schema. Strict, it agrees with a validating
// parser; lenient, it passes over what a bank added or forgot and counts it.
type walker struct {
	space   string // the message's namespace
	lenient bool
	ignored int
}

func schemaFault(n *node, rule, explanation string) *Fault {
	return &Fault{Layer: LayerSchema, Rule: rule, Path: n.path(), Explanation: explanation}
}

// tolerate counts a departure in lenient reading and returns it in strict.
func (w *walker) tolerate(f *Fault) *Fault {
	if w.lenient {
		w.ignored++
		return nil
	}
	return f
}

// element checks n and everything below it, and notes its type.
func (w *walker) element(n *node, t *typ) *Fault {
	n.typ = t
	if t.lex != nil {
		return w.leaf(n, t.lex)
	}
	if t.name == "any" {
		return nil
	}
	if f := w.attributes(n, false); f != nil {
		return f
	}
	if trim(n.text) != "" {
		return schemaFault(n, "schema-text", "the element holds text where it should hold elements")
	}
	if len(t.kids) == 1 && t.kids[0].tag == "any" {
		return w.envelope(n)
	}
	for _, k := range n.kids {
		if k.space != w.space {
			return schemaFault(k, "schema-namespace", "the element belongs to another namespace")
		}
	}
	switch {
	case w.lenient:
		return w.loose(n, t)
	case t.choice:
		return w.oneOf(n, t)
	default:
		return w.sequence(n, t)
	}
}

// envelope is supplementary data: one element of any kind, which is neither
// judged nor read.
func (w *walker) envelope(n *node) *Fault {
	if len(n.kids) != 1 {
		return w.tolerate(schemaFault(n, "schema-missing", "the envelope must hold exactly one element"))
	}
	return nil
}

func (w *walker) sequence(n *node, t *typ) *Fault {
	at, seen := 0, 0
	for _, k := range n.kids {
		to := t.kid(k.name)
		switch {
		case to < 0:
			return schemaFault(k, "schema-unknown-element", "the element is unknown at this place")
		case to < at:
			return schemaFault(k, "schema-order", "the element stands after "+t.kids[at].tag+", but must stand before it")
		}
		for ; at < to; at, seen = at+1, 0 {
			if seen < t.kids[at].least {
				return missing(n, t.kids[at].tag)
			}
		}
		if seen++; t.kids[at].most >= 0 && seen > t.kids[at].most {
			return repeated(k, t.kids[at].most)
		}
		if f := w.element(k, t.kids[at].typ); f != nil {
			return f
		}
	}
	for ; at < len(t.kids); at, seen = at+1, 0 {
		if seen < t.kids[at].least {
			return missing(n, t.kids[at].tag)
		}
	}
	return nil
}

func (w *walker) oneOf(n *node, t *typ) *Fault {
	if len(n.kids) == 0 {
		return schemaFault(n, "schema-missing", "the element must hold one of its alternatives")
	}
	first := n.kids[0].name
	for i, k := range n.kids {
		at := t.kid(k.name)
		switch {
		case at < 0:
			return schemaFault(k, "schema-unknown-element", "the element is unknown at this place")
		case k.name != first:
			return twoAlternatives(n)
		case t.kids[at].most >= 0 && i >= t.kids[at].most:
			return repeated(k, t.kids[at].most)
		}
		if f := w.element(k, t.kids[at].typ); f != nil {
			return f
		}
	}
	return nil
}

// loose accepts any order, drops unknown elements and does without missing
// ones, but never without certainty: what may stand once stands once, and of
// alternatives there is one.
func (w *walker) loose(n *node, t *typ) *Fault {
	counts := make([]int, len(t.kids))
	known := n.kids[:0]
	last := 0
	for _, k := range n.kids {
		at := t.kid(k.name)
		if at < 0 {
			w.ignored++
			continue
		}
		known = append(known, k)
		if counts[at]++; t.kids[at].most >= 0 && counts[at] > t.kids[at].most {
			return repeated(k, t.kids[at].most)
		}
		if t.choice && k.name != known[0].name {
			return twoAlternatives(n)
		}
		if at < last {
			w.ignored++
		}
		last = max(last, at)
		if f := w.element(k, t.kids[at].typ); f != nil {
			return f
		}
	}
	n.kids = known
	for i := range t.kids {
		if !t.choice && counts[i] < t.kids[i].least {
			w.ignored++
		}
	}
	return nil
}

func (w *walker) leaf(n *node, l *lexical) *Fault {
	if len(n.kids) > 0 {
		return schemaFault(n.kids[0], "schema-unknown-element", "the element stands inside a value")
	}
	if f := w.attributes(n, l.money); f != nil {
		return f
	}
	if l.money && !ccyForm.ok(n.ccy) {
		return schemaFault(n, "schema-attribute", "the attribute Ccy must be present and be three capital letters")
	}
	if l.ok(n.text) {
		return nil
	}
	f := schemaFault(n, l.rule, "the value must be "+l.expects)
	if l.typed {
		return f
	}
	return w.tolerate(f)
}

var ccyForm = patternType("[A-Z]{3}")

func (w *walker) attributes(n *node, money bool) *Fault {
	if n.alien != "" || n.hasCcy && !money {
		return w.tolerate(schemaFault(n, "schema-attribute", "the element has an attribute that is unknown here"))
	}
	return nil
}

func missing(n *node, tag string) *Fault {
	if later := n.child(tag); later != nil {
		return schemaFault(later, "schema-order", "the element stands too late among its neighbours")
	}
	return schemaFault(n, "schema-missing", "the element "+tag+" is missing")
}

func repeated(n *node, most int) *Fault {
	return schemaFault(n, "schema-repeated", "the element occurs more often than "+strconv.Itoa(most)+" time(s)")
}

func twoAlternatives(n *node) *Fault {
	return schemaFault(n, "schema-choice", "the element holds two of its alternatives, but only one is allowed")
}
