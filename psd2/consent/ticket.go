package consent

import (
	"crypto/hmac"
	"encoding/base64"
	"io"
	"strconv"

	"github.com/rialto-hub/rialto/psd2"
)

const nonceLen, macLen = 16, 32

// newTicket makes the token of a consent form: a nonce, and a MAC with the
// browser's secret over it and everything the payer is shown. The hub spends
// the nonce once; the MAC makes it good for this browser, this bank and these
// facts only (RTS Art. 5(1)(d): any change invalidates).
func newTicket(random io.Reader, secret string, p *psd2.Payment, bankID string) (string, error) {
	nonce := make([]byte, nonceLen, nonceLen+macLen)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(nonce, ticketMAC(nonce, secret, p, bankID)...)), nil
}

// openTicket checks a form's token against the payment as it is now and gives
// its nonce. It is false for a forged token, another browser's, another
// bank's, and when what was shown is no longer true.
func openTicket(ticket, secret string, p *psd2.Payment, bankID string) (nonce string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	if err != nil || len(raw) != nonceLen+macLen || secret == "" {
		return "", false
	}
	if !hmac.Equal(raw[nonceLen:], ticketMAC(raw[:nonceLen], secret, p, bankID)) {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(raw[:nonceLen]), true
}

func ticketMAC(nonce []byte, secret string, p *psd2.Payment, bankID string) []byte {
	return mac(secret, "consent", string(nonce), p.ID, bankID,
		strconv.FormatInt(p.Amount.AmountMinor, 10), p.Amount.Currency,
		p.Personal.Payee.Name, string(p.Personal.Payee.IBAN), p.Personal.Reference)
}
