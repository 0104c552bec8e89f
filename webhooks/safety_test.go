package webhooks_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// C32
func TestRedirectIsAFailureAndNotFollowed(t *testing.T) {
	w := simple(t)
	var inside atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer target.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := newSink(t, func(rw http.ResponseWriter, r *http.Request, _ got) { http.Redirect(rw, r, target.URL, code) })
		e := w.put(webhooks.Endpoint{URL: s.URL})
		w.event(w.payment())
		w.quiet()
		for _, d := range w.deliveries(e.ID) {
			if d.State != webhooks.DeliveryPending || d.Tries[0].Error != "redirect" || d.Tries[0].Status != code {
				t.Errorf("%d: %+v", code, d)
			}
		}
	}
	if inside.Load() != 0 {
		t.Fatalf("followed %d times", inside.Load())
	}
}

// C31: the dial refuses what the registration could not see.
func TestInwardAddressIsRefusedWhenDelivering(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	w := simple(t)
	e := w.put(webhooks.Endpoint{URL: server.URL})
	if err := w.nodes[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The operator leaves the sandbox: what was allowed there no longer is.
	w.nodes, w.config.Sandbox = nil, false
	w.node("one")
	w.event(w.payment())
	w.pass(time.Minute)
	if reached.Load() != 0 || w.only(e.ID).State != webhooks.DeliveryPending {
		t.Fatalf("reached %d times, %+v", reached.Load(), w.only(e.ID))
	}
}

// C33
func TestHugeAnswerIsCutOffAndSmallTextKeptSealed(t *testing.T) {
	w := simple(t)
	var written atomic.Int64
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		rw.WriteHeader(http.StatusBadRequest)
		chunk := bytes.Repeat([]byte("<script>\x1b[2J\x00é"), 8192)
		for range 1024 { // 128 MB, if we let it
			n, err := rw.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	answer := w.only(e.ID).Tries[0].Answer
	if len(answer) == 0 || len(answer) > 200 || strings.ContainsFunc(answer, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("kept %q", answer)
	}
	s.CloseClientConnections()
	if n := written.Load(); n > 32<<20 {
		t.Errorf("the endpoint could write %d bytes", n)
	}
}

// C33
func TestGzipBombIsNotUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte("A"), 10<<20))
	_ = z.Close()
	w := simple(t)
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, g got) {
		if g.header.Get("Accept-Encoding") != "" {
			t.Errorf("we asked for %q", g.header.Get("Accept-Encoding"))
		}
		rw.Header().Set("Content-Encoding", "gzip")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write(bomb.Bytes())
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	if answer := w.only(e.ID).Tries[0].Answer; strings.Contains(answer, "AAAAAAAAAA") {
		t.Errorf("kept what was unpacked: %q", answer)
	}
}

// C33
func TestSilentEndpointTimesOut(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Timeout = 100 * time.Millisecond })
	s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) { <-r.Context().Done() })
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	if d := w.only(e.ID); d.State != webhooks.DeliveryPending || d.Tries[0].Error != "timeout" {
		t.Errorf("silent: %+v", d)
	}
}

