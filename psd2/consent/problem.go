package consent

import (
	"net/http"

	"github.com/rialto-hub/rialto/psd2/page"
)

// elsewhere is the page for a browser that may not act on a payment: one that
// opened a shared link second, or that the bank's app chose for the return.
func (v *visit) elsewhere() error {
	v.payment, v.merchant = nil, nil
	return v.show(page.Page{Name: "error", Status: http.StatusForbidden, Title: v.say("elsewhere.title"),
		Data: page.Problem{Lead: v.say("elsewhere.lead"), Next: v.say("elsewhere.next")}})
}
