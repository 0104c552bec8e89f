package courier

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// HeaderSignature carries a detached JWS (RFC 7515 App. F, header..signature,
// with alg, kid and iat) on signed requests and answers. The signed bytes are
//
//	request   METHOD SP path-with-query LF X-Request-ID LF body
//	answer    STATUS SP X-Request-ID LF body
//
// with the X-Request-ID of the request in both, so that an answer to another
// question, or with another status, does not verify.
const HeaderSignature = "X-JWS-Signature"

// Seal signs what we send and verifies what we get. Either half may be missing.
type Seal struct {
	own  *jose.KeySet       // nil: requests are not signed
	peer *jose.PublicKeySet // nil: answers are not verified
}

// LoadSeal reads our private JWK set and the counterpart's public one; "" for
// a half that is not used.
func LoadSeal(ownFile, peerFile string) (Seal, error) {
	var s Seal
	var err error
	if ownFile != "" {
		if s.own, err = jose.LoadKeySet(ownFile); err != nil {
			return Seal{}, err
		}
	}
	if peerFile != "" {
		data, err := os.ReadFile(peerFile)
		if err != nil {
			return Seal{}, fmt.Errorf("the counterpart's keys: %w", err)
		}
		if s.peer, err = jose.ParseJWKS(data); err != nil {
			return Seal{}, fmt.Errorf("the counterpart's keys: %w", err)
		}
	}
	return s, nil
}

// NewSeal is LoadSeal with the keys at hand.
func NewSeal(own *jose.KeySet, peer *jose.PublicKeySet) Seal { return Seal{own, peer} }

// Sign puts the signature on a request; it does nothing without a key.
func (s Seal) Sign(r *Request, now time.Time) error {
	if s.own == nil {
		return nil
	}
	key, err := s.own.Signer(jose.ES256, now)
	if err != nil {
		return err
	}
	signature, err := jose.SignDetached(key, RequestBytes(r.Method, r.URL.RequestURI(), r.RequestID, r.Body), now)
	if err != nil {
		return err
	}
	r.Header.Set(HeaderSignature, signature)
	return nil
}

// ErrSignature says that an answer is not believed.
var ErrSignature = errors.New("the answer is not signed by the counterpart, or not for this request")

// Verify checks that the counterpart gave this answer to this request; without
// its keys every answer passes.
func (s Seal) Verify(r Request, rep *Reply, now time.Time) error {
	if s.peer == nil {
		return nil
	}
	list := rep.Header.Values(HeaderSignature)
	if len(list) != 1 {
		return ErrSignature
	}
	if _, err := jose.VerifyDetached(list[0], s.peer, AnswerBytes(rep.Status, r.RequestID, rep.Body), now); err != nil {
		return ErrSignature
	}
	return nil
}

// RequestBytes are what the signature of a request covers.
func RequestBytes(method, target, requestID string, body []byte) []byte {
	return append([]byte(method+" "+target+"\n"+requestID+"\n"), body...)
}

// AnswerBytes are what the signature of an answer covers.
func AnswerBytes(status int, requestID string, body []byte) []byte {
	return append([]byte(strconv.Itoa(status)+" "+requestID+"\n"), body...)
}
