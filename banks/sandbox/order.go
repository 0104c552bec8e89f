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
	MuteLeft     int    `db:"mute_left"`
	CreatedAt    int64  `db:"created_at"`
	ExpiresAt    int64  `db:"expires_at"`
	ExecuteAt    int64  `db:"execute_at"`
	ConfirmHash  string `db:"confirm_hash"`
	GrantID      string `db:"grant_id"`
	NotifyURI    string `db:"notify_uri"`
	authorisation
	Cancelling bool `db:"-"` // the authorisation is that of its cancellation
}

// authorisation is what a customer has to do: for the payment, or for its
// cancellation. Its id is "" as long as nobody started it.
type authorisation struct {
	SCAID       string `db:"sca_id"`
	SCAStatus   string `db:"sca_status"`
	PageHash    string `db:"page_hash"`
	SessionHash string `db:"session_hash"`
	SessionUser string `db:"session_user"` // who: by login, or by PSU-ID
	Tries       int    `db:"tries"`
	Method      string `db:"method"`
	Code        string `db:"code"`
	RedirectURI string `db:"redirect_uri"`
	NokURI      string `db:"nok_uri"`
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
	reasonNoAccount   = "AC01" // account number not that of the customer
	reasonCredentials = "PSU_CREDENTIALS_INVALID"

	scaReceived      = "received"
	scaIdentified    = "psuIdentified"
	scaAuthenticated = "psuAuthenticated"
	scaSelected      = "scaMethodSelected"
	scaStarted       = "started"
	scaUnconfirmed   = "unconfirmed"
	scaFinalised     = "finalised"
	scaFailed        = "failed"
)

func scaFinal(status string) bool { return status == scaFinalised || status == scaFailed }

// maxTries is how many wrong passwords and codes one order forgives (RTS SCA
// Art. 4(3)(b): at most five in a row).
const maxTries = 5

// waits reports whether the payer still has to do something at the bank.
func (o order) waits() bool {
	return o.Status == received && !scaFinal(o.SCAStatus) && o.SCAStatus != scaUnconfirmed
}

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
	if o.Cancelling && o.Status != cancelled || !o.Cancelling && (o.Status == rejected || o.Status == cancelled) {
		return o.NokURI
	}
	return o.RedirectURI
}

