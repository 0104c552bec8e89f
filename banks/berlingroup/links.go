package berlingroup

import (
	"net/url"
	"slices"
	"strings"
)

// paymentURL is where the standard puts the order, for banks whose links are
// missing or lead elsewhere.
func (b *Bank) paymentURL(id string) (*url.URL, bool) {
	if id == "" || len(id) > 512 || id == "." || id == ".." || headerText(id) != id {
		return nil, false
	}
	return b.p.base.JoinPath("v1/payments", b.p.Product, url.PathEscape(id)), true
}

// resolve makes a link absolute and accepts it only beneath the bank's base:
// an answer must not make us call anybody else. Some banks leave their base
// path out of relative links; it is put back.
func (b *Bank) resolve(href string) (*url.URL, bool) {
	ref, err := url.Parse(href)
	if href == "" || err != nil || ref.Opaque != "" || ref.User != nil || ref.Fragment != "" || headerText(href) != href {
		return nil, false
	}
	base := b.p.base.JoinPath("/")
	u := base.ResolveReference(ref)
	under := func(u *url.URL) bool { return strings.HasPrefix(u.EscapedPath(), base.EscapedPath()) }
	if ref.Host == "" && strings.HasPrefix(ref.Path, "/") && !under(u) {
		u = b.p.base.JoinPath(ref.EscapedPath())
		u.RawQuery = ref.RawQuery
	}
	return u, origin(u) == origin(b.p.base) && under(u)
}

// redirect accepts a link for the payer's browser only if it is https and its
// origin is one of the profile's (C36). What is returned is written anew, so
// that the browser parses what we parsed.
func (b *Bank) redirect(href string) (string, bool) {
	u, err := url.Parse(href)
	if err != nil || len(href) > 8192 || u.Opaque != "" || u.User != nil || headerText(href) != href || strings.ContainsAny(href, "\\ ") {
		return "", false
	}
	if !b.p.mayVisit(u) || !slices.Contains(b.p.origins, origin(u)) {
		return "", false
	}
	u.Host = strings.TrimPrefix(origin(u), u.Scheme+"://") // as the profile writes it, for who compares again
	return u.String(), true
}
