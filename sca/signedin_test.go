package sca_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// Whoever is told of sign-ins is told of each in its transaction: where he
// cannot write it down, nobody is signed in.
func TestSignInIsToldOrDoesNotHappen(t *testing.T) { // D05
	w := sqlite(t)
	o := w.hire("olga", "officer")
	var told []string
	var fail error
	s, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: w.db, Now: w.clock.Now, Notices: w.notices,
		SignedIn: func(_ *store.Tx, u sca.User) error { told = append(told, u.ID); return fail }})
	must(t, err)
	o.staff = sca.NewStaff(s, table)
	sign := func() (string, error) {
		w.clock.Add(30 * time.Second)
		return o.byCode(t, sca.CodeLogin{Login: "olga", Password: password, Code: o.app.code(), Address: "192.0.2.1"})
	}
	secret, err := sign()
	must(t, err)
	if _, err := o.staff.Session(request(secret)); err != nil || len(told) != 1 || told[0] != o.user.ID {
		t.Errorf("told of %q, %v", told, err)
	}
	fail = errors.New("the chain is torn")
	if secret, err = sign(); err == nil || secret != "" {
		t.Errorf("signed in without a word: %q %v", secret, err)
	}
}