func (s *Sandbox) insertOrder(o *order) error {
	return s.file.do(func(t *tx) error {
		_, err := t.exec(`INSERT INTO orders (id, bank, product, end_to_end_id, amount_minor, creditor_name, creditor_iban, creditor_bic,
			remittance, debtor_asked, status, sca_id, sca_status, page_hash, session_user, redirect_uri, nok_uri, created_at, expires_at, notify_uri)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			o.ID, o.Bank, o.Product, o.EndToEndID, o.AmountMinor, o.CreditorName, o.CreditorIBAN, o.CreditorBIC,
			o.Remittance, o.DebtorAsked, o.Status, o.SCAID, o.SCAStatus, o.PageHash, o.SessionUser, o.RedirectURI, o.NokURI, o.CreatedAt, o.ExpiresAt, o.NotifyURI)
		return err
	})
}

// getter reads one row, inside a transaction or outside.
type getter func(dst any, q string, args ...any) error

func (s *Sandbox) reading(ctx context.Context) getter {
	return func(dst any, q string, args ...any) error { return s.file.get(ctx, dst, q, args...) }
}

func (s *Sandbox) order(ctx context.Context, bankID, id string) (order, error) {
	return s.load(s.reading(ctx), bankID, id)
}

func (s *Sandbox) load(get getter, bankID, id string) (order, error) {
	var o order
	err := get(&o, `SELECT * FROM orders WHERE id = ? AND bank = ?`, id, bankID)
	return o.seen(s.now()), err
}

// loadCancelling is the order with the authorisation of its cancellation, which
// is empty as long as nobody started it.
func (s *Sandbox) loadCancelling(get getter, bankID, id string) (order, error) {
	o, err := s.load(get, bankID, id)
	if err != nil {
		return o, err
	}
	payer := o.SessionUser
	o.authorisation, o.Cancelling = authorisation{SessionUser: payer, RedirectURI: o.RedirectURI, NokURI: o.NokURI}, true
	err = get(&o.authorisation, `SELECT `+authorisationColumns+` FROM cancellations WHERE order_id = ?`, id)
	if isNoRows(err) {
		err = nil
	}
	if scaFinal(o.SCAStatus) || o.Status == received || o.SCAID == "" {
		return o, err
	}
	o.SCAStatus = scaFailed // too late
	return o, err
}

const authorisationColumns = `sca_id, sca_status, page_hash, session_hash, session_user, tries, method, code, redirect_uri, nok_uri`

// loadByPage finds the order that a page's token belongs to.
func (s *Sandbox) loadByPage(get getter, bankID, token string) (order, error) {
	var o order
	err := get(&o, `SELECT * FROM orders WHERE page_hash = ? AND bank = ?`, hash(token), bankID)
	if !isNoRows(err) {
		return o.seen(s.now()), err
	}
	var id string
	if err := get(&id, `SELECT order_id FROM cancellations WHERE page_hash = ?`, hash(token)); err != nil {
		return o, err
	}
	return s.loadCancelling(get, bankID, id)
}

func (s *Sandbox) orderByPage(ctx context.Context, bankID, token string) (order, error) {
	return s.loadByPage(s.reading(ctx), bankID, token)
}

func (t *tx) saveOrder(o *order) error {
	if o.Cancelling {
		return t.saveCancelling(o)
	}
	_, err := t.exec(`UPDATE orders SET debtor_iban=?, debtor_name=?, status=?, reason=?, sca_id=?, sca_status=?, page_hash=?, session_hash=?,
		session_user=?, tries=?, method=?, code=?, mute_left=?, execute_at=?, confirm_hash=?, grant_id=? WHERE id=?`,
		o.DebtorIBAN, o.DebtorName, o.Status, o.Reason, o.SCAID, o.SCAStatus, o.PageHash, o.SessionHash,
		o.SessionUser, o.Tries, o.Method, o.Code, o.MuteLeft, o.ExecuteAt, o.ConfirmHash, o.GrantID, o.ID)
	if err != nil || o.Status == received {
		return err
	}
	return t.notice(o)
}

func (t *tx) saveCancelling(o *order) error {
	_, err := t.exec(`INSERT INTO cancellations (order_id, `+authorisationColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (order_id) DO UPDATE SET sca_id = excluded.sca_id, sca_status = excluded.sca_status, page_hash = excluded.page_hash,
		session_hash = excluded.session_hash, session_user = excluded.session_user, tries = excluded.tries, method = excluded.method,
		code = excluded.code, redirect_uri = excluded.redirect_uri, nok_uri = excluded.nok_uri`,
		o.ID, o.SCAID, o.SCAStatus, o.PageHash, o.SessionHash, o.SessionUser, o.Tries, o.Method, o.Code, o.RedirectURI, o.NokURI)
	if err != nil || o.Status != cancelled {
		return err
	}
	if _, err := t.exec(`UPDATE orders SET status = ?, sca_status = ? WHERE id = ?`, o.Status, scaFailed, o.ID); err != nil {
		return err
	}
	return t.notice(o)
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

// finder says which order is meant.
type finder func(get getter, bankID string) (order, error)

func (s *Sandbox) byPage(token string) finder {
	return func(get getter, bankID string) (order, error) { return s.loadByPage(get, bankID, token) }
}

// byID is an order, or with cancelling its cancellation.
func (s *Sandbox) byID(id string, cancelling bool) finder {
	return func(get getter, bankID string) (order, error) {
		if cancelling {
			return s.loadCancelling(get, bankID, id)
		}
		return s.load(get, bankID, id)
	}
}

// change runs fn on an order while it still waits for its payer; of an order
// that does not wait any more it returns what it has become.
func (s *Sandbox) change(b *bank, which finder, fn func(*tx, *order) error) (o order, err error) {
	err = s.file.do(func(t *tx) (err error) {
		if o, err = which(t.get, b.ID); err != nil || o.Status != received || scaFinal(o.SCAStatus) {
			return err
		}
		if err := fn(t, &o); err != nil {
			return err
		}
		return t.saveOrder(&o)
	})
	if err == nil && o.Status != received {
		s.nudge() // somebody may want to know, or it is to be executed later
	}
	return o, err
}

// login ties the order to the customer who knows the password. session is the
// secret his browser keeps.
func (s *Sandbox) login(b *bank, token, user, password, session string) (o order, p problem, err error) {
	o, err = s.change(b, s.byPage(token), func(t *tx, o *order) error {
		p = ""
		known, err := t.knows(b, user, password)
		if err != nil || !o.waits() {
			return err
		}
		if !known {
			p = wrongLogin
			o.fail()
			return nil
		}
		o.SessionHash, o.SessionUser, o.SCAStatus = hash(session), user, scaAuthenticated
		return nil
	})
	return o, p, err
}

// knows reports whether the bank has that customer with that password.
func (t *tx) knows(b *bank, user, password string) (bool, error) {
	var psu psuRow
	err := t.get(&psu, psuQuery, b.ID, user)
	if err != nil && !isNoRows(err) {
		return false, err
	}
	known := psu.passwordIs(password) // also for nobody, so that it takes the same time
	return known && err == nil, nil
}

// fail counts a wrong password or code, and ends the authorisation at the last:
// the order is rejected, or stays uncancelled.
func (o *order) fail() {
	if o.Tries++; o.Tries < maxTries {
		return
	}
	o.SCAStatus = scaFailed
	if !o.Cancelling {
		o.Status, o.Reason = rejected, reasonCredentials
	}
}

// holds reports whether the browser with this secret has logged in.
func (o *order) holds(session string) bool {
	return session != "" && o.SessionUser != "" && subtle.ConstantTimeCompare([]byte(hash(session)), []byte(o.SessionHash)) == 1
}

// decline ends the authorisation by the payer's wish. On a page it needs no
// login: who holds the link may leave.
func (s *Sandbox) decline(b *bank, which finder) (order, error) {
	return s.change(b, which, func(_ *tx, o *order) error {
		o.declined()
		return nil
	})
}

func (o *order) declined() {
	o.SCAStatus = scaFailed
	if !o.Cancelling {
		o.Status, o.Reason = rejected, reasonDeclined
	}
}

// confirm is the payer's yes to amount and payee with the code of his phone.
// Whatever is decided here is decided in one transaction: the code is used up,
// the order leaves RCVD and the money moves together, or nothing happens. A
// second click finds the order decided.
func (s *Sandbox) confirm(b *bank, token, session, iban, code string) (o order, p problem, err error) {
	now := s.now()
	o, err = s.change(b, s.byPage(token), func(t *tx, o *order) (err error) {
		if !o.waits() {
			return nil
		}
		if !o.holds(session) {
			p = noSession
			return nil
		}
		p, err = s.authorised(t, b, o, iban, code, now)
		return err
	})
	return o, p, err
}

// authorised takes the customer's code and does what he authorised with it.
func (s *Sandbox) authorised(t *tx, b *bank, o *order, iban, code string, now time.Time) (problem, error) {
	var psu psuRow
	if err := t.get(&psu, psuQuery, b.ID, o.SessionUser); err != nil {
		return "", err
	}
	a, err := payingAccount(t, b, o, iban)
	if err != nil {
		return "", err
	}
	if a == nil && !o.Cancelling {
		return noAccount, nil
	}
	if o.Method == methodText {
		if o.Code == "" || subtle.ConstantTimeCompare([]byte(o.Code), []byte(code)) != 1 {
			o.fail()
			return wrongCode, nil
		}
		o.Code = ""
	} else if p, err := useCode(t, b, o.SessionUser, &psu, code, now); err != nil || p != "" {
		if p != "" {
			o.fail()
		}
		return p, err
	}
	return "", s.settle(t, b, o, psu.Behaviour, a, now)
}

// settle does what the customer authorised.
func (s *Sandbox) settle(t *tx, b *bank, o *order, how Behaviour, a *account, now time.Time) error {
	switch {
	case o.Cancelling && how == Declines:
		o.declined()
	case o.Cancelling:
		o.Status, o.SCAStatus = cancelled, scaFinalised
	case b.Confirmation && how != Declines:
		o.DebtorIBAN, o.DebtorName, o.SCAStatus = a.IBAN, a.Holder, scaUnconfirmed
	default:
		return s.decide(t, b, o, how, a, now)
	}
	return nil
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
		return s.book(t, o, b, now)
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
