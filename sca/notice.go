package sca

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What can happen to a person's factors. Each is told to him.
const (
	FactorAdded     = "factor_added"
	FactorRenamed   = "factor_renamed"
	FactorRevoked   = "factor_revoked"
	FactorsReset    = "factors_reset"    // all of them, by an operator
	FactorCloned    = "factor_cloned"    // a passkey's counter went back: it may have been copied
	MethodBlocked   = "method_blocked"   // five failures in a row
	MethodNearLock  = "method_near_lock" // few tries are left before the method is locked for good (RTS Art. 4(4))
	MethodLocked    = "method_locked"
	MethodUnblocked = "method_unblocked"
	PushOff         = "push_off" // two declined pushes within a day
	NotMe           = "not_me"   // "this wasn't me"
	RecoveryUsed    = "recovery_used"
	RolesChanged    = "roles_changed"
	PayeeTrusted    = "payee_trusted"
	PayeeDistrusted = "payee_distrusted"
	OtherAccount    = "other_account" // somebody with factors has paid from a bank account that was new to us
)

// Notice is one of them.
type Notice struct {
	ID        string // chg_…, of the line in the person's history
	PersonID  string
	PaymentID string // that it happened at, when it did at one
	What      string
	Method    Method
	At        time.Time
}

// Notices brings word to people. It is called after the change was committed;
// it must not block for long.
type Notices interface {
	Notify(ctx context.Context, n Notice)
}

// Monitoring watches for fraud. It is told of what may be one (Suspicious) in
// the transaction in which it happened, so that nothing is lost and nothing is
// told twice.
type Monitoring interface {
	Suspect(tx *store.Tx, n Notice) error
}

// Suspicious reports whether a notice is for those who watch for fraud.
func (n Notice) Suspicious() bool {
	switch n.What {
	case NotMe, FactorCloned, MethodBlocked, MethodLocked:
		return true
	}
	return false
}

// Change is a line of a person's own history.
type Change struct {
	What   string
	Method Method
	At     time.Time
}

// OfTries reports whether a change comes of tries alone: to somebody who has
// proved nothing it would say how his own went.
func (c Change) OfTries() bool {
	switch c.What {
	case MethodBlocked, MethodNearLock, MethodLocked, MethodUnblocked:
		return true
	}
	return false
}

// note writes a change down; the returned notice goes out after the commit.
func (s *Service) note(tx *store.Tx, n Notice) (Notice, error) {
	n.ID, n.At = psd2.NewID("chg", tx.Now, s.random), tx.Now
	_, err := tx.Exec(`INSERT INTO sca_changes (id, person_id, what, method, created_at) VALUES (?, ?, ?, ?, ?)`,
		n.ID, n.PersonID, n.What, string(n.Method), tx.Now.UnixMicro())
	if err != nil || s.monitoring == nil || !n.Suspicious() {
		return n, err
	}
	return n, s.monitoring.Suspect(tx, n)
}

// tell brings what was noted to its person: by whoever brings notices, and by
// his push devices, which look and show it.
func (s *Service) tell(ctx context.Context, list ...Notice) {
	for _, n := range list {
		if n.What == "" {
			continue
		}
		s.wake(ctx, n.PersonID)
		s.log.InfoContext(ctx, "sca", "what", n.What, "method", string(n.Method), "person_id", n.PersonID)
		if s.notices != nil {
			s.notices.Notify(ctx, n)
		}
	}
}

// wake tells a person's push devices to look.
func (s *Service) wake(ctx context.Context, personID string) {
	if s.ping == nil {
		return
	}
	var devices []string
	err := s.db.Select(ctx, &devices, `SELECT id FROM sca_factors WHERE person_id = ? AND kind = 'push' AND state = 'active' ORDER BY id`, personID)
	for _, d := range devices {
		err = errors.Join(err, s.ping(ctx, d))
	}
	if err != nil {
		s.log.WarnContext(ctx, "sca", "what", "ping", "error", err.Error())
	}
}

// recentDays is how long a change is shown wherever its person confirms.
const recentDays = 30

// Recent are the changes to a person's factors that pages show him unasked,
// newest first: at the next payment, and on his push device. Nobody can make
// them go away by looking first.
func (s *Service) Recent(ctx context.Context, personID string) ([]Change, error) {
	list, err := s.Changes(ctx, personID, 5)
	old := s.db.Now().AddDate(0, 0, -recentDays)
	return slices.DeleteFunc(list, func(c Change) bool { return c.At.Before(old) }), err
}

// Changes are the last changes to a person's factors, newest first.
func (s *Service) Changes(ctx context.Context, personID string, limit int) ([]Change, error) {
	var rows []struct {
		What      string `db:"what"`
		Method    string `db:"method"`
		CreatedAt int64  `db:"created_at"`
	}
	err := s.db.Select(ctx, &rows, `SELECT what, method, created_at FROM sca_changes WHERE person_id = ? ORDER BY id DESC LIMIT ?`, personID, limit)
	list := make([]Change, len(rows))
	for i, r := range rows {
		list[i] = Change{r.What, Method(r.Method), time.UnixMicro(r.CreatedAt).UTC()}
	}
	return list, err
}