// C33
func TestAnswerWithoutEndCountsByItsStatus(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Timeout = 2 * time.Second })
	trickle := newSink(t, func(rw http.ResponseWriter, r *http.Request, _ got) { // never ends its headers' body
		rw.WriteHeader(http.StatusOK)
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	e := w.put(webhooks.Endpoint{URL: trickle.URL})
	w.event(w.payment())
	w.quiet()
	if d := w.only(e.ID); d.State != webhooks.DeliveryDelivered {
		t.Errorf("its status was 200: %+v", d)
	}
}

func TestRefusedConnectionAndBadCertificateAreNamed(t *testing.T) {
	w := simple(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := httptest.NewTLSServer(nil) // by nobody we trust
	defer secure.Close()
	for want, u := range map[string]string{"connection": closed.URL, "tls": secure.URL} {
		e := w.put(webhooks.Endpoint{URL: u})
		w.event(w.payment())
		w.quiet()
		if d := w.deliveries(e.ID)[0]; d.Tries[0].Error != want || d.Tries[0].Answer != "" {
			t.Errorf("%s: %+v", want, d)
		}
	}
}

// Neither what an endpoint echoes nor its address with a token nor a key can
// be read in a file, of the database or of NATS.
func TestNoFileTellsOfPeopleOrKeys(t *testing.T) {
	clock, dir := testkit.NewClock(), t.TempDir()
	db := testkit.Open(t, store.Config{URL: "sqlite:" + filepath.Join(dir, "hub.db")}, clock.Now)
	w := newWorld(t, db, clock, bus.Config{Dir: filepath.Join(dir, "nats")})
	w.node("one")
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, g got) {
		rw.WriteHeader(http.StatusBadRequest)
		at := bytes.Index(g.body, []byte(canary))
		_, _ = rw.Write(g.body[max(at, 0):]) // the receiver's error page quotes it
	})
	e := w.put(webhooks.Endpoint{URL: s.URL + "/hook?token=url-token-0815"})
	w.event(w.payment())
	w.quiet()
	if answer := w.only(e.ID).Tries[0].Answer; !strings.HasPrefix(answer, canary) {
		t.Fatalf("the merchant sees %q of his own answer", answer)
	}
	secret := strings.TrimPrefix(e.Keys[0].Value, "whsec_")
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = found || bytes.Contains(content, []byte(e.ID))
		for _, bad := range []string{canary, "Erika", "DE8937040044", "url-token-0815", secret, "whsk_"} {
			if bytes.Contains(content, []byte(bad)) {
				t.Errorf("%s holds %q", filepath.Base(path), bad)
			}
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("%v; the endpoint's row found: %v", err, found)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	w := simple(t)
	e := w.put(webhooks.Endpoint{URL: "https://hooks.example.com/"})
	for _, text := range []string{fmt.Sprintf("%v", e.Keys), fmt.Sprintf("%+v", *e), fmt.Sprintf("%#v", e.Keys)} {
		if strings.Contains(text, strings.TrimPrefix(e.Keys[0].Value, "whsec_")) || strings.Contains(text, strings.TrimPrefix(e.Keys[1].Value, "whsk_")) {
			t.Errorf("a key prints: %s", text)
		}
	}
}

func TestKeysOverlapWhileTheyAreRotated(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	old, end := e.Keys[0], w.clock.Now().Add(time.Hour)
	fresh, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, Keys: []webhooks.Key{{Value: fresh.Reveal()}, {Value: old.Value, ExpiresAt: &end}, e.Keys[1]}})
	check := func(g got, secret string) error {
		v, err := verify.New(verify.Config{Secrets: []string{secret}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(g.header, g.body, w.clock.Now())
		return err
	}
	w.event(w.payment())
	w.quiet()
	if first := s.all()[0]; check(first, old.Value) != nil || check(first, fresh.Reveal()) != nil {
		t.Fatal("one of two overlapping keys did not sign")
	}
	w.jump(time.Hour)
	w.event(w.payment())
	w.quiet()
	if second := s.all()[1]; check(second, old.Value) == nil || check(second, fresh.Reveal()) != nil {
		t.Fatal("an expired key signs, or its successor does not")
	}
}

func TestPutRefusesWhatCannotWork(t *testing.T) {
	w := simple(t)
	eleven := make([]webhooks.Key, 11)
	for i := range eleven {
		secret, err := verify.GenerateSecret(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		eleven[i].Value = secret.Reveal()
	}
	for field, e := range map[string]webhooks.Endpoint{
		"url": {URL: "https://10.0.0.1/"}, "events": {URL: "https://a.example.com/", Events: []string{"payment.created"}},
		"keys": {URL: "https://a.example.com/", Keys: []webhooks.Key{{Value: "whsec_c2hvcnQ="}}}, "id": {ID: "whe_*", URL: "https://a.example.com/"},
		"state": {URL: "https://a.example.com/", State: "deleted"},
	} {
		e.MerchantID = merchant
		_, err := w.nodes[0].Put(t.Context(), e)
		var named *psd2.Error
		if psd2.CodeOf(err) != psd2.CodeInvalid || !asError(err, &named) || named.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := w.nodes[0].Put(t.Context(), webhooks.Endpoint{MerchantID: merchant, URL: "https://a.example.com/", Keys: eleven}); psd2.CodeOf(err) != psd2.CodeInvalid {
		t.Errorf("eleven keys: %v", err)
	}
}

func TestPuttingTheSameAgainWritesNothing(t *testing.T) {
	w := simple(t)
	e := webhooks.Endpoint{ID: "whe_demo", MerchantID: merchant, URL: "https://a.example.com/", Events: []string{"payment.*"}}
	first := w.put(e)
	w.clock.Add(time.Hour)
	if again := w.put(e); !again.UpdatedAt.Equal(first.UpdatedAt) || again.Keys[0] != first.Keys[0] {
		t.Fatalf("%+v became %+v", first, again)
	}
	e.URL = "https://b.example.com/"
	if moved := w.put(e); moved.UpdatedAt.Equal(first.UpdatedAt) || moved.Keys[0] != first.Keys[0] {
		t.Fatalf("moved: %+v", moved)
	}
}

func TestDeliveriesPage(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	for range 5 {
		w.event(w.payment())
		w.clock.Add(time.Millisecond)
	}
	w.quiet()
	var ids []string
	for cursor, more := "", true; more; more = cursor != "" {
		list, next, err := w.nodes[0].Deliveries(t.Context(), merchant, e.ID, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		cursor = next
	}
	if len(ids) != 5 {
		t.Fatalf("pages gave %v", ids)
	}
	for i := 1; i < len(ids); i++ {
		if ids[i] >= ids[i-1] {
			t.Fatalf("not newest first: %v", ids)
		}
	}
	if _, _, err := w.nodes[0].Deliveries(t.Context(), merchant, e.ID, "dlv_' OR 1=1", 2); psd2.CodeOf(err) != psd2.CodeInvalid {
		t.Errorf("foreign cursor: %v", err)
	}
	if err := w.nodes[0].Resend(t.Context(), merchant, e.ID, "dlv_00000000000000000000000000"); psd2.CodeOf(err) != psd2.CodeNotFound {
		t.Errorf("resend of nothing: %v", err)
	}
}

func TestMetricsCountOutcomes(t *testing.T) {
	clock := testkit.NewClock()
	w := newWorld(t, testkit.SQLite(t, clock.Now), clock, bus.Config{Dir: t.TempDir()})
	registry := prometheus.NewRegistry()
	node, err := webhooks.New(w.config, webhooks.Deps{
		Store: w.db, Bus: w.bus, Follower: w.bus.Follow("webhooks"), Keys: w.keys, Holder: "one", Now: clock.Now, Random: rand.Reader, Metrics: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.nodes = append(w.nodes, node)
	t.Cleanup(func() { _ = node.Close(context.Background()) })
	w.put(webhooks.Endpoint{URL: newSink(t, nil).URL})
	w.put(webhooks.Endpoint{URL: newSink(t, status(500)).URL})
	w.event(w.payment())
	w.quiet()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				counts[f.GetName()+" "+l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	for _, name := range []string{"rialto_webhook_tries_total delivered", "rialto_webhook_tries_total status", "rialto_webhook_deliveries_total delivered", "rialto_webhook_deliveries_total pending"} {
		if counts[name] != 1 {
			t.Errorf("%s = %v, want 1 (%v)", name, counts[name], counts)
		}
	}
}

func TestClosedServiceLeavesNoGoroutine(t *testing.T) {
	clock := testkit.NewClock()
	db := testkit.SQLite(t, clock.Now)
	keys, err := jose.NewKeySet(rand.Reader, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	ignore := goleak.IgnoreCurrent()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, bus.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: clock, db: db, bus: b, keys: keys, config: webhooks.Config{Sandbox: true}, seq: db.Sequencer("test"), relay: b.Relay(db, "test")}
	node, err := webhooks.New(w.config, webhooks.Deps{Store: db, Bus: b, Follower: b.Follow("webhooks"), Keys: keys, Holder: "one", Now: clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	w.nodes = append(w.nodes, node)
	s := newSink(t, nil)
	w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	if err := node.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.Close()
	s.CloseClientConnections()
	s.Close()
	goleak.VerifyNone(t, ignore, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}
