package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "embed"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

//go:embed h2h.sql
var h2hSchema string

// The host-to-host channel of a bank for the accounts of its corporate
// customers, registered by the operator:
//
//	POST /{bank}/h2h/{client}/payments        pain.001 → pain.002       h2h_pay.go
//	POST /{bank}/h2h/{client}/inquiries       pacs.028 → pain.002
//	POST /{bank}/h2h/{client}/recalls         camt.056 → 202, camt.029 or pacs.004   h2h_recall.go
//	GET  /{bank}/h2h/{client}/recalls?id=
//	GET  /{bank}/h2h/{client}/recalls/incoming   camt.056 ?after=, or 202
//	GET  /{bank}/h2h/{client}/notifications   camt.054 ?after= ?limit=  h2h_report.go
//	GET  /{bank}/h2h/{client}/statements/{day|latest}    camt.053
//
// Requests and answers carry X-JWS-Signature, a detached JWS over
// "METHOD SP path-with-query LF X-Request-ID LF body" and
// "STATUS SP X-Request-ID LF body".
func (s *Sandbox) h2hRoutes(e *echo.Echo) {
	g := e.Group("/:bank/h2h/:client")
	g.POST("/payments", s.h2h(s.h2hPay))
	g.POST("/inquiries", s.h2h(s.h2hInquire))
	g.POST("/recalls", s.h2h(s.h2hRecall))
	g.GET("/recalls", s.h2h(s.h2hRecallStatus))
	g.GET("/recalls/incoming", s.h2h(s.h2hIncoming))
	g.GET("/notifications", s.h2h(s.h2hNotify))
	g.GET("/statements/:day", s.h2h(s.h2hStatement))
}

const signatureHeader = "X-JWS-Signature"

// h2hState is what the channel keeps in memory.
type h2hState struct {
	mu     sync.Mutex
	keys   *jose.KeySet
	boards map[string]*h2hBoard // by bank/client
}

// h2hClient is a corporate customer.
type h2hClient struct {
	Bank string `db:"bank"`
	ID   string `db:"id"`
	IBAN string `db:"iban"`
	Name string `db:"name"`
	JWKS string `db:"jwks"`
	Cert string `db:"cert"`
}

// h2hCall is one signed request that has been believed.
type h2hCall struct {
	echo   echo.Context
	ctx    context.Context
	bank   *bank
	client h2hClient
	board  *h2hBoard
	body   []byte
}

// h2hAnswer is what is signed and sent. lost means that the connection ends
// instead.
type h2hAnswer struct {
	status int
	body   []byte
	lost   bool
}

// h2h precedes every call: who is it, did he sign; and signs the answer.
func (s *Sandbox) h2h(next func(*h2hCall) (h2hAnswer, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		b := s.banks[c.Param("bank")]
		if b == nil {
			return c.NoContent(http.StatusNotFound)
		}
		if sw := b.switches.get(); sw.Down {
			c.Response().Header().Set("Retry-After", strconv.Itoa(sw.RetryAfterSecs))
			return c.NoContent(http.StatusServiceUnavailable)
		}
		k := &h2hCall{echo: c, ctx: r.Context(), bank: b, board: s.h2hBoardOf(b.ID, c.Param("client"))}
		var unread error
		k.body, unread = readBody(r) // first: a server notices that its client has left only after it has read the request
		if k.board.get().Silent {
			<-r.Context().Done()
			return nil
		}
		ans, err := h2hAnswer{status: http.StatusRequestEntityTooLarge}, error(nil)
		if unread == nil {
			ans, err = s.h2hAnswer(k, next)
		}
		if err != nil {
			s.log.Error("sandbox", "path", c.Path(), "err", err)
			ans = h2hAnswer{status: http.StatusInternalServerError}
		}
		if ans.lost {
			cut(c.Response())
			return nil
		}
		return s.h2hSend(k, ans)
	}
}

