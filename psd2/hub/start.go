package hub

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// StartRequest is a merchant's wish for a deposit.
type StartRequest struct {
	Amount         psd2.Money
	PayeeAccountID string
	Reference      string
	Player         psd2.Player
	ReturnURI      string
	State          string
	BankID         string
	Locale         string
	DeviceID       string
	Metadata       map[string]string
}

var (
	date    = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	country = regexp.MustCompile(`^[A-Z]{2}$`)
	word    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	visible = regexp.MustCompile(`^[\x20-\x7e]*$`)
)

// CheckStart says what is wrong with a wish, naming the field; nil when
// nothing is. It changes nothing.
func (h *Hub) CheckStart(m *psd2.Merchant, r StartRequest) error {
	if err := r.Amount.CheckSCTInst(); err != nil {
		return err
	}
	if m.MaxMinor > 0 && r.Amount.AmountMinor > m.MaxMinor {
		return psd2.Invalid("amount.amount_minor", "amount_out_of_range", "the amount is above the limit agreed for this merchant")
	}
	if _, ok := m.Account(r.PayeeAccountID); !ok {
		return psd2.Invalid("payee_account_id", "payee_account_unknown", "this is not one of your payee accounts")
	}
	if err := psd2.CheckReference(r.Reference); err != nil {
		return err
	}
	if !slices.Contains(m.ReturnURIs, r.ReturnURI) { // byte by byte: no parsing, nothing to confuse
		return psd2.Invalid("return_uri", "return_uri_not_registered", "the return URI is not registered; it is compared byte by byte")
	}
	if len(r.State) > 512 || !visible.MatchString(r.State) {
		return psd2.Invalid("state", "state_invalid", "state may have up to 512 visible ASCII characters")
	}
	if r.BankID != "" {
		if _, _, ok := h.banks.Bank(r.BankID); !ok {
			return psd2.Invalid("bank_id", "bank_unknown", "there is no such bank")
		}
	}
	if r.Locale != "" && r.Locale != "de" && r.Locale != "en" {
		return psd2.Invalid("locale", "locale_not_supported", "the locale must be de or en")
	}
	if err := psd2.CheckText("device_id", r.DeviceID, 128); err != nil {
		return err
	}
	if err := checkMetadata(r.Metadata); err != nil {
		return err
	}
	return checkPlayer(m, r.Player)
}

func checkMetadata(m map[string]string) error {
	if len(m) > 10 {
		return psd2.Invalid("metadata", "metadata_invalid", "metadata may have up to 10 entries")
	}
	for k, v := range m {
		if !word.MatchString(k) || len(k) > 40 {
			return psd2.Invalid("metadata", "metadata_invalid", "metadata keys have 1 to 40 letters, digits, _ or -")
		}
		if err := psd2.CheckText("metadata", v, 500); err != nil {
			return err
		}
	}
	return nil
}

func checkPlayer(m *psd2.Merchant, p psd2.Player) error {
	if p.Reference == "" {
		return psd2.Invalid("player.reference", "player_reference_missing", "say who the player is, by your own reference")
	}
	if err := psd2.CheckText("player.reference", p.Reference, 64); err != nil {
		return err
	}
	if err := psd2.CheckText("player.name", p.Name, 140); err != nil {
		return err
	}
	if len(words(p.Name)) == 0 && (p.Name != "" || policyOf(m) == psd2.PayerRequired) {
		return psd2.Invalid("player.name", "player_name_missing", "the player's name is needed to check that the account is his own")
	}
	if p.DateOfBirth != "" {
		if _, err := time.Parse("2006-01-02", p.DateOfBirth); err != nil || !date.MatchString(p.DateOfBirth) {
			return psd2.Invalid("player.date_of_birth", "date_invalid", "the date of birth must be a date like 1980-12-31")
		}
	}
	if p.Residence != "" && !country.MatchString(p.Residence) {
		return psd2.Invalid("player.residence", "country_invalid", "the residence must be an ISO 3166 country code of two capital letters")
	}
	if p.KYCStatus != "" && !word.MatchString(p.KYCStatus) {
		return psd2.Invalid("player.kyc_status", "kyc_status_invalid", "the KYC status has 1 to 64 letters, digits, _ or -")
	}
	if p.RegisteredAt != "" {
		if _, err := time.Parse(time.RFC3339, p.RegisteredAt); err != nil {
			return psd2.Invalid("player.registered_at", "time_invalid", "registered_at must be a time by RFC 3339")
		}
	}
	if p.StakeMinorSinceLastPayout != nil && *p.StakeMinorSinceLastPayout < 0 {
		return psd2.Invalid("player.stake_minor_since_last_payout", "amount_out_of_range", "the stake must not be negative")
	}
	return nil
}

