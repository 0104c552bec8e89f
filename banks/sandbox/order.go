package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"time"
)

// order is a payment resource of NextGenPSD2.
type order struct {
	ID           string `db:"id"`
	Bank         string `db:"bank"`
	Product      string `db:"product"`
	EndToEndID   string `db:"end_to_end_id"`
	AmountMinor  int64  `db:"amount_minor"`
	CreditorName string `db:"creditor_name"`
	CreditorIBAN string `db:"creditor_iban"`
	CreditorBIC  string `db:"creditor_bic"`
	Remittance   string `db:"remittance"`
	DebtorAsked  string `db:"debtor_asked"`
	DebtorIBAN   string `db:"debtor_iban"`
	DebtorName   string `db:"debtor_name"`
	Status       string `db:"status"`
	Reason       string `db:"reason"`
	SCAID        string `db:"sca_id"`
	SCAStatus    string `db:"sca_status"`
	PageHash     string `db:"page_hash"`
	SessionHash  string `db:"session_hash"`
	SessionUser  string `db:"session_user"`
	Tries        int    `db:"tries"`
	MuteLeft     int    `db:"mute_left"`
	RedirectURI  string `db:"redirect_uri"`
	NokURI       string `db:"nok_uri"`
	CreatedAt    int64  `db:"created_at"`
	ExpiresAt    int64  `db:"expires_at"`
	ExecuteAt    int64  `db:"execute_at"`
}

// Statuses and reasons the banks give.
const (
	received  = "RCVD"
	inProcess = "ACSP"
	rejected  = "RJCT"
	cancelled = "CANC"

	reasonNoFunds     = "AM04"
	reasonBlocked     = "AC06"
	reasonDeclined    = "CUST" // requested by customer
	reasonLapsed      = "DS24" // waiting time expired
	reasonCredentials = "PSU_CREDENTIALS_INVALID"

	scaReceived      = "received"
	scaAuthenticated = "psuAuthenticated"
	scaFinalised     = "finalised"
	scaFailed        = "failed"
)

// maxTries is how many wrong passwords and codes one order forgives (RTS SCA
// Art. 4(3)(b): at most five in a row).
const maxTries = 5

// seen is the order as it is at that time: an unused redirect ends by the
// clock alone, and then the order is rejected (NextGenPSD2: an SCA not
// completed in time sets RJCT).
func (o order) seen(now time.Time) order {
	if o.Status == received && now.UnixMicro() >= o.ExpiresAt {
		o.Status, o.Reason, o.SCAStatus = rejected, reasonLapsed, scaFailed
	}
	return o
}

// back is where the payer goes when the order has come to this status.
func (o order) back() string {
	if o.Status == rejected || o.Status == cancelled {
		return o.NokURI
	}
	return o.RedirectURI
}