// h2hAnswer believes the request, or says why not, and runs it.
func (s *Sandbox) h2hAnswer(k *h2hCall, next func(*h2hCall) (h2hAnswer, error)) (h2hAnswer, error) {
	r := k.echo.Request()
	err := s.file.get(k.ctx, &k.client, `SELECT * FROM h2h_clients WHERE bank = ? AND id = ?`, k.bank.ID, k.echo.Param("client"))
	if err != nil && !isNoRows(err) {
		return h2hAnswer{}, err
	}
	id := r.Header.Get(requestIDHd)
	if err != nil || !isUUID(id) || !certIs(r, k.client.Cert) {
		return h2hAnswer{status: http.StatusUnauthorized}, nil
	}
	keys, err := jose.ParseJWKS([]byte(k.client.JWKS))
	if err != nil {
		return h2hAnswer{}, err
	}
	signed := append([]byte(r.Method+" "+r.RequestURI+"\n"+id+"\n"), k.body...)
	if list := r.Header.Values(signatureHeader); len(list) != 1 {
		return h2hAnswer{status: http.StatusUnauthorized}, nil
	} else if _, err := jose.VerifyDetached(list[0], keys, signed, s.now()); err != nil {
		return h2hAnswer{status: http.StatusUnauthorized}, nil
	}
	return next(k)
}

// certIs checks the client certificate of the connection.
func certIs(r *http.Request, want string) bool {
	if want == "" {
		return true
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:]) == want
}

// h2hSend signs the answer and writes it, unless a switch says otherwise.
func (s *Sandbox) h2hSend(k *h2hCall, ans h2hAnswer) error {
	keys, err := s.signingKeys()
	if err != nil {
		return err
	}
	h, id := k.echo.Response().Header(), k.echo.Request().Header.Get(requestIDHd)
	if k.board.take(forgeNext) { // a key nobody knows
		if keys, err = jose.NewKeySet(bytes.NewReader(s.bytes(1024)), s.now()); err != nil {
			return err
		}
	}
	if !k.board.take(unsignedNext) {
		if err := s.sign(h, keys, ans.status, id, ans.body); err != nil {
			return err
		}
	}
	h.Set(requestIDHd, id)
	if len(ans.body) == 0 {
		return k.echo.NoContent(ans.status)
	}
	return k.echo.Blob(ans.status, "application/xml", ans.body)
}

func (s *Sandbox) sign(h http.Header, keys *jose.KeySet, status int, requestID string, body []byte) error {
	key, err := keys.Signer(jose.ES256, s.now())
	if err != nil {
		return err
	}
	signature, err := jose.SignDetached(key, append([]byte(strconv.Itoa(status)+" "+requestID+"\n"), body...), s.now())
	if err == nil {
		h.Set(signatureHeader, signature)
	}
	return err
}

// signingKeys loads the banks' key, made when it is first needed: most
// sandboxes never sign.
func (s *Sandbox) signingKeys() (*jose.KeySet, error) {
	s.h2hs.mu.Lock()
	defer s.h2hs.mu.Unlock()
	if s.h2hs.keys != nil {
		return s.h2hs.keys, nil
	}
	err := s.file.do(func(t *tx) error {
		var stored string
		err := t.get(&stored, `SELECT jwks FROM h2h_keys WHERE id = 1`)
		if err == nil {
			s.h2hs.keys, err = jose.ParseKeySet([]byte(stored))
			return err
		}
		if !isNoRows(err) {
			return err
		}
		// Some hours old, so that no clock of a client is behind it.
		set, err := jose.NewKeySet(bytes.NewReader(s.bytes(1024)), s.now().Add(-24*time.Hour))
		if err != nil {
			return err
		}
		private, err := set.Marshal()
		if err != nil {
			return err
		}
		s.h2hs.keys = set
		_, err = t.exec(`INSERT INTO h2h_keys (id, jwks) VALUES (1, ?)`, string(private))
		return err
	})
	return s.h2hs.keys, err
}

// say answers with a message by the strict writer; a switch puts an element
// into it that the schema has not, as real banks do.
func (k *h2hCall) say(m iso20022.Message) (h2hAnswer, error) {
	body, err := iso20022.Write(m)
	if head := []byte("</GrpHdr>"); err == nil && bytes.Contains(body, head) && k.board.take(oddMessage) {
		body = bytes.Replace(body, head, []byte("<BkRmrk>0049</BkRmrk></GrpHdr>"), 1)
	}
	return h2hAnswer{status: http.StatusOK, body: body}, err
}

// newMessageID makes a MsgId.
func (s *Sandbox) newMessageID() string {
	return strings.ReplaceAll(psd2.NewUUID(s.now(), bytes.NewReader(s.bytes(10))), "-", "")
}

func (s *Sandbox) stamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// shown makes text fit for a message: EPC characters, at most that many.
func shown(text string, most int) string {
	text = iso20022.Transliterate(text)
	return strings.TrimSpace(text[:min(len(text), most)])
}
