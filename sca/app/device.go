package app

import (
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// deviceLife is how long a device's cookie lasts; its session ends earlier when
// it is not used.
const deviceLife = 400 * 24 * time.Hour

// device is GET /sca/device: the push app. A service worker is registered by a
// script's address, which Trusted Types guard; the page's policy allows the one
// name that device.js makes it under.
func (v *visit) device() error {
	p := page.Page{Name: "device", Lang: v.lang, Title: v.say("device.title"), Scripts: []string{"device.js"}, Data: map[string]any{"VAPID": v.VAPIDKey, "Now": v.Now().Unix()}}
	body, err := v.pages.HTML(p)
	if err != nil {
		return err
	}
	h := v.Response().Header()
	page.Headers(h)
	h.Set("Content-Security-Policy", strings.Replace(page.CSP(), "trusted-types 'none'", "trusted-types rialto-worker", 1))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(v.lang))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = v.Response().Write(body)
	return err
}

// icons of the app: its mark in one file, and the sizes that browsers (192, 512)
// and iOS (180) want as a picture. icons_test.go draws them.
var icons = []string{"icon.svg", "icon-180.png", "icon-192.png", "icon-512.png"}

// workerFile serves what must not have a hashed name: the worker decides by its
// path what it may serve, and the manifest is the app's identity.
func (v *visit) workerFile() error {
	name := path.Base(v.Path())
	body, err := worker.ReadFile("worker/" + name)
	if err != nil {
		return psd2.NotFound("file")
	}
	kind := map[string]string{".js": "text/javascript; charset=utf-8", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png"}[path.Ext(name)]
	v.Response().Header().Set("Content-Type", kind)
	v.Response().Header().Set("Cache-Control", "no-cache")
	v.Response().Header().Set("Service-Worker-Allowed", "/sca/device") // the app's page has no slash at its end
	_, err = v.Response().Write(body)
	return err
}

// paired serves a device that was paired.
func paired(h func(*visit) error) func(*visit) error {
	return func(v *visit) (err error) {
		v.session, err = v.SCA.Session(v.ctx(), sca.SessionDevice, v.cookie(deviceCookie), true)
		if sca.NoSession(err) {
			return psd2.Fail(psd2.CodeUnauthorized, "not_paired", "this device is not paired")
		}
		if err != nil {
			return err
		}
		return h(v)
	}
}

// deviceRegister takes a device's key. The number in the answer is typed on the
// page with the QR code.
func (v *visit) deviceRegister() error {
	var body struct {
		Token string `json:"token"`
		Name  string `json:"name"`
		JWK   string `json:"jwk"`
		Proof string `json:"proof"`
	}
	if err := v.read(&body); err != nil {
		return err
	}
	secret, number, err := v.SCA.RegisterDevice(v.ctx(), body.Token, body.Name, []byte(body.JWK), body.Proof)
	if err != nil {
		return err
	}
	v.setCookie(deviceCookie, secret, deviceLife)
	return v.answer(map[string]string{"number": number})
}

func (v *visit) deviceChallenges() error {
	list, err := v.SCA.PushChallenges(v.ctx(), v.session)
	if err != nil {
		return err
	}
	changes, err := v.recent(v.session.PersonID)
	if err != nil {
		return err
	}
	told := make([]map[string]string, len(changes))
	for i, c := range changes {
		told[i] = map[string]string{"at": page.Moment(v.lang, v.pages.Local(c.At)), "text": c.Text}
	}
	return v.answer(map[string]any{"challenges": list, "changes": told})
}

// deviceMore is POST /sca/device/more: more time for the question that is shown.
func (v *visit) deviceMore() error {
	var body struct {
		Challenge string `json:"challenge"`
	}
	if err := v.read(&body); err != nil {
		return err
	}
	if err := v.SCA.MorePush(v.ctx(), v.session, body.Challenge); err != nil {
		return err
	}
	v.Response().WriteHeader(http.StatusNoContent)
	return nil
}

// deviceLive is server-sent events: "look" when something may wait.
func (v *visit) deviceLive() error {
	if site := v.Request().Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return echo.ErrForbidden
	}
	leave, err := v.streams.Enter("device/" + v.session.FactorID)
	if err != nil {
		return err
	}
	defer leave()
	changed, stop := v.devices.watch(v.session.FactorID)
	defer stop()
	shown := "-"
	edge.Stream{Pause: livePause, Changed: changed, Closed: v.closed}.Serve(v.Response(), v.Request(), func() (string, bool) {
		list, err := v.SCA.PushChallenges(v.ctx(), v.session)
		if err != nil {
			return "", false
		}
		changes, err := v.SCA.Changes(v.ctx(), v.session.PersonID, 1)
		if err != nil {
			return "", false
		}
		ids := fmt.Sprint(changes)
		for _, c := range list {
			ids += c.ID + " "
		}
		if ids == shown {
			return "", true
		}
		shown = ids
		return "event: look\ndata: look\n\n", true
	})
	return nil
}

func (v *visit) deviceAnswer() error {
	var body struct {
		JWS string `json:"jws"`
	}
	if err := v.read(&body); err != nil {
		return err
	}
	v.session.From = edge.ClientAddr(v.ctx())
	r, err := v.SCA.AnswerPush(v.ctx(), v.session, body.JWS)
	if err != nil {
		return err
	}
	return v.answer(map[string]string{"state": string(r.State)})
}

func (v *visit) deviceSubscribe() error {
	var sub sca.Subscription
	if err := v.read(&sub); err != nil {
		return err
	}
	if !pushService(sub.Endpoint) {
		return psd2.Invalid("endpoint", "endpoint_unknown", "this is no push service we know")
	}
	if err := v.SCA.Subscribe(v.ctx(), v.session, sub); err != nil {
		return err
	}
	v.Response().WriteHeader(http.StatusNoContent)
	return nil
}

// watchers are the open streams of devices in this process.
type watchers struct {
	mu   sync.Mutex
	open map[string]map[chan struct{}]struct{}
}

func (w *watchers) watch(deviceID string) (ch chan struct{}, stop func()) {
	ch = make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[string]map[chan struct{}]struct{}{}
	}
	if w.open[deviceID] == nil {
		w.open[deviceID] = map[chan struct{}]struct{}{}
	}
	w.open[deviceID][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.open[deviceID], ch); len(w.open[deviceID]) == 0 {
			delete(w.open, deviceID)
		}
	}
}

func (w *watchers) wake(deviceID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.open[deviceID] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
