package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

// pushed is a message that came to a push service.
type pushed struct {
	path, authorization, ttl string
	body                     []byte
}

// pushService is a browser's push service under whatever name it is called.
func pushService(t *testing.T) (*http.Client, <-chan pushed) {
	t.Helper()
	got := make(chan pushed, 4)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- pushed{r.Host + r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("TTL"), body}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com", MinVersion: tls.VersionTLS13}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, got
}

// TestPhoneIsWokenThroughItsPushService: where the operator has configured it,
// and with a key that outlives a restart.
func TestPhoneIsWokenThroughItsPushService(t *testing.T) { // RFC 8030, 8291, 8292
	t.Parallel()
	b := startBank(t)
	client, got := pushService(t)
	cfg := hubConfig(t, b, "web_push: {subject: \"mailto:help@rialto.example\"}\n"+unmonitored)
	var key string
	for range 2 { // the second time with the key of the first
		l := listenLoopback(t)
		cfg.Hub.PublicURL = "http://" + l.Addr().String()
		h, err := run.Start(t.Context(), cfg, run.Options{Public: l, PushClient: client})
		if err != nil {
			t.Fatal(err)
		}
		s := openShop(t, h, h.PublicURL, "hook", nil)
		anna := newHandset(t, h, b, s, "player-"+strings.ToLower(rand.Text()[:6]))
		anna.enrol()
		_, page := anna.ask(http.MethodGet, "/sca/device", "", "")
		shown := regexp.MustCompile(`data-vapid="([^"]+)"`).FindStringSubmatch(page)
		if shown == nil || key != "" && shown[1] != key {
			t.Fatalf("the app is told the key %v, before it was %q", shown, key)
		}
		key = shown[1]

		browser, auth := anna.subscribe("https://fcm.googleapis.com/fcm/send/abc")
		_, asked := anna.start(150000)
		anna.ask(http.MethodPost, asked+"/push", "", "application/x-www-form-urlencoded")
		select {
		case m := <-got:
			plain, err := testkit.OpenPush(browser, auth, m.body)
			if err != nil || string(plain) != `{"look":true}` || m.path != "fcm.googleapis.com/fcm/send/abc" || m.ttl != "120" ||
				!strings.Contains(m.authorization, "k="+strings.TrimRight(key, "=")) {
				t.Errorf("%q %v %+v", plain, err, m)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the push service was not called")
		}
		anna.must(h.Close())
	}
	if info, err := os.Stat(cfg.WebPush.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// subscribe tells the hub where the phone's push service listens for it.
func (p *handset) subscribe(endpoint string) (browser *ecdh.PrivateKey, auth []byte) {
	p.t.Helper()
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	p.must(err)
	auth = make([]byte, 16)
	_, _ = rand.Read(auth)
	sub, err := json.Marshal(sca.Subscription{Endpoint: endpoint, Auth: base64.RawURLEncoding.EncodeToString(auth),
		P256DH: base64.RawURLEncoding.EncodeToString(browser.PublicKey().Bytes())})
	p.must(err)
	if status, text := p.ask(http.MethodPost, "/sca/device/subscribe", string(sub), "application/json", p.device()); status != http.StatusNoContent {
		p.t.Fatalf("%d %s", status, text)
	}
	return browser, auth
}

// hanging is a push service that never answers, and does not even let go, until
// it is closed.
type hanging struct {
	called  chan string
	release chan struct{}
}

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	h.called <- r.URL.Path
	<-h.release
	return nil, io.ErrUnexpectedEOF
}

// TestSlowPushServiceDelaysNobody: neither a payment's question nor a change of
// factors, of which the phone is told as well; its open app hears at once.
func TestSlowPushServiceDelaysNobody(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	service := hanging{make(chan string, 16), make(chan struct{})}
	cfg := hubConfig(t, b, "web_push: {subject: \"mailto:help@rialto.example\"}\n"+unmonitored)
	l := listenLoopback(t)
	cfg.Hub.PublicURL = "http://" + l.Addr().String()
	h, err := run.Start(t.Context(), cfg, run.Options{Public: l, PushClient: &http.Client{Transport: service}})
	if err != nil {
		t.Fatal(err)
	}
	anna := newHandset(t, h, b, openShop(t, h, h.PublicURL, "hook", nil), "player-anna")
	t.Cleanup(func() { anna.must(h.Close()) })
	t.Cleanup(func() { close(service.release) })
	anna.enrol()
	anna.subscribe("https://fcm.googleapis.com/fcm/send/anna")
	stream := anna.live()
	_, asked := anna.start(150000)
	stream("look")
	done := make(chan struct{})
	go func() {
		defer close(done)
		anna.ask(http.MethodPost, asked+"/push", "", "application/x-www-form-urlencoded")
		stream("look")
		anna.answer(sca.DecideNotMe) // and a change is noted
		stream("look")
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a request waits for a push service that does not answer")
	}
	for range 2 {
		if path := <-service.called; path != "/fcm/send/anna" {
			t.Errorf("called %s", path)
		}
	}
}

// TestWithoutWebPushTheAppAsksForNone: then its page says that there is no key,
// and it is told live, while it is open.
func TestWithoutWebPushTheAppAsksForNone(t *testing.T) {
	t.Parallel()
	b, h, s := shopAt(t, unmonitored)
	anna := newHandset(t, h, b, s, "player-anna")
	anna.enrol()
	if _, page := anna.ask(http.MethodGet, "/sca/device", "", ""); !strings.Contains(page, `data-vapid=""`) {
		t.Errorf("the app subscribes to a push service:\n%s", page)
	}
	stream := anna.live()
	_, asked := anna.start(150000)
	anna.ask(http.MethodPost, asked+"/push", "", "application/x-www-form-urlencoded")
	stream("look") // the first says what waits now: nothing
	stream("look")
}
