package ops

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// listed is how many payments a list shows, and up to which number the tab of
// unknown outcomes counts.
const listed = 100

// maxTerm bounds a search term; a printed IBAN has 42 characters.
const maxTerm = 140

// tab is one saved filter.
type tab struct {
	Text, Href string
	Current    bool
	Count      string // "" hides it
	Look       bool   // somebody has to look
}

type listPage struct {
	Title  string
	Zone   string
	Tabs   []tab
	Rows   []row
	Out    []transferRow // refunds and payouts that a search found
	Full   bool          // there may be more than are shown
	Search string        // what was searched for, in words that repeat nothing personal
	Notice string
	Empty  string
	Next   string // what to do when nothing was found
}

// tabs in their order: what needs a person comes second, after everything.
var tabStates = []psd2.State{"", psd2.StateOutcomeUnknown, psd2.StateAuthorizationRequired, psd2.StateAuthorizing,
	psd2.StateAuthorized, psd2.StateExecuted, psd2.StateSettled, psd2.StateFailed}

// payments is GET /payments.
func (v *visit) payments() error {
	state := psd2.State(v.QueryParam("state"))
	if state != "" && !slices.Contains(psd2.States, state) {
		return psd2.NotFound("state")
	}
	list, err := v.Store.Recent(v.ctx(), state, listed)
	if err != nil {
		return err
	}
	tabs, err := v.tabs(state)
	if err != nil {
		return err
	}
	self := &url.URL{Path: "/payments"}
	if state != "" {
		self.RawQuery = "state=" + string(state)
	}
	l := listPage{Title: v.say("payments.title"), Zone: v.zone(), Tabs: tabs, Rows: v.rows(list), Full: len(list) == listed, Empty: v.say("payments.none")}
	if state == psd2.StateOutcomeUnknown {
		l.Empty = v.say("payments.none_unknown")
	}
	return v.console("payments", page.Page{Name: "payments", Title: l.Title, Self: self, Data: l})
}

// tabs are the saved filters; the unknown outcomes are counted on every list.
func (v *visit) tabs(current psd2.State) ([]tab, error) {
	unknown, err := v.Store.CountUnknown(v.ctx(), listed)
	if err != nil {
		return nil, err
	}
	tabs := make([]tab, 0, len(tabStates))
	for _, s := range tabStates {
		t := tab{Text: v.say("payments.newest"), Href: "/payments", Current: s == current}
		if s != "" {
			t.Text, t.Href = v.say("state."+string(s)), "/payments?state="+string(s)
		}
		if s == psd2.StateOutcomeUnknown {
			t.Count, t.Look = counted(unknown), unknown > 0
		}
		tabs = append(tabs, t)
	}
	return tabs, nil
}

func counted(n int) string {
	if n >= listed {
		return strconv.Itoa(listed-1) + "+"
	}
	return strconv.Itoa(n)
}

// search is POST /search. One hit is shown at once, several as a list.
func (v *visit) search() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	term := tidy(form.Get("q"))
	kind, said := v.describe(term)
	edge.Annotate(v.ctx(), "search", kind)
	if kind == "empty" || kind == "too_long" {
		return v.results(http.StatusUnprocessableEntity, listPage{Notice: v.say("search." + kind)})
	}
	list, err := v.Store.Find(v.ctx(), term)
	if err != nil {
		return err
	}
	out, err := v.Store.FindTransfers(v.ctx(), term)
	if err != nil {
		return err
	}
	edge.Annotate(v.ctx(), "found", len(list)+len(out))
	switch {
	case len(list) == 1 && len(out) == 0:
		return v.story(list[0])
	case len(list) == 0 && len(out) == 1:
		return v.transferStory(out[0])
	}
	l := listPage{Search: said, Rows: v.rows(list), Out: v.transferRows(out), Full: len(list) == 50 || len(out) == 50}
	if len(list)+len(out) == 0 {
		l.Empty, l.Next = v.say("search.none", "what", said), v.say("search.none_next")
		if kind == "iban_wrong" {
			l.Next = v.say("search.iban_wrong_next")
		}
	}
	return v.results(http.StatusOK, l)
}

func (v *visit) results(status int, l listPage) error {
	l.Title, l.Zone = v.say("search.title"), v.zone()
	return v.console("", page.Page{Name: "payments", Title: l.Title, Status: status, Data: l})
}

// tidy undoes what copying does to a term: odd blanks, invisible characters,
// small letters in our own ids' place.
func tidy(q string) string {
	q = strings.Join(strings.FieldsFunc(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, q), unicode.IsSpace), " ")
	if l := strings.ToLower(q); isOurID(l) {
		return l
	}
	return q
}

// describe says what a term was taken for. Only what is ours, and so not
// personal, is repeated; an IBAN is masked, anything else just named.
func (v *visit) describe(term string) (kind, said string) {
	iban, err := psd2.ParseIBAN(strings.ToUpper(term))
	switch {
	case term == "":
		kind = "empty"
	case len(term) > maxTerm:
		kind = "too_long"
	case isOurID(term), isOurEndToEndID(term):
		return "id", term
	case err == nil:
		return "iban", v.say("search.kind.iban", "iban", iban.Masked())
	case ibanLike.MatchString(term):
		return "iban_wrong", v.say("search.kind.iban_wrong")
	default:
		return "reference", v.say("search.kind.reference")
	}
	return kind, ""
}

// isOurID reports whether s is the id of something that can be looked up.
func isOurID(s string) bool {
	return slices.ContainsFunc([]string{psd2.PrefixPayment, psd2.PrefixAttempt, psd2.PrefixRefund, psd2.PrefixPayout}, func(prefix string) bool { return psd2.IsID(prefix, s) })
}

// isOurEndToEndID reports whether s has the form of psd2.NewEndToEndID.
func isOurEndToEndID(s string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(s), "rlt")
	return ok && psd2.IsID(psd2.PrefixAttempt, psd2.PrefixAttempt+"_"+rest)
}
