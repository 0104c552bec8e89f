package sca

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What can happen to a person's factors. Each is told to him.
const (
	FactorAdded     = "factor_added"
	FactorRenamed   = "factor_renamed"
	FactorRevoked   = "factor_revoked"
	FactorCloned    = "factor_cloned"    // a passkey's counter went back: it may have been copied
	MethodBlocked   = "method_blocked"   // five failures in a row
	MethodNearLock  = "method_near_lock" // few tries are left before the method is locked for good (RTS Art. 4(4))
	MethodLocked    = "method_locked"
	MethodUnblocked = "method_unblocked"
	PushOff         = "push_off" // two declined pushes within a day
	NotMe           = "not_me"   // "this wasn't me"
	RecoveryUsed    = "recovery_used"
	RolesChanged    = "roles_changed"
)

// Notice is one of them.
type Notice struct {
	PersonID  string
	PaymentID string // of NotMe
	What      string
	Method    Method
	At        time.Time
}

// Notices brings word to people, and to whoever watches for fraud (NotMe,
// FactorCloned). It is called after the change was committed; it must not
// block for long.
type Notices interface {
	Notify(ctx context.Context, n Notice)
}

// Change is a line of a person's own history.
type Change struct {
	What   string
	Method Method
	At     time.Time
}

// note writes a change down; the returned notice goes out after the commit.
func (s *Service) note(tx *store.Tx, n Notice) (Notice, error) {
	n.At = tx.Now
	_, err := tx.Exec(`INSERT INTO sca_changes (id, person_id, what, method, created_at) VALUES (?, ?, ?, ?, ?)`,
		psd2.NewID("chg", tx.Now, s.random), n.PersonID, n.What, string(n.Method), tx.Now.UnixMicro())
	return n, err
}

func (s *Service) tell(ctx context.Context, list ...Notice) {
	for _, n := range list {
		if n.What == "" {
			continue
		}
		s.log.InfoContext(ctx, "sca", "what", n.What, "method", string(n.Method), "person_id", n.PersonID)
		if s.notices != nil {
			s.notices.Notify(ctx, n)
		}
	}
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
