package psu

import (
	"bytes"
	"fmt"

	"golang.org/x/net/html"
)

// page is what a payer can do on a bank's page.
type page struct {
	problem string // of the element with role alert
	forms   []form
}

type form struct {
	action  string
	inputs  []input
	buttons []button
}

type input struct {
	name, value, kind, autocomplete string
	checked                         bool
}

type button struct{ name, value, action string }

// button finds the first of the wanted values that the form has.
func (f form) button(wanted []string) (button, bool) {
	for _, v := range wanted {
		for _, b := range f.buttons {
			if b.value == v {
				return b, true
			}
		}
	}
	return button{}, false
}

func parse(body []byte) (page, error) {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return page{}, fmt.Errorf("psu: page: %w", err)
	}
	var p page
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		a := attributes(n)
		switch n.Data {
		case "form":
			p.forms = append(p.forms, form{action: a["action"]})
		case "input":
			if f := p.last(); f != nil {
				_, checked := a["checked"]
				f.inputs = append(f.inputs, input{a["name"], a["value"], a["type"], a["autocomplete"], checked})
			}
		case "button":
			if f := p.last(); f != nil {
				f.buttons = append(f.buttons, button{a["name"], a["value"], a["formaction"]})
			}
		}
		if a["role"] == "alert" {
			p.problem = firstOf(a["data-problem"], "unnamed")
		}
	}
	return p, nil
}

// last is the form under way: the nodes come in document order.
func (p *page) last() *form {
	if len(p.forms) == 0 {
		return nil
	}
	return &p.forms[len(p.forms)-1]
}

func attributes(n *html.Node) map[string]string {
	m := make(map[string]string, len(n.Attr))
	for _, a := range n.Attr {
		m[a.Key] = a.Val
	}
	return m
}