func (s *Sandbox) insertOrder(o *order) error {
	return s.file.do(func(t *tx) error {
		_, err := t.exec(`INSERT INTO orders (id, bank, product, end_to_end_id, amount_minor, creditor_name, creditor_iban, creditor_bic,
			remittance, debtor_asked, status, sca_id, sca_status, page_hash, redirect_uri, nok_uri, created_at, expires_at)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			o.ID, o.Bank, o.Product, o.EndToEndID, o.AmountMinor, o.CreditorName, o.CreditorIBAN, o.CreditorBIC,
			o.Remittance, o.DebtorAsked, o.Status, o.SCAID, o.SCAStatus, o.PageHash, o.RedirectURI, o.NokURI, o.CreatedAt, o.ExpiresAt)
		return err
	})
}

func (s *Sandbox) order(ctx context.Context, bankID, id string) (order, error) {
	var o order
	err := s.file.get(ctx, &o, `SELECT * FROM orders WHERE id = ? AND bank = ?`, id, bankID)
	return o.seen(s.now()), err
}

func (s *Sandbox) orderByPage(ctx context.Context, bankID, token string) (order, error) {
	var o order
	err := s.file.get(ctx, &o, pageQuery, hash(token), bankID)
	return o.seen(s.now()), err
}

const pageQuery = `SELECT * FROM orders WHERE page_hash = ? AND bank = ?`

func (t *tx) saveOrder(o *order) error {
	_, err := t.exec(`UPDATE orders SET debtor_iban=?, debtor_name=?, status=?, reason=?, sca_status=?, session_hash=?, session_user=?,
		tries=?, mute_left=?, execute_at=? WHERE id=?`, o.DebtorIBAN, o.DebtorName, o.Status, o.Reason, o.SCAStatus,
		o.SessionHash, o.SessionUser, o.Tries, o.MuteLeft, o.ExecuteAt, o.ID)
	return err
}

// hash is what the file keeps of a secret that somebody else holds.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// problem is why a step of the payer's did not succeed; a key of the texts.
type problem string

const (
	wrongLogin problem = "wrong_login"
	wrongCode  problem = "wrong_code"
	usedCode   problem = "used_code"
	noSession  problem = "no_session"
	noAccount  problem = "no_account"
)

// change runs fn on the order behind a page link while it still waits for its
// payer; of an order that does not wait any more it returns what it has become.
func (s *Sandbox) change(b *bank, token string, fn func(*tx, *order) error) (order, error) {
	var o order
	err := s.file.do(func(t *tx) error {
		o = order{}
		if err := t.get(&o, pageQuery, hash(token), b.ID); err != nil {
			return err
		}
		if o = o.seen(s.now()); o.Status != received {
			return nil
		}
		if err := fn(t, &o); err != nil {
			return err
		}
		return t.saveOrder(&o)
	})
	return o, err
}

// login ties the order to the customer who knows the password. session is the
// secret his browser keeps.
func (s *Sandbox) login(b *bank, token, user, password, session string) (o order, p problem, err error) {
	o, err = s.change(b, token, func(t *tx, o *order) error {
		p = ""
		var psu psuRow
		err := t.get(&psu, psuQuery, b.ID, user)
		if err != nil && !isNoRows(err) {
			return err
		}
		if known := psu.passwordIs(password); err != nil || !known {
			p = wrongLogin
			o.fail()
			return nil
		}
		o.SessionHash, o.SessionUser, o.SCAStatus = hash(session), user, scaAuthenticated
		return nil
	})
	return o, p, err
}

// fail counts a wrong password or code, and rejects the order at the last.
func (o *order) fail() {
	if o.Tries++; o.Tries >= maxTries {
		o.Status, o.Reason, o.SCAStatus = rejected, reasonCredentials, scaFailed
	}
}

// holds reports whether the browser with this secret has logged in.
func (o *order) holds(session string) bool {
	return session != "" && o.SessionUser != "" && subtle.ConstantTimeCompare([]byte(hash(session)), []byte(o.SessionHash)) == 1
}

// decline ends the order by the payer's wish. It needs no login: who holds the
// link may leave.
func (s *Sandbox) decline(b *bank, token string) (order, error) {
	return s.change(b, token, func(_ *tx, o *order) error {
		o.Status, o.Reason, o.SCAStatus = rejected, reasonDeclined, scaFailed
		return nil
	})
}

// confirm is the payer's yes to amount and payee with the code of his phone.
// Whatever is decided here is decided in one transaction: the code is used up,
// the order leaves RCVD and the money moves together, or nothing happens. A
// second click finds the order decided.
func (s *Sandbox) confirm(b *bank, token, session, iban, code string) (o order, p problem, err error) {
	now := s.now()
	o, err = s.change(b, token, func(t *tx, o *order) error {
		p = ""
		if !o.holds(session) {
			p = noSession
			return nil
		}
		var psu psuRow
		if err := t.get(&psu, psuQuery, b.ID, o.SessionUser); err != nil {
			return err
		}
		a, err := payingAccount(t, b, o, iban)
		if err != nil {
			return err
		}
		if a == nil {
			p = noAccount
			return nil
		}
		if p, err = useCode(t, b, o.SessionUser, &psu, code, now); err != nil || p != "" {
			if p != "" {
				o.fail()
			}
			return err
		}
		return s.decide(t, b, o, psu.Behaviour, a, now)
	})
	if err == nil && p == "" && o.Status == inProcess {
		s.nudge()
	}
	return o, p, err
}

// payingAccount is the customer's account with that IBAN ("" is his first), or
// nil: none of his, or not the one the TPP asked for.
func payingAccount(t *tx, b *bank, o *order, iban string) (*account, error) {
	var list []account
	if err := t.sel(&list, accountsQuery, b.ID, o.SessionUser); err != nil {
		return nil, err
	}
	if o.DebtorAsked != "" && (iban == "" || iban == o.DebtorAsked) {
		iban = o.DebtorAsked
	} else if o.DebtorAsked != "" {
		return nil, nil
	}
	for i := range list {
		if iban == "" || list[i].IBAN == iban {
			return &list[i], nil
		}
	}
	return nil, nil
}

// By account number, not by check digits.
const accountsQuery = `SELECT ` + accountColumns + ` FROM accounts WHERE bank = ? AND username = ? ORDER BY substr(iban, 5)`

// useCode accepts each time step once (RFC 6238 §5.2): a code that was seen, or
// an older one, is refused.
func useCode(t *tx, b *bank, user string, psu *psuRow, code string, now time.Time) (problem, error) {
	step, ok := psu.stepOf(code, now)
	if !ok {
		return wrongCode, nil
	}
	n, err := t.exec(`UPDATE psus SET last_step = ? WHERE bank = ? AND username = ? AND last_step < ?`, step, b.ID, user, step)
	if err == nil && n == 0 {
		return usedCode, nil
	}
	return "", err
}

// decide gives a confirmed order its outcome.
func (s *Sandbox) decide(t *tx, b *bank, o *order, how Behaviour, a *account, now time.Time) error {
	o.DebtorIBAN, o.DebtorName, o.SCAStatus = a.IBAN, a.Holder, scaFinalised
	switch {
	case how == Declines:
		o.Status, o.Reason, o.SCAStatus = rejected, reasonDeclined, scaFailed
	case a.Blocked:
		o.Status, o.Reason = rejected, reasonBlocked
	case a.Balance < o.AmountMinor:
		o.Status, o.Reason = rejected, reasonNoFunds
	case how == Late:
		o.Status, o.ExecuteAt = inProcess, now.Add(b.LateBy).UnixMicro()
	default:
		if how == Silent {
			o.MuteLeft = b.SilentFor
		}
		o.Status = b.Final
		return book(t, o, b.Holder, now)
	}
	return nil
}

// cancel ends an order that its payer has not confirmed. ok is false when it
// is too late, or the order has ended otherwise.
func (s *Sandbox) cancel(bankID, id string) (ok bool, err error) {
	err = s.file.do(func(t *tx) error {
		ok = false
		var o order
		if err := t.get(&o, `SELECT * FROM orders WHERE id = ? AND bank = ?`, id, bankID); err != nil {
			return err
		}
		if o = o.seen(s.now()); o.Status != received {
			return nil
		}
		o.Status, o.SCAStatus, ok = cancelled, scaFailed, true
		return t.saveOrder(&o)
	})
	return ok, err
}

// muted reports whether this question is to be left unanswered, and counts it.
func (s *Sandbox) muted(o order) (bool, error) {
	if o.MuteLeft <= 0 {
		return false, nil
	}
	var n int64
	err := s.file.do(func(t *tx) (err error) {
		n, err = t.exec(`UPDATE orders SET mute_left = mute_left - 1 WHERE id = ? AND mute_left > 0`, o.ID)
		return err
	})
	return n > 0, err
}
