package sca

import (
	"context"
	"slices"
	"time"
)

// signals are what happened to a payer's factors lately and how his page was
// used, as points of risk and their names, and whether he has reported this very
// payment as not his. Each kind counts once, however often it happened.
func (s *Service) signals(ctx context.Context, p PaymentFacts) (points int, reasons []string, reported bool, err error) {
	var reports int
	err = s.db.Get(ctx, &reports, `SELECT COUNT(*) FROM sca_challenges WHERE payment_id = ? AND purpose = 'payment' AND state = 'reported'`, p.PaymentID)
	if err != nil {
		return 0, nil, false, err
	}
	var last []struct {
		What string `db:"what"`
		At   int64  `db:"last_at"`
	}
	err = s.db.Select(ctx, &last, `SELECT what, MAX(created_at) AS last_at FROM sca_changes WHERE person_id = ? GROUP BY what`, p.PersonID)
	if err != nil {
		return 0, nil, false, err
	}
	points = readBehaviour(p.Behaviour).Points()
	now := s.db.Now()
	for _, rule := range s.rules.Signals {
		for _, l := range last {
			if l.What == rule.What && now.Sub(time.UnixMicro(l.At)) < time.Duration(rule.Days)*24*time.Hour {
				points += rule.Points
				reasons = append(reasons, rule.What)
			}
		}
	}
	return points, reasons, reports > 0, nil
}

// and is a risk with more points, from 0 to 100, and more reasons.
func (r Risk) and(points int, reasons []string) Risk {
	r.Score = max(0, min(100, r.Score+points))
	r.Reasons = slices.Concat(r.Reasons, reasons)
	return r
}
