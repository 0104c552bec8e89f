package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// isDelivery reports whether a request to check is one of our webhooks, sent
// on to us with the headers and the body it came with.
func isDelivery(h http.Header) bool {
	return len(h.Values(verify.HeaderID)) > 0 || len(h.Values(verify.HeaderSignature)) > 0
}

// checkDelivery judges a delivery with the keys of the merchant's endpoints and
// our own, as his receiver should have.
func (a *room) checkDelivery(r *http.Request, who *call, body []byte, report *signatureReport) error {
	endpoints, err := a.Webhooks.Endpoints(r.Context(), who.merchant.ID)
	if err != nil {
		return err
	}
	now, all := a.Now(), verify.Config{}
	if all.JWKS, err = a.Keys.PublicJWKS(now); err != nil {
		return err
	}
	for i := range endpoints {
		own := receiverKeys(&endpoints[i], now)
		all.Secrets, all.PublicKeys = append(all.Secrets, own.Secrets...), append(all.PublicKeys, own.PublicKeys...)
		if signed, refused := judge(own, r.Header, body, now); signed != nil {
			report.EndpointID = endpoints[i].ID
			return report.delivered(signed, refused)
		}
	}
	return report.delivered(judge(all, r.Header, body, now))
}

// receiverKeys are what the receiver of an endpoint holds.
func receiverKeys(e *webhooks.Endpoint, now time.Time) (c verify.Config) {
	for _, k := range e.Keys {
		if k.ExpiresAt != nil && !now.Before(*k.ExpiresAt) {
			continue
		}
		if secret := k.Secret(); secret != "" {
			c.Secrets = append(c.Secrets, secret)
		} else if public := k.Public(); public != "" {
			c.PublicKeys = append(c.PublicKeys, public)
		}
	}
	return c
}

// judge says who signed a delivery, as far as that can be believed, and what is
// wrong with it. Both: only its age is.
func judge(c verify.Config, header http.Header, body []byte, now time.Time) (*verify.Signed, error) {
	v, err := verify.New(c)
	if err != nil { // the endpoint has no key
		return nil, err
	}
	signed, err := v.Signature(header, body, now)
	var refused *verify.Error
	if !errors.As(err, &refused) || refused.Reason != verify.ReasonClock {
		return signed, err
	}
	seconds, _ := strconv.ParseInt(header.Get(verify.HeaderTimestamp), 10, 64) // it was read before
	signed, besides := v.Signature(header, body, time.Unix(seconds, 0))
	if besides != nil {
		return nil, besides // the older fault is the one to mend first
	}
	return signed, err
}

// delivered reports on a delivery.
func (s *signatureReport) delivered(signed *verify.Signed, err error) error {
	var refused *verify.Error
	switch {
	case err == nil:
		s.Valid, s.Scheme, s.Detail = true, signed.Scheme, "the delivery is ours, and its signature good"
		return nil
	case !errors.As(err, &refused):
		return err
	}
	s.Part, s.Detail = string(refused.Reason), refused.Message
	if refused.Reason == verify.ReasonBody {
		s.Part, s.Differs = string(verify.ReasonSignature), "body"
	}
	if signed != nil {
		s.Scheme = signed.Scheme
		s.Detail += "; the signature itself is good: your clock or ours is wrong, or the delivery is an old one"
	}
	return nil
}