// policyOf is the merchant's policy; the careful one when he has none.
func policyOf(m *psd2.Merchant) psd2.Policy {
	if m.PayerPolicy == "" {
		return psd2.PayerRequired
	}
	return m.PayerPolicy
}

// Draft makes the payment of a wish, which CreateIn writes. hostedURL is where
// the payer goes; its token is in no database, only its hash.
func (h *Hub) Draft(m *psd2.Merchant, r StartRequest, now time.Time) (p *psd2.Payment, hostedURL string, err error) {
	if err := h.CheckStart(m, r); err != nil {
		return nil, "", err
	}
	account, _ := m.Account(r.PayeeAccountID)
	token := h.linkToken(now)
	p = &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, h.random), MerchantID: m.ID,
		PersonID: h.store.PersonID(m.ID, r.Player.Reference),
		Amount:   r.Amount, PayeeAccountID: account.ID, ReturnURI: r.ReturnURI, BankID: r.BankID, Locale: r.Locale,
		ExpiresAt: now.Add(h.cfg.ExpireAfter), PayerPolicy: policyOf(m), LinkHash: linkHash(token),
		Personal: psd2.Personal{
			Reference: r.Reference, Player: r.Player, State: r.State, Metadata: r.Metadata, DeviceID: r.DeviceID,
			Payee: psd2.Party{Name: account.Name, IBAN: account.IBAN, BIC: account.BIC},
		},
	}
	p.Create(now)
	return p, h.cfg.PublicURL + "/p/" + token, nil
}

// CreateIn writes a draft in the caller's transaction, the one that also keeps
// the Idempotency-Key.
func (h *Hub) CreateIn(tx *store.Tx, p *psd2.Payment) error {
	if err := tx.CreatePayment(p); err != nil {
		return err
	}
	h.metrics.payments.WithLabelValues(string(p.State)).Inc()
	return nil
}

// StartIn drafts a payment and writes it.
func (h *Hub) StartIn(tx *store.Tx, m *psd2.Merchant, r StartRequest) (p *psd2.Payment, hostedURL string, err error) {
	p, hostedURL, err = h.Draft(m, r, tx.Now)
	if err == nil {
		err = h.CreateIn(tx, p)
	}
	if err != nil {
		return nil, "", err
	}
	return p, hostedURL, nil
}

// linkTime is how many of a link token's characters are its time: 6 bytes of
// milliseconds, as in our ids. The rest are 26 bytes of secret.
const linkTime = 8

// linkToken makes the token of a hosted page's link.
func (h *Hub) linkToken(now time.Time) string {
	ms := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(ms[2:]) + h.secret()[linkTime:]
}

// linkHash is what a payment is found by. It begins with the token's time, so
// that new ones lie side by side in their index: a page of it is written for
// many payments, not for each.
func linkHash(token string) string { return token[:linkTime] + hash(token) }

// ByLink finds the payment a hosted page's link opens. Looking consumes
// nothing: mail scanners and previews look too.
func (h *Hub) ByLink(ctx context.Context, token string) (*psd2.Payment, error) {
	if len(token) != 43 || !word.MatchString(token) {
		return nil, psd2.NotFound("payment")
	}
	return h.store.PaymentByLink(ctx, linkHash(token))
}

// Bind ties a payment to the one browser that may act on it: the first. For
// any other it fails with reason "other_browser".
func (h *Hub) Bind(ctx context.Context, paymentID, browserSecret string) (*psd2.Payment, error) {
	mine := hash(browserSecret)
	return h.store.UpdatePayment(ctx, paymentID, func(p *psd2.Payment) error {
		if p.BrowserHash != "" && p.BrowserHash != mine {
			return psd2.Fail(psd2.CodeConflict, "other_browser", "the payment was begun in another browser")
		}
		p.BrowserHash = mine
		return nil
	})
}

// IsBoundTo reports whether this browser is the one the payment belongs to.
func (h *Hub) IsBoundTo(p *psd2.Payment, browserSecret string) bool {
	return p.BrowserHash != "" && browserSecret != "" && equal(p.BrowserHash, hash(browserSecret))
}
