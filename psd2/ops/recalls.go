package ops

import (
	"net/url"
	"strings"

	"github.com/rialto-hub/rialto/psd2/page"
)

type recallRow struct {
	ID, EndToEndID    string
	Reason, Code      string
	Account, Merchant string
	Received          instant
	Due               badge // the day, marked when it is over
}

type recallsPage struct {
	Zone string
	AsOf instant
	Rows []recallRow
	Full bool
}

// recalls is GET /recalls: what other banks want back and no deposit of ours
// belongs to, the newest first. One that belongs to a deposit is told on its
// page, and to its merchant.
func (v *visit) recalls() error {
	list, err := v.Hub.RecallsOf(v.ctx(), "")
	if err != nil {
		return err
	}
	owners, err := v.accountOwners()
	if err != nil {
		return err
	}
	r := recallsPage{Zone: v.zone(), AsOf: v.fine(v.Now()), Full: len(list) >= listed}
	for _, one := range list {
		due := badge{Text: v.day(one.DueAt())}
		if v.Now().After(one.DueAt()) {
			due.Kind = "look"
		}
		r.Rows = append(r.Rows, recallRow{Due: due,
			ID: withoutIBANs(one.ID), EndToEndID: withoutIBANs(one.EndToEndID), Code: one.Reason,
			Reason: v.sayOr("recall.code."+strings.ToLower(one.Reason), ""), Account: one.AccountID, Merchant: nameOr(owners, one.AccountID),
			Received: v.at(one.ReceivedAt)})
	}
	return v.console("recalls", page.Page{Name: "recalls", Title: v.say("recalls.title"), Self: &url.URL{Path: "/recalls"}, Data: r})
}

// accountOwners are the merchants' names by payee account.
func (v *visit) accountOwners() (map[string]string, error) {
	merchants, err := v.Store.Merchants(v.ctx())
	names := map[string]string{}
	for _, m := range merchants {
		for _, a := range m.Accounts {
			names[a.ID] = m.Name
		}
	}
	return names, err
}
