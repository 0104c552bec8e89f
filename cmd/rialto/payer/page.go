package payer

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// page is what a payer takes in of a page: its title, forms and links. It is
// read in one pass without building a tree.
type page struct {
	url       *url.URL
	status    int
	title     string
	situation string
	forms     []*form
	links     map[string]string // href by data-test name
}

// form is a form with what submitting it would send.
type form struct {
	id      string
	method  string
	action  *url.URL
	values  url.Values
	buttons []button
	fields  []string // what a person has to fill in
	choices []string // values of the radio buttons
	asks    string   // what his bank asks through this form: data-kind of a prompt
}

type button struct{ name, value string }

func parse(at *url.URL, status int, r io.Reader) (*page, error) {
	p := &page{url: at, status: status, links: map[string]string{}}
	z := html.NewTokenizer(r)
	var open *form
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == io.EOF {
				return p, nil
			}
			return p, z.Err()
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "form" {
				open = nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag, a := string(name), map[string]string{}
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				a[string(k)] = string(v)
			}
			open = p.take(z, tag, a, open)
		}
	}
}

// take notes one start tag; it returns the form that is open after it.
func (p *page) take(z *html.Tokenizer, tag string, a map[string]string, open *form) *form {
	if a["data-test"] == "status" {
		p.situation = a["data-situation"]
	}
	switch tag {
	case "title":
		if z.Next() == html.TextToken && p.title == "" {
			p.title = strings.TrimSpace(string(z.Text()))
		}
	case "a":
		if name := a["data-test"]; name != "" {
			p.links[name] = a["href"]
		}
	case "form":
		open = &form{id: a["id"], method: http.MethodGet, action: p.url, values: url.Values{}, asks: a["data-kind"]}
		if strings.EqualFold(a["method"], "post") {
			open.method = http.MethodPost
		}
		if u, err := p.url.Parse(a["action"]); err == nil && a["action"] != "" {
			open.action = u
		}
		p.forms = append(p.forms, open)
	case "input":
		switch {
		case open == nil:
		case a["type"] == "hidden":
			open.values.Add(a["name"], a["value"])
		case a["type"] == "radio":
			open.choices = append(open.choices, a["value"])
		default:
			open.fields = append(open.fields, a["name"])
		}
	case "button":
		if _, disabled := a["disabled"]; open != nil && !disabled {
			open.buttons = append(open.buttons, button{a["name"], a["value"]})
		}
	}
	return open
}

// undecided reports whether the page says that the bank has not answered yet.
func (p *page) undecided() bool {
	return p != nil && (p.situation == "waiting" || p.situation == "on_its_way" || p.situation == "asking")
}

func (p *page) result() Result {
	if p == nil {
		return Result{}
	}
	return Result{URL: p.url.String(), Situation: p.situation, BackURL: p.links["back"]}
}

func (p *page) named() string {
	if p == nil {
		return "no page"
	}
	return p.title
}

// link is the address of the link with that data-test name, or "".
func (p *page) link(name string) string {
	href := p.links[name]
	if u, err := p.url.Parse(href); err == nil && href != "" {
		return u.String()
	}
	return ""
}

// prompt finds the form by which his bank asks him something.
func (p *page) prompt() *form {
	for _, f := range p.forms {
		if f.asks != "" {
			return f
		}
	}
	return nil
}

// form finds a form by its id.
func (p *page) form(id string) *form {
	for _, f := range p.forms {
		if f.id == id {
			return f
		}
	}
	return nil
}

// formWithButton finds the form with that button and presses it.
func (p *page) formWithButton(name, value string) *form {
	for _, f := range p.forms {
		for _, b := range f.buttons {
			if b.name == name && b.value == value {
				f.values.Set(name, value)
				return f
			}
		}
	}
	return nil
}
