package sca

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// AnswerWith is Answer for a code with something happening between the
// comparison and its commit.
func AnswerWith(s *Service, ctx context.Context, id string, a Answer, between func()) error {
	row, _, err := s.answerable(ctx, id, a)
	if err != nil {
		return err
	}
	ticket, err := s.raise(ctx, row.PersonID, a.Method)
	if err != nil {
		return err
	}
	p, err := s.tryTOTP(ctx, row.PersonID, a.Code)
	if err != nil {
		return err
	}
	between()
	_, err = s.approve(ctx, id, ticket, p, a.From)
	return err
}

// Attempt is attempt, with a comparison of the caller's.
func Attempt(s *Service, ctx context.Context, personID string, method Method, try func() error) error {
	_, _, err := s.attempt(ctx, personID, method, func() (proof, error) { return proof{}, try() })
	return err
}

// Canonical is canonical, for the vectors of RFC 8785.
var Canonical = canonical

// Ceased is ceased.
var Ceased = ceased

// PasskeyChallenge is passkeyChallenge.
var PasskeyChallenge = passkeyChallenge

// MatchTOTP is totpSecret.match.
func MatchTOTP(p TOTPParams, secret, code string, now time.Time) (int64, bool) {
	return totpSecret{TOTPParams: p, Secret: secret}.match(code, now, 0)
}

// Take is the follower's count.
func Take(s *Service, tx *store.Tx, p *psd2.Payment) error { return s.count(tx, p) }

// Lift is unblock on nobody's behalf.
func Lift(s *Service, ctx context.Context, personID string, method Method) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := s.unblock(tx, personID, method)
		return err
	})
}
