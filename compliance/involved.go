package compliance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// involved are those a case is about.
type involved struct {
	persons []string
	objects []string // payouts and refunds that are nobody's
}

func (i *involved) add(list *[]string, id string) {
	if id != "" && !slices.Contains(*list, id) {
		*list = append(*list, id)
	}
}

// sharing are the kinds of entities behind which all who appear are suspected.
// Many innocents share an address or a merchant.
var sharing = []string{"person", "player", "iban", "device"}

// maxInvolved bounds the payments that are looked up.
const maxInvolved = 500

// involvedIn gathers whose money has to wait when a case is reported: its
// person, those its alerts are about, and those whose payments its rules fired
// on or name as evidence. Three players on one account are three people.
func (d *Desk) involvedIn(ctx context.Context, caseID string) (about involved, err error) {
	c, err := loadCase(d.get(ctx), caseID)
	if err != nil {
		return about, err
	}
	about.add(&about.persons, c.PersonID)
	alerts, err := d.AlertsOf(ctx, caseID)
	if err != nil {
		return about, err
	}
	looked := map[string]bool{}
	for _, a := range alerts {
		if isPerson(a.Subject) {
			about.add(&about.persons, a.Subject)
		}
		hits, err := d.HitsOf(ctx, a, maxInvolved)
		if err != nil {
			return about, err
		}
		for _, h := range hits {
			for _, id := range append([]string{h.ObjectID}, othersIn(a, h)...) {
				if id == "" || looked[id] || len(looked) >= maxInvolved {
					continue
				}
				looked[id] = true
				person, err := d.personOf(ctx, id)
				if err != nil {
					return about, err
				}
				about.add(&about.persons, person)
				if person == "" && !isPerson(a.Subject) {
					about.add(&about.objects, id)
				}
			}
		}
	}
	return about, nil
}

// othersIn are the other transactions that make a finding.
func othersIn(a Alert, h Hit) []string {
	var in struct {
		Evidence []string `json:"evidence"`
	}
	if !slices.Contains(sharing, a.EntityKind) || json.Unmarshal(h.Inputs, &in) != nil {
		return nil
	}
	return in.Evidence
}

// personOf says whose a payment, payout or refund is; "" of one that is not, or
// no more, there.
func (d *Desk) personOf(ctx context.Context, object string) (string, error) {
	var person string
	var err error
	if strings.HasPrefix(object, psd2.PrefixPayment+"_") {
		var p *psd2.Payment
		if p, err = d.Store.Payment(ctx, object); err == nil {
			person = p.PersonID
		}
	} else {
		var t *psd2.Transfer
		if t, err = d.Store.Transfer(ctx, object); err == nil {
			person = t.PersonID
		}
	}
	if psd2.CodeOf(err) == psd2.CodeNotFound || errors.Is(err, store.ErrErased) {
		return "", nil
	}
	return person, err
}
