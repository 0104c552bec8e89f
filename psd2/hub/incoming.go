package hub

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// readRecallsEvery is how often an account's bank is asked for other banks'
// recalls: they have fifteen banking days for an answer.
const readRecallsEvery = time.Minute

// readRecalls takes in what other banks want back (camt.056), where the channel
// has an inbox. It goes by the bank's cursor, which moves with what was taken
// in: nothing is lost, and what comes twice counts once.
func (h *Hub) readRecalls(ctx context.Context, accountID string, c banks.Channel) error {
	inbox, ok := c.(banks.RecallInbox)
	if !ok {
		return nil
	}
	place, readAt, err := h.recallsRead(ctx, accountID)
	if err != nil || h.store.Now().Sub(readAt) < readRecallsEvery {
		return err
	}
	for range statementPages {
		var list []psd2.RecallNotice
		next := place
		err := h.callChannel(ctx, c, "recalls", func(call context.Context) (err error) {
			list, next, err = inbox.Recalls(call, place)
			return err
		})
		if err != nil {
			_, late := h.takeRecalls(ctx, accountID, place, nil, place) // it is asked again in a minute, not at once
			return errors.Join(err, late)
		}
		moved, err := h.takeRecalls(ctx, accountID, place, list, next)
		if err != nil || !moved || next == place {
			return err
		}
		place = next
	}
	return nil
}

func (h *Hub) recallsRead(ctx context.Context, accountID string) (place string, at time.Time, err error) {
	var row struct {
		Place string `db:"place"`
		At    int64  `db:"read_at"`
	}
	err = h.store.Get(ctx, &row, `SELECT place, read_at FROM recall_inboxes WHERE account_id = ?`, accountID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", at, nil
	}
	return row.Place, time.UnixMicro(row.At).UTC(), err
}

// takeRecalls writes notices down and moves on, all at once; not when somebody
// else has moved on meanwhile.
func (h *Hub) takeRecalls(ctx context.Context, accountID, place string, list []psd2.RecallNotice, next string) (moved bool, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`INSERT INTO recall_inboxes (account_id, place, read_at) VALUES (?, ?, ?)
			ON CONFLICT (account_id) DO UPDATE SET place = excluded.place, read_at = excluded.read_at WHERE recall_inboxes.place = ?`,
			accountID, next, tx.Now.UnixMicro(), place)
		if moved = n == 1; err != nil || !moved {
			return err
		}
		for _, r := range list {
			if err := h.takeRecall(tx, accountID, r); err != nil {
				return err
			}
		}
		return nil
	})
	return moved, err
}

// RecallRequested records that another bank wants a deposit back. It moves
// nothing. One that is none of ours is kept too, for the account's owner.
func (h *Hub) RecallRequested(ctx context.Context, accountID string, n psd2.RecallNotice) error {
	return h.store.Tx(ctx, func(tx *store.Tx) error { return h.takeRecall(tx, accountID, n) })
}

func (h *Hub) takeRecall(tx *store.Tx, accountID string, n psd2.RecallNotice) error {
	o, err := h.ordered(tx, n.EndToEndID)
	if err != nil {
		return err
	}
	object, erased := "", false
	if o != nil && o.Payment != nil && o.Payment.PayeeAccountID == accountID {
		object, erased = o.Payment.ID, o.Erased
	}
	added, err := tx.Exec(`INSERT INTO recall_notices (account_id, bank_id, end_to_end_id, reason, received_at, object_id) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		accountID, n.ID, n.EndToEndID, n.Reason, n.ReceivedAt.UnixMicro(), object)
	if err != nil || added == 0 || object == "" || erased {
		return err
	}
	_, err = tx.UpdatePayment(object, func(p *psd2.Payment) error {
		p.RecallRequested(n.Reason, tx.Now)
		return nil
	})
	return err
}

// ReceivedRecall is another bank's recall, as it was taken in.
type ReceivedRecall struct {
	AccountID string
	psd2.RecallNotice
}

// RecallsOf lists the recalls of a deposit; of those that are about none of
// ours with "".
func (h *Hub) RecallsOf(ctx context.Context, paymentID string) ([]ReceivedRecall, error) {
	var rows []struct {
		AccountID  string `db:"account_id"`
		ID         string `db:"bank_id"`
		EndToEndID string `db:"end_to_end_id"`
		Reason     string `db:"reason"`
		ReceivedAt int64  `db:"received_at"`
	}
	if err := h.store.Select(ctx, &rows, `SELECT account_id, bank_id, end_to_end_id, reason, received_at FROM recall_notices
		WHERE object_id = ? ORDER BY received_at DESC LIMIT 100`, paymentID); err != nil {
		return nil, fmt.Errorf("list recalls: %w", err)
	}
	out := make([]ReceivedRecall, len(rows))
	for i, r := range rows {
		out[i] = ReceivedRecall{r.AccountID, psd2.RecallNotice{ID: r.ID, EndToEndID: r.EndToEndID, Reason: r.Reason, ReceivedAt: time.UnixMicro(r.ReceivedAt).UTC()}}
	}
	return out, nil
}
