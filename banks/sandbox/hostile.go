package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// The bank as an attacker: what its switches make of an order, an address, an
// answer.

// elsewhere is where a hostile bank leads to.
const elsewhere = "https://elsewhere.example"

// distort changes an order before it is stored. A hostile bank then believes
// that it was ordered so.
func (b *switchboard) distort(o *order) {
	s := b.get()
	if s.ChangedAmount {
		o.AmountMinor += 100
	}
	if s.ChangedPayee {
		o.CreditorIBAN, o.CreditorName = "DE02120300000000202051", "Somebody Else"
	}
}

// redirect is the address the payer is sent to.
func (b *switchboard) redirect(origin, path string) string {
	switch b.get().Redirect {
	case RedirectOtherHost:
		return elsewhere + path
	case RedirectJavaScript:
		return "javascript:alert(1)//" + origin + path
	case RedirectData:
		return "data:text/html,<h1>Bank</h1>"
	case RedirectUserinfo:
		return origin + "@" + strings.TrimPrefix(elsewhere, "https://") + path
	}
	return origin + path
}

// mislead changes what is told of an order, not the order.
func (b *switchboard) mislead(o *order) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s.UnknownCodes {
		o.Status, o.SCAStatus = "QWER", "levitating"
	}
	if !b.s.StatusBack || o.Status == received {
		return
	}
	if b.asked++; b.asked%2 == 0 {
		o.Status, o.Reason, o.SCAStatus = received, "", scaReceived
	}
}

// refuse gives the answers that come before anything is done.
func (b *switchboard) refuse(c echo.Context, a Answer) (done bool, err error) {
	switch a {
	case AnswerBusy, AnswerGone:
		status, _ := strconv.Atoi(string(a))
		c.Response().Header().Set("Retry-After", strconv.Itoa(b.get().RetryAfterSecs))
		return true, c.NoContent(status)
	case AnswerSignature:
		return true, xs2aError(http.StatusUnauthorized, "SIGNATURE_INVALID", "", "the signature is not valid")
	}
	return false, nil
}

// pretend gives the answers that come instead of the true one.
func (b *switchboard) pretend(c echo.Context, a Answer, status int) (done bool, err error) {
	w := c.Response()
	const page = "<!doctype html><title>Maintenance</title><h1>Back soon</h1>"
	switch a {
	case AnswerError:
		return true, c.HTML(http.StatusBadGateway, page)
	case AnswerHTML:
		return true, c.HTML(status, page)
	case AnswerGarbage:
		return true, c.Blob(status, "application/json", []byte("{\"transactionStatus\":\xff\x00"))
	case AnswerMoved:
		return true, c.Redirect(http.StatusTemporaryRedirect, elsewhere+c.Request().URL.Path)
	case AnswerHuge:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, err := io.WriteString(w, `{"transactionStatus":"`)
		for chunk, n := strings.Repeat("A", 64<<10), 0; err == nil && n < 50<<20; n += len(chunk) {
			_, err = io.WriteString(w, chunk)
		}
		return true, nil // who stops reading is right
	case AnswerDrip:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := io.WriteString(w, " "); err != nil {
					return true, nil
				}
				w.Flush()
			case <-c.Request().Context().Done():
				return true, nil
			}
		}
	}
	return false, nil
}

func (b *switchboard) answerInitiation(c echo.Context) (bool, error) {
	return b.pretend(c, b.get().InitiationAnswer, http.StatusCreated)
}

func (b *switchboard) answerStatus(c echo.Context) (bool, error) {
	a := b.get().StatusAnswer
	if done, err := b.refuse(c, a); done {
		return true, err
	}
	return b.pretend(c, a, http.StatusOK)
}

// Certificate gives the certificate of a TLS listener: own, or one that nobody
// trusts while a bank has that switch. A handshake does not say which bank it
// is for.
func (s *Sandbox) Certificate(own *tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		for _, b := range s.banks {
			if b.switches.get().BadCertificate {
				return selfSigned(s.now())
			}
		}
		return own, nil
	}
}

// selfSigned makes a certificate for a host of nobody's.
func selfSigned(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "elsewhere.example"}, DNSNames: []string{"elsewhere.example"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
