package consent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Cookies. All are __Host-: no sibling domain can set or read them.
const (
	visitCookie = "__Host-rp_visit" // random; ties the forms of a link to the browser that was shown them
	bindPrefix  = "__Host-rp_"      // + the payment's id without prefix: the secret of the browser that may act
	bankCookie  = "__Host-rp_bank"  // the bank used last, for the reader's convenience only
)

const (
	bindLife = 24 * time.Hour // beyond a payment's time, so that its result can still be read
	bankLife = 180 * 24 * time.Hour
)

func bindCookie(paymentID string) string {
	return bindPrefix + strings.TrimPrefix(paymentID, psd2.PrefixPayment+"_")
}

// cookie gives a cookie that is there exactly once. Two of one name mean that
// somebody else set one of them: neither is believed.
func cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 128 {
		return ""
	}
	return found[0].Value
}

// boundIDs are the payments for which the browser brings a secret, newest
// first.
func boundIDs(r *http.Request) []string {
	var ids []string
	for _, c := range r.Cookies() {
		id := psd2.PrefixPayment + "_" + strings.TrimPrefix(c.Name, bindPrefix)
		if strings.HasPrefix(c.Name, bindPrefix) && psd2.IsID(psd2.PrefixPayment, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids) // ids sort by time
	slices.Reverse(ids)
	return ids
}

func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// BoundSecret is the secret by which a request's browser is bound to a payment;
// "" when it is not.
func BoundSecret(r *http.Request, paymentID string) string { return cookie(r, bindCookie(paymentID)) }

// newSecret is 256 random bits.
func newSecret(random io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// bindSecret is the secret a browser gets when it is bound to a payment. It is
// made from the visit's secret and the link token, so that the two requests of
// a double click ask for the same binding, and so that neither a planted visit
// cookie nor the link alone is enough to know it.
func bindSecret(visit, token, paymentID string) string {
	return base64.RawURLEncoding.EncodeToString(mac(visit, "bind", token, paymentID))
}

// What a form's token is good for.
const (
	forStarting   = "start"
	forCancelling = "cancel"
	forMoreTime   = "more"
	forEnrolling  = "enrol"
)

// formToken is the hidden field that shows that a form was made for this
// browser; checkToken compares without telling how much of it is right.
func formToken(secret, purpose, paymentID string) string {
	return base64.RawURLEncoding.EncodeToString(mac(secret, "form", purpose, paymentID))
}

func checkToken(token, secret, purpose, paymentID string) bool {
	return secret != "" && hmac.Equal([]byte(token), []byte(formToken(secret, purpose, paymentID)))
}

// mac is HMAC-SHA256 over fields with their lengths, so that no two lists of
// fields give the same bytes.
func mac(key string, fields ...string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	for _, f := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
	return h.Sum(nil)
}
