package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

const signingKeysPath = "/v1/signing-keys"

// maxRetired bounds how many replaced keys are remembered so as never to come
// back; with a key a month, eight years.
const maxRetired = 100

type rollover struct {
	NewKey         string `json:"new_key"`
	OverlapSeconds *int64 `json:"overlap_seconds"`
}

type signingKeyView struct {
	ID         string          `json:"id"` // kid
	Algorithm  jose.Algorithm  `json:"alg"`
	Thumbprint string          `json:"thumbprint"`
	ExpiresAt  *psd2.Timestamp `json:"expires_at"`
}

type signingKeyList struct {
	Data []signingKeyView `json:"data"`
}

// viewKeys are the keys that count at now.
func viewKeys(set *jose.PublicKeySet, now time.Time) signingKeyList {
	list := signingKeyList{Data: []signingKeyView{}}
	for _, k := range set.Keys() {
		if !set.Verifies(k.ID(), now) {
			continue
		}
		v := signingKeyView{ID: k.ID(), Algorithm: k.Algorithm(), Thumbprint: k.Thumbprint()}
		if end := k.NotAfter(); !end.IsZero() {
			at := psd2.Timestamp(end)
			v.ExpiresAt = &at
		}
		list.Data = append(list.Data, v)
	}
	return list
}

func (a *room) listSigningKeys(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewKeys(who.keys, a.Now()))
}

// replaceSigningKey puts a new key in the place of the one that signs the
// request. That one counts on for the overlap, but replaces no key any more.
func (a *room) replaceSigningKey(c echo.Context, o *order) error {
	var wish rollover
	invalid := edge.DecodeStrict(o.body, &wish)
	ans, err := a.once(c, o, func(tx *store.Tx) (ans *answer, err error) {
		if invalid != nil {
			return nil, invalid
		}
		overlap, err := overlapOf(wish.OverlapSeconds)
		if err != nil {
			return nil, err
		}
		err = tx.UpdateMerchant(o.merchant.ID, func(m *psd2.Merchant) error {
			set, kid, err := a.replaced(m, o.signedBy, wish.NewKey, overlap, tx.Now)
			if err != nil {
				return err
			}
			if ans, err = jsonAnswer(http.StatusCreated, viewKeys(set, tx.Now)); err != nil {
				return err
			}
			return a.Webhooks.KeyReplacedIn(tx, m.ID, kid, o.signedBy.ID(), tx.Now.Add(overlap))
		})
		return ans, err
	})
	if err != nil {
		return err
	}
	return ans.write(c)
}

// replaced changes the merchant's keys as they stand in the database, and says
// what they are then and how the new one is called.
func (a *room) replaced(m *psd2.Merchant, signer *jose.PublicKey, inner string, overlap time.Duration, now time.Time) (set *jose.PublicKeySet, kid string, err error) {
	if set, err = registeredKeys(m); err != nil {
		return nil, "", err
	}
	old, ok := set.Key(signer.ID())
	switch {
	case !ok || old.Thumbprint() != signer.Thumbprint() || !set.Verifies(old.ID(), now): // taken out a moment ago, where this process has not heard of it yet
		return nil, "", psd2.Fail(psd2.CodeUnauthorized, "signature_kid", "kid is not one of the signer's current keys")
	case !old.NotAfter().IsZero():
		return nil, "", psd2.Fail(psd2.CodeConflict, "signing_key_replaced", "the key that signs this request has been replaced already; sign with its successor")
	}
	next, err := jose.VerifyRollover(inner, jose.RolloverRequest{ClientID: m.ID, URL: a.PublicURL + signingKeysPath, Replaces: old.Thumbprint()}, now)
	if err != nil {
		return nil, "", err
	}
	history := &m.KeyHistory
	for _, k := range set.Keys() {
		if k.ID() == next.ID() || k.Thumbprint() == next.Thumbprint() {
			return nil, "", psd2.Fail(psd2.CodeConflict, "signing_key_known", "a key with this kid, or this very key, is registered; take a new key with a new kid")
		}
	}
	if slices.Contains(history.Retired, next.Thumbprint()) {
		return nil, "", psd2.Fail(psd2.CodeConflict, "signing_key_known", "this key has been replaced before and does not come back; take a new one")
	}
	if err := a.perRollover.Check(m.ID); err != nil {
		return nil, "", err
	}
	end := now.Add(overlap)
	ends := map[string]time.Time{old.ID(): end}
	for kid, at := range history.Ends { // nothing older outlives what is replaced now
		if at.After(end) {
			at = end
		}
		ends[kid] = at
	}
	history.Ends = ends
	set = retire(set.With(next).Ending(history.Ends), history, now)
	if set.Len() > jose.MaxKeys {
		return nil, "", psd2.Fail(psd2.CodeConflict, "signing_keys_full", "ten keys count at a time; wait until one has expired")
	}
	m.Keys, err = set.MarshalJWKS()
	return set, next.ID(), err
}

// retire takes keys out whose time is over, and remembers them.
func retire(set *jose.PublicKeySet, history *psd2.KeyHistory, now time.Time) *jose.PublicKeySet {
	for _, k := range set.Keys() {
		if set.Verifies(k.ID(), now) {
			continue
		}
		set = set.Without(k.ID())
		delete(history.Ends, k.ID())
		history.Retired = append(history.Retired, k.Thumbprint())
	}
	history.Retired = history.Retired[max(0, len(history.Retired)-maxRetired):]
	return set
}

// registeredKeys parses a merchant's JWKS, with the ends of those replaced.
func registeredKeys(m *psd2.Merchant) (*jose.PublicKeySet, error) {
	set, err := jose.ParseJWKS(m.Keys)
	if err != nil {
		return nil, err
	}
	return set.Ending(m.KeyHistory.Ends), nil
}
