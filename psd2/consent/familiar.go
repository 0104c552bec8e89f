package consent

import (
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/sca"
)

// agreeCookie keeps that the payer lets the page notice how it is used. It is
// his own choice of an earlier time, so the box may show it ticked.
const agreeCookie = "__Host-rs_agree"

// familiarLife is how long a browser is remembered without paying from it.
const familiarLife = 180 * 24 * time.Hour

// familiar is what the consent form needs to recognise the browser: known.js
// signs the hash with the browser's own key.
type familiar struct {
	Known  string // hash of the cookie; "" recognises nothing
	Now    int64  // our time in Unix seconds: the browser's clock does not matter
	Agreed bool
}

// familiar gives the browser the cookie that marks it, if it has none.
func (v *visit) familiar() (f familiar, err error) {
	if v.SCA == nil {
		return f, nil
	}
	secret := cookie(v.Request(), sca.KnownCookie)
	if secret == "" {
		if secret, err = v.newKnown(); err != nil {
			return f, err
		}
	}
	return familiar{Known: sca.SessionHash(secret), Now: v.Now().Unix(), Agreed: cookie(v.Request(), agreeCookie) == "yes"}, nil
}

func (v *visit) newKnown() (string, error) {
	secret, err := v.SCA.NewDeviceSecret()
	if err == nil {
		setCookie(v.Response(), sca.KnownCookie, secret, familiarLife)
	}
	return secret, err
}

// browser is what the hub's own authentication may go by. A cookie that was
// copied to another browser is replaced there.
func (v *visit) browser(form url.Values) hub.Browser {
	b := hub.Browser{Secret: v.secret, Language: string(v.lang), Amount: v.payment.Amount, Address: edge.ClientAddr(v.ctx())}
	if v.SCA == nil {
		return b
	}
	b.DeviceSecret, b.DeviceProof = cookie(v.Request(), sca.KnownCookie), form.Get("device_proof")
	genuine, err := v.SCA.Meet(v.ctx(), v.payment.PersonID, b.DeviceSecret, b.DeviceProof)
	if err == nil && !genuine && b.DeviceSecret != "" {
		_, err = v.newKnown()
	}
	if err != nil {
		v.Log.WarnContext(v.ctx(), "consent", "what", "familiar browser", "error", err.Error()) // a stranger pays as well
	}
	if form.Get("agree") == "yes" {
		b.Behaviour = form.Get("behaviour")
		setCookie(v.Response(), agreeCookie, "yes", familiarLife)
	} else if cookie(v.Request(), agreeCookie) != "" {
		setCookie(v.Response(), agreeCookie, "", -time.Second)
	}
	return b
}
