package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"

	"github.com/rialto-hub/rialto/sca"
)

// pushHosts are the push services of browsers. A subscription names an address
// that we then call: anything else would let a device send us anywhere.
var pushHosts = []string{"fcm.googleapis.com", ".push.services.mozilla.com", ".push.apple.com", ".notify.windows.com"}

func pushService(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || len(endpoint) > 1024 {
		return false
	}
	for _, h := range pushHosts {
		if u.Hostname() == h || strings.HasPrefix(h, ".") && strings.HasSuffix(u.Hostname(), h) {
			return true
		}
	}
	return false
}

// WebPush wakes devices whose app is closed, over their browsers' push services
// (RFC 8030, 8291; VAPID, RFC 8292). The message is encrypted and empty of
// content: what is to be confirmed is fetched by the app.
type WebPush struct {
	SCA        *sca.Service
	PublicKey  string // VAPID, base64url
	PrivateKey string
	Contact    string       // mailto: or https:, for the push service's operator
	Client     *http.Client // nil: one that follows no redirect
}

// NewVAPIDKeys makes a key pair.
func NewVAPIDKeys() (private, public string, err error) { return webpush.GenerateVAPIDKeys() }

// Ping wakes one device; a device without subscription is left alone.
func (p *WebPush) Ping(ctx context.Context, deviceID string) error {
	sub, err := p.SCA.SubscriptionOf(ctx, deviceID)
	if err != nil || sub == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := p.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := webpush.SendNotificationWithContext(ctx, []byte(`{"look":true}`), &webpush.Subscription{Endpoint: sub.Endpoint, Keys: webpush.Keys{Auth: sub.Auth, P256dh: sub.P256DH}},
		&webpush.Options{HTTPClient: client, Subscriber: strings.TrimPrefix(p.Contact, "mailto:"), // which the library adds
			TTL: 120, Urgency: webpush.UrgencyHigh, VAPIDPublicKey: p.PublicKey, VAPIDPrivateKey: p.PrivateKey})
	if err != nil {
		return fmt.Errorf("web push: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone: // the device has let it go (RFC 8030 §7.3)
		return p.SCA.Unsubscribe(ctx, deviceID, *sub)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("web push: status %d", res.StatusCode)
	}
	return nil
}
