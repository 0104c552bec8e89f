package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rialto-hub/rialto/sca/app"
)

// vapid is the content of web_push.key_file.
type vapid struct {
	Public  string `json:"public_key"` // base64url
	Private string `json:"private_key"`
}

// openWebPush makes what wakes phones whose push app is closed; nil when it is
// not configured.
func (h *Hub) openWebPush(client *http.Client) error {
	c := h.cfg.WebPush
	if c.Subject == "" {
		return nil
	}
	keys, err := vapidKeys(c.KeyFile)
	if err != nil {
		return err
	}
	h.webPush = &app.WebPush{SCA: h.payers, PublicKey: keys.Public, PrivateKey: keys.Private, Contact: c.Subject, Client: client}
	h.onClose(func() error { h.pushes.under.Wait(); return nil })
	return nil
}

// vapidKeys reads the key pair, and makes one at the first start.
func vapidKeys(path string) (k vapid, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(text, &k); err == nil && (k.Public == "" || k.Private == "") {
			err = errors.New("a key is missing")
		}
		if err != nil {
			return k, fmt.Errorf("web_push.key_file: %w", err)
		}
		return k, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return k, fmt.Errorf("web_push.key_file: %w", err)
	}
	if k.Private, k.Public, err = app.NewVAPIDKeys(); err != nil {
		return k, err
	}
	if text, err = json.Marshal(k); err != nil {
		return k, err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return k, fmt.Errorf("web_push.key_file: %w", err)
	}
	return k, nil
}

// pushesAtOnce is how many messages may be under way to push services. Each ends
// within seconds; where all hang, a phone learns of its question when it is looked
// at, and nobody's request waits.
const pushesAtOnce = 64

// messengers carry messages beside the requests that they come from.
type messengers struct {
	under sync.WaitGroup
	count atomic.Int64
}

// send carries one, or is false when too many are under way.
func (m *messengers) send(carry func()) bool {
	if m.count.Add(1) > pushesAtOnce {
		m.count.Add(-1)
		return false
	}
	m.under.Go(func() {
		defer m.count.Add(-1)
		carry()
	})
	return true
}

// ping tells a phone that something waits for it: at once where its app is
// open, and through its push service, which may take its time.
func (h *Hub) ping(ctx context.Context, deviceID string) error {
	warn := func(what string) { h.log.WarnContext(ctx, "sca", "what", "web push", "error", what) }
	if h.webPush != nil && !h.pushes.send(func() {
		if err := h.webPush.Ping(context.WithoutCancel(ctx), deviceID); err != nil {
			warn(err.Error())
		}
	}) {
		warn("too many are under way")
	}
	return h.bus.Nudge(deviceID)
}
