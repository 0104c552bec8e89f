package payer

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// page is a parsed page.
type page struct {
	url    *url.URL
	root   *html.Node
	status int
}

// form is what submitting it would send.
type form struct {
	method string
	action *url.URL
	values url.Values
}

func (p *page) result() Result {
	if p == nil {
		return Result{}
	}
	r := Result{URL: p.url.String()}
	walk(p.root, func(n *html.Node) {
		switch attr(n, "data-test") {
		case "status":
			r.Situation = attr(n, "data-situation")
		case "back":
			r.BackURL = attr(n, "href")
		}
	})
	return r
}

// link is the address of the link with that data-test name, or "".
func (p *page) link(name string) string {
	href := ""
	walk(p.root, func(n *html.Node) {
		if n.Data == "a" && attr(n, "data-test") == name {
			href = attr(n, "href")
		}
	})
	if u, err := p.url.Parse(href); err == nil && href != "" {
		return u.String()
	}
	return ""
}

func (p *page) title() string {
	title := ""
	if p == nil {
		return title
	}
	walk(p.root, func(n *html.Node) {
		if n.Data == "title" && n.FirstChild != nil && title == "" {
			title = strings.TrimSpace(n.FirstChild.Data)
		}
	})
	return title
}

// form finds a form by its id.
func (p *page) form(id string) *form {
	var found *form
	walk(p.root, func(n *html.Node) {
		if n.Data == "form" && attr(n, "id") == id {
			found = p.read(n)
		}
	})
	return found
}

// formWithButton finds the form with that button and presses it.
func (p *page) formWithButton(name, value string) *form {
	var found *form
	walk(p.root, func(f *html.Node) {
		if f.Data != "form" {
			return
		}
		walk(f, func(n *html.Node) {
			if found == nil && n.Data == "button" && attr(n, "name") == name && attr(n, "value") == value && !has(n, "disabled") {
				found = p.read(f)
				found.values.Set(name, value)
			}
		})
	})
	return found
}

func (p *page) read(n *html.Node) *form {
	f := &form{method: http.MethodGet, action: p.url, values: url.Values{}}
	if strings.EqualFold(attr(n, "method"), "post") {
		f.method = http.MethodPost
	}
	if a := attr(n, "action"); a != "" {
		if u, err := p.url.Parse(a); err == nil {
			f.action = u
		}
	}
	walk(n, func(n *html.Node) {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			f.values.Add(attr(n, "name"), attr(n, "value"))
		}
	})
	return f
}

func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}
