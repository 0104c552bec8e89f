package iso20022

import (
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Reading: paths into a tree. All methods accept a nil node and answer with
// nothing, so that optional branches need no questions.

// at follows a path of tags, taking the first child of each name.
func (n *node) at(path string) *node {
	for path != "" && n != nil {
		tag, rest, _ := strings.Cut(path, "/")
		n, path = n.child(tag), rest
	}
	return n
}

func (n *node) child(tag string) *node {
	if n == nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name == tag {
			return k
		}
	}
	return nil
}

// all returns the children of that name.
func (n *node) all(tag string) []*node {
	if n == nil {
		return nil
	}
	var out []*node
	for _, k := range n.kids {
		if k.name == tag {
			out = append(out, k)
		}
	}
	return out
}

// val is the text at path, or "".
func (n *node) val(path string) string {
	if n = n.at(path); n == nil {
		return ""
	}
	return n.text
}

// each calls visit for n and everything below it, but not for foreign content.
func (n *node) each(visit func(*node)) {
	if n == nil || n.typ == nil {
		return
	}
	visit(n)
	for _, k := range n.kids {
		k.each(visit)
	}
}

// money reads an amount as the schemes write it: digits, a point, at most two
// decimals. In lenient reading zeros behind them are passed over.
func money(n *node, lenient bool) (psd2.Money, *Fault) {
	if n == nil {
		return psd2.Money{}, nil
	}
	s := trim(n.text)
	m, err := psd2.ParseDecimal(s, n.ccy)
	_, decimals, _ := strings.Cut(s, ".")
	if err != nil || len(decimals) > 2 && !lenient {
		return psd2.Money{}, &Fault{Layer: LayerRule, Rule: "amount-decimals", Path: n.path(), Explanation: ruleText("amount-decimals")}
	}
	return m, nil
}

// Writing: a small builder. What is empty is left out, so that a writer says
// what a message may hold and the values say what it does hold.

// el makes an element of its children; without any, it makes none.
func el(tag string, kids ...*node) *node {
	n := &node{name: tag}
	for _, k := range kids {
		if k != nil {
			n.kids = append(n.kids, k)
		}
	}
	if len(n.kids) == 0 {
		return nil
	}
	return n
}

// leaf makes an element with text; without text, it makes none.
func leaf(tag, text string) *node {
	if text == "" {
		return nil
	}
	return &node{name: tag, text: text}
}

// inner puts text into nested elements: inner("Cd", "SvcLvl/Cd").
func inner(path, text string) *node {
	tag, rest, deeper := strings.Cut(path, "/")
	if !deeper {
		return leaf(tag, text)
	}
	return el(tag, inner(rest, text))
}

// list makes one element of each item.
func list[T any](items []T, element func(T) *node) []*node {
	out := make([]*node, 0, len(items))
	for _, it := range items {
		out = append(out, element(it))
	}
	return out
}

func moneyLeaf(tag string, m psd2.Money) *node {
	if m == (psd2.Money{}) {
		return nil
	}
	return &node{name: tag, text: m.Decimal(), ccy: m.Currency, hasCcy: true}
}

// stampLeaf writes UTC with milliseconds; finer time is cut off.
func stampLeaf(tag string, t time.Time) *node {
	if t.IsZero() {
		return nil
	}
	return leaf(tag, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func dayLeaf(tag string, t time.Time) *node {
	if t.IsZero() {
		return nil
	}
	return leaf(tag, t.UTC().Format(dayPattern))
}
