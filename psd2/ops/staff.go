package ops

import (
	"net/http"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// Staff is the sign-in of the people who work here; package sca has it and cmd
// adapts it.
type Staff interface {
	// Person is who a request comes from; ok is false when he has to sign in.
	// touch counts as use: only what a person did may.
	Person(r *http.Request, touch bool) (p Person, ok bool, err error)
	// LoginURL is where he signs in; back is the path of ours to come back to.
	LoginURL(back string) string
	// LogoutURL is where a POST ends his session.
	LogoutURL() string
}

// Person is somebody who is signed in.
type Person struct {
	ID     string // usr_…
	Name   string
	Rights []string // of ours, and others
}

// What somebody may do here.
const (
	RightRead   = "payments:read"   // opens these pages
	RightDecide = "outcomes:decide" // and decides what became of money, as one of two
)

// Rights are those that these pages know.
var Rights = []string{RightRead, RightDecide}

func (p Person) may(right string) bool { return slices.Contains(p.Rights, right) }

// operator is the person as the hub knows him: nobody, unless he may decide.
func (p Person) operator() hub.Operator {
	if !p.may(RightDecide) {
		return hub.Operator{}
	}
	return hub.Operator{ID: p.ID, Name: p.Name}
}

// admit says whether the visitor may see these pages. Somebody with a session
// but without that right may not: forbidden.
func (v *visit) admit(touch bool) (admitted, forbidden bool, err error) {
	p, ok, err := v.Staff.Person(v.Request(), touch)
	if err != nil || !ok {
		return false, false, err
	}
	v.person = p
	edge.Annotate(v.ctx(), "user_id", p.ID)
	return p.may(RightRead), !p.may(RightRead), nil
}

// toSignIn sends a visitor without session to the sign-in, which leads back to
// the page he wanted when that is one of ours.
func (v *visit) toSignIn() error {
	next := "/payments"
	if v.Request().Method != http.MethodPost {
		next = safeNext(v.Request().URL.Path)
	}
	return v.away(v.Staff.LoginURL(next))
}

// safeNext lets through the paths that exist and nothing that a stranger made
// up: no other host, no other page.
func safeNext(path string) string {
	id, isPayment := strings.CutPrefix(path, "/payments/")
	transfer, isTransfer := strings.CutPrefix(path, "/transfers/")
	switch {
	case slices.Contains([]string{"/banks", "/recalls", "/transfers", "/unknown", "/webhooks"}, path), isPayment && psd2.IsID(psd2.PrefixPayment, id),
		isTransfer && (psd2.IsID(psd2.PrefixRefund, transfer) || psd2.IsID(psd2.PrefixPayout, transfer)):
		return path
	}
	return "/payments"
}
