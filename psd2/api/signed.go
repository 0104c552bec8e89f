package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// maxBody is the largest body of a signed request; an honest one has 1 kB.
const maxBody = 64 << 10

// HeaderIdempotencyKey and HeaderReplayed are the idempotency headers of
// requests and of repeated answers.
const (
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderReplayed       = "Idempotent-Replayed"
)

// order is a signed request, not parsed yet.
type order struct {
	*call
	body     []byte
	key      string // Idempotency-Key
	hash     string // of method, path and body
	signedBy *jose.PublicKey
}

// signed is authorised for requests that change something: the merchant has
// signed the very bytes we are about to parse.
func (a *room) signed(scope string, h func(echo.Context, *order) error) echo.HandlerFunc {
	return a.authorised(scope, func(c echo.Context, who *call) error {
		o, err := a.readOrder(c.Request(), who)
		if err != nil {
			return err
		}
		return h(c, o)
	})
}

func (a *room) readOrder(r *http.Request, who *call) (*order, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	body, err := edge.ReadBody(r, maxBody)
	if err != nil {
		return nil, err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return nil, err
	}
	signatures := r.Header.Values(jose.HeaderSignature)
	if len(signatures) != 1 {
		return nil, psd2.Fail(psd2.CodeUnauthorized, "signature_missing", "send one Rialto-Signature over method, path, headers and body")
	}
	verified, err := jose.VerifyRequest(signatures[0], who.keys, r.Method, r.RequestURI, r.Header, body, a.Now())
	if err != nil {
		return nil, err
	}
	edge.Annotate(r.Context(), "signature_kid", verified.KeyID)
	signer, _ := who.keys.Key(verified.KeyID) // which has just verified
	return &order{call: who, body: body, key: key, hash: requestHash(r, body), signedBy: signer}, nil
}

func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values(HeaderIdempotencyKey)
	if len(values) != 1 {
		return "", psd2.Fail(psd2.CodeInvalid, "idempotency_key_missing", "send one Idempotency-Key with every POST and DELETE")
	}
	key := values[0]
	ok := len(key) >= 1 && len(key) <= 255
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] <= '~'
	}
	if !ok {
		return "", psd2.Fail(psd2.CodeInvalid, "idempotency_key_invalid", "an Idempotency-Key has 1 to 255 visible ASCII characters without blanks")
	}
	return key, nil
}

// requestHash tells whether a key comes with the same request again. The
// method and the path have no line breaks, so nothing can be shifted into the
// body.
func requestHash(r *http.Request, body []byte) string {
	h := sha256.New()
	h.Write([]byte(r.Method + "\n" + r.RequestURI + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// empty checks that an order that needs no body has none, or {}.
func (o *order) empty() error {
	if len(o.body) == 0 {
		return nil
	}
	return edge.DecodeStrict(o.body, &struct{}{})
}

// answer is what a request got, or gets again.
type answer struct {
	status   int
	body     []byte
	location string
	replayed bool
}

// again turns an earlier request's answer into this one's.
func (o *order) again(earlier *store.Answer) (*answer, error) {
	switch {
	case earlier.RequestHash != o.hash:
		return nil, psd2.Fail(psd2.CodeUnprocessable, "idempotency_key_reused", "this Idempotency-Key was used for another request; take a new key")
	case earlier.InFlight:
		return nil, &psd2.Error{Code: psd2.CodeConflict, Reason: "idempotency_key_in_flight", RetryAfter: time.Second,
			Message: "the first request with this Idempotency-Key is still being worked on; ask again"}
	}
	return &answer{status: earlier.Status, body: earlier.Body, replayed: true}, nil
}

// once does an order's work in one transaction with its key and its answer. A
// request that was answered before gets that answer; an error leaves the key
// unused. work may run more than once.
func (a *room) once(c echo.Context, o *order, work func(*store.Tx) (*answer, error)) (ans *answer, err error) {
	err = a.Store.Tx(c.Request().Context(), func(tx *store.Tx) error {
		earlier, err := tx.ReserveKey(o.merchant.ID, o.key, o.hash)
		if err != nil {
			return err
		}
		if earlier != nil {
			ans, err = o.again(earlier)
			return err
		}
		if ans, err = work(tx); err != nil {
			return err
		}
		return tx.FinishKey(o.merchant.ID, o.key, o.hash, ans.status, ans.body)
	})
	return ans, err
}

// ready is once for an order whose answer is known before its work: they are
// written together. invalid says why there is none; a request that was answered
// before gets that answer all the same, even if, say, the return URI has been
// deregistered since.
func (a *room) ready(c echo.Context, o *order, ans *answer, invalid error, work func(*store.Tx) error) (got *answer, err error) {
	err = a.Store.Tx(c.Request().Context(), func(tx *store.Tx) (err error) {
		var earlier *store.Answer
		if invalid != nil {
			earlier, err = tx.EarlierAnswer(o.merchant.ID, o.key)
		} else {
			earlier, err = tx.AnswerKey(o.merchant.ID, o.key, o.hash, ans.status, ans.body)
		}
		switch {
		case err != nil:
			return err
		case earlier != nil:
			got, err = o.again(earlier)
			return err
		case invalid != nil:
			return invalid
		}
		got = ans
		return work(tx)
	})
	return got, err
}

// apart is once for work that asks a bank and so cannot be part of a
// transaction: the key is reserved before and the answer kept after. Work that
// fails gives the key back, so that the same request may be made again at once.
// If this process dies in between, the key stays taken for two minutes.
func (a *room) apart(c echo.Context, o *order, work func() (*answer, error)) (ans *answer, err error) {
	ctx := c.Request().Context()
	err = a.Store.Tx(ctx, func(tx *store.Tx) error {
		ans = nil
		earlier, err := tx.ReserveKey(o.merchant.ID, o.key, o.hash)
		if err == nil && earlier != nil {
			ans, err = o.again(earlier)
		}
		return err
	})
	if err != nil || ans != nil {
		return ans, err
	}
	ans, err = work()
	after := context.WithoutCancel(ctx) // he may have gone; the key must not stay behind
	if err != nil {
		release := a.Store.Tx(after, func(tx *store.Tx) error { return tx.ReleaseKey(o.merchant.ID, o.key, o.hash) })
		if release != nil {
			edge.Annotate(ctx, "error", release.Error()) // it is taken over in two minutes
		}
		return nil, err
	}
	return ans, a.Store.Tx(after, func(tx *store.Tx) error { return tx.FinishKey(o.merchant.ID, o.key, o.hash, ans.status, ans.body) })
}

func jsonAnswer(status int, v any) (*answer, error) {
	body, err := json.Marshal(v)
	return &answer{status: status, body: body}, err
}

func (ans *answer) write(c echo.Context) error {
	header := c.Response().Header()
	if ans.location != "" {
		header.Set("Location", ans.location)
	}
	edge.Annotate(c.Request().Context(), "replayed", ans.replayed)
	if ans.replayed {
		header.Set(HeaderReplayed, "true")
	}
	if ans.status == http.StatusNoContent {
		return c.NoContent(ans.status)
	}
	contentType := echo.MIMEApplicationJSON
	if ans.status >= 400 {
		contentType = edge.ContentTypeProblem
	}
	return c.Blob(ans.status, contentType, ans.body)
}
