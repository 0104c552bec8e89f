package hub

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// A payee's bank tells more about an account than its number does, so a
// merchant may put only so many questions about one of them.
const (
	vopPrefix  = "ver"
	vopPerIBAN = 5 // a day, for one merchant
)

// PayeeQuestion is whose name a merchant wants to have checked: one of his own
// payee accounts, or the payee of a payout he is about to make.
type PayeeQuestion struct {
	AccountID string
	Player    psd2.Player // of the draft
	Payee     psd2.Party  // of the draft: name and IBAN
}

// Verification is an answered question.
type Verification struct {
	ID string // ver_…
	psd2.VoPResult
}

// CheckQuestion says what is wrong with a question, and otherwise which payee
// it is about. A draft's payee must bear the player's name: nobody can ask
// about people who are not his players.
func (h *Hub) CheckQuestion(m *psd2.Merchant, q PayeeQuestion) (psd2.Party, error) {
	draft := q.Payee != (psd2.Party{}) || q.Player != (psd2.Player{})
	switch {
	case h.vop == nil:
		return psd2.Party{}, psd2.Fail(psd2.CodeConflict, "payee_not_verifiable", "payees cannot be verified here")
	case draft == (q.AccountID != ""):
		return psd2.Party{}, psd2.Invalid("payee_account_id", "payee_missing", "give either payee_account_id or payout_draft")
	case !draft:
		a, ok := m.Account(q.AccountID)
		if !ok {
			return psd2.Party{}, psd2.Invalid("payee_account_id", "payee_account_unknown", "this is not one of your payee accounts")
		}
		return psd2.Party{Name: a.Name, IBAN: a.IBAN, BIC: a.BIC}, nil
	}
	iban, err := psd2.ParseIBAN(string(q.Payee.IBAN))
	if err != nil {
		return psd2.Party{}, psd2.Invalid("payout_draft.payee.iban", "iban_invalid", "the payee's IBAN is not valid")
	}
	if err := psd2.CheckText("payout_draft.payee.name", q.Payee.Name, 70); err != nil {
		return psd2.Party{}, err
	}
	if q.Player.Reference == "" || psd2.CheckText("player.reference", q.Player.Reference, 64) != nil {
		return psd2.Party{}, psd2.Invalid("payout_draft.player.reference", "player_reference_missing", "say who the player is, by your own reference")
	}
	if psd2.CheckText("player.name", q.Player.Name, 140) != nil || q.Player.Name == "" || !SameHolder(q.Payee.Name, q.Player.Name) {
		return psd2.Party{}, psd2.Invalid("payout_draft.payee.name", "own_account_required", "payouts go to the player's own account only")
	}
	return psd2.Party{Name: q.Payee.Name, IBAN: iban}, nil
}

// VerifyPayee asks the payee's bank and keeps the evidence. Whatever goes wrong
// on the way is NOAP. It fails with rate_limited after vopPerIBAN questions
// about one account within a day.
func (h *Hub) VerifyPayee(ctx context.Context, m *psd2.Merchant, q PayeeQuestion) (v Verification, err error) {
	payee, err := h.CheckQuestion(m, q)
	if err != nil {
		return v, err
	}
	if err := h.mayQuestion(ctx, m.ID, payee.IBAN); err != nil {
		return v, err
	}
	v.VoPResult, err = h.vop.Verify(ctx, payee)
	if err != nil || v.Match == "" {
		v.VoPResult = psd2.VoPResult{Match: psd2.MatchNotPossible}
	}
	if v.CheckedAt = v.CheckedAt.UTC().Truncate(time.Millisecond); v.CheckedAt.IsZero() {
		v.CheckedAt = h.store.Now().Truncate(time.Millisecond)
	}
	v.ID = psd2.NewID(vopPrefix, h.now(), h.random)
	return v, h.store.Tx(ctx, func(tx *store.Tx) error { return h.keepEvidence(tx, m.ID, q.AccountID, payee, v) })
}

func (h *Hub) mayQuestion(ctx context.Context, merchantID string, iban psd2.IBAN) error {
	var times []int64
	err := h.store.Select(ctx, &times, `SELECT checked_at FROM payee_verifications WHERE merchant_id = ? AND iban_hash = ? AND checked_at > ?
		ORDER BY checked_at DESC LIMIT ?`, merchantID, h.store.Lookup("vop/iban", string(iban)), h.store.Now().Add(-24*time.Hour).UnixMicro(), vopPerIBAN)
	if err != nil || len(times) < vopPerIBAN {
		return err
	}
	free := time.UnixMicro(times[len(times)-1]).Add(24 * time.Hour)
	return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "rate_limited", RetryAfter: max(free.Sub(h.store.Now()), time.Second),
		Message: "this account was asked about too often; try again after the time given in Retry-After"}
}

func (h *Hub) keepEvidence(tx *store.Tx, merchantID, accountID string, payee psd2.Party, v Verification) error {
	var account, sealed any
	if accountID != "" {
		doc, err := json.Marshal(v.VoPResult)
		if err != nil {
			return err
		}
		account, sealed = accountID, h.store.SealShared("payee_verifications", v.ID, "sealed", doc)
	}
	_, err := tx.Exec(`INSERT INTO payee_verifications (id, merchant_id, account_id, iban_hash, payee_hash, result, checked_at, sealed)
		VALUES (?,?,?,?,?,?,?,?)`, v.ID, merchantID, account, h.store.Lookup("vop/iban", string(payee.IBAN)), h.payeeHash(payee),
		string(v.Match), v.CheckedAt.UnixMicro(), sealed)
	return err
}

func (h *Hub) payeeHash(p psd2.Party) string {
	return h.store.Lookup("vop/payee", string(p.IBAN)+"\n"+p.Name)
}

// AccountEvidence is the latest verification of a merchant's payee account
// under its present name and IBAN; ok is false when there is none.
func (h *Hub) AccountEvidence(ctx context.Context, merchantID string, a psd2.PayeeAccount) (v Verification, ok bool, err error) {
	var row struct {
		ID     string `db:"id"`
		Sealed []byte `db:"sealed"`
	}
	err = h.store.Get(ctx, &row, `SELECT id, sealed FROM payee_verifications WHERE merchant_id = ? AND account_id = ? AND payee_hash = ?
		ORDER BY checked_at DESC, id DESC LIMIT 1`, merchantID, a.ID, h.payeeHash(psd2.Party{Name: a.Name, IBAN: a.IBAN}))
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	doc, err := h.store.UnsealShared("payee_verifications", row.ID, "sealed", row.Sealed)
	if err != nil {
		return v, false, err
	}
	v.ID = row.ID
	return v, true, json.Unmarshal(doc, &v.VoPResult)
}

// VerifyAccounts asks about the payee accounts of a merchant that have no
// evidence yet, as when he is registered or changes one.
func (h *Hub) VerifyAccounts(ctx context.Context, m *psd2.Merchant) (map[string]Verification, error) {
	found := map[string]Verification{}
	for _, a := range m.Accounts {
		v, ok, err := h.AccountEvidence(ctx, m.ID, a)
		if err == nil && !ok {
			v, err = h.VerifyPayee(ctx, m, PayeeQuestion{AccountID: a.ID})
		}
		if err != nil {
			return found, err
		}
		found[a.ID] = v
	}
	return found, nil
}
