package sca

import (
	"net/http"
	"slices"
	"time"
)

// SignedIn is a member of staff with what his session rests on.
type SignedIn struct {
	User
	FactorID string // that he signed in with
	Method   Method // of that factor
	Began    time.Time
}

// SignedIn is Session for consoles that ask how somebody signed in: two
// sessions of one authenticator are one pair of eyes.
func (s *Staff) SignedIn(r *http.Request) (SignedIn, error) {
	secret := cookieOf(r, StaffCookie)
	u, err := s.sessionUser(r.Context(), secret, true)
	if err != nil {
		return SignedIn{}, err
	}
	sess, err := s.Service.Session(r.Context(), SessionStaff, secret, false)
	if err != nil {
		return SignedIn{}, err
	}
	in := SignedIn{User: u, FactorID: sess.FactorID, Began: sess.BeganAt}
	factors, err := s.Factors(r.Context(), u.ID)
	if err != nil {
		return SignedIn{}, err
	}
	if i := slices.IndexFunc(factors, func(f Factor) bool { return f.ID == sess.FactorID }); i >= 0 {
		in.Method = factors[i].Method
	}
	return in, nil
}
