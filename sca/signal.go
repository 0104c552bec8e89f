package sca

import (
	"context"
	"slices"
	"time"
)

// signals adds to a payment's risk what happened to its payer's factors lately,
// and says whether he has reported this very payment as not his. Each kind
// counts once, however often it happened.
func (s *Service) signals(ctx context.Context, p PaymentFacts, r Risk) (risk Risk, reported bool, err error) {
	var reports int
	err = s.db.Get(ctx, &reports, `SELECT COUNT(*) FROM sca_challenges WHERE payment_id = ? AND purpose = 'payment' AND state = 'reported'`, p.PaymentID)
	if err != nil {
		return r, false, err
	}
	var last []struct {
		What string `db:"what"`
		At   int64  `db:"last_at"`
	}
	err = s.db.Select(ctx, &last, `SELECT what, MAX(created_at) AS last_at FROM sca_changes WHERE person_id = ? GROUP BY what`, p.PersonID)
	if err != nil {
		return r, false, err
	}
	risk = r
	risk.Reasons = slices.Clone(r.Reasons)
	now := s.db.Now()
	for _, rule := range s.rules.Signals {
		for _, l := range last {
			if l.What == rule.What && now.Sub(time.UnixMicro(l.At)) < time.Duration(rule.Days)*24*time.Hour {
				risk.Score += rule.Points
				risk.Reasons = append(risk.Reasons, rule.What)
			}
		}
	}
	risk.Score = max(0, min(100, risk.Score))
	return risk, reports > 0, nil
}
