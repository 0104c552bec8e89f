package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/webhooks"
)

// letters is a Notifier that fails at first.
type letters struct {
	mu     sync.Mutex
	failed bool
	got    []webhooks.Notice
}

func (l *letters) Notify(_ context.Context, n webhooks.Notice) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.failed {
		l.failed = true
		return errors.New("the mail server is away")
	}
	l.got = append(l.got, n)
	return nil
}

func (l *letters) all() []webhooks.Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// TestFailureBudgetIsToldOf: at 50, 70 and 90 percent, and when the endpoint
// is disabled, once each: to the merchant's other endpoint and to people.
func TestFailureBudgetIsToldOf(t *testing.T) {
	mail := &letters{}
	w := simple(t, func(w *world) { w.notifier = mail })
	bad := newSink(t, status(500))
	good := newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: bad.URL, Events: []string{"payment.*"}})
	w.put(webhooks.Endpoint{URL: good.URL, Events: []string{"webhook_endpoint.*"}})
	for hour := 0; hour <= 124; hour += 4 {
		w.event(w.payment())
		w.quiet()
		w.quiet()
		w.jump(4 * time.Hour)
	}
	w.quiet()
	w.until("letters", func() bool { w.clock.Add(time.Minute); return len(mail.all()) == 4 })
	var told, read []string
	for _, g := range good.all() {
		var body struct {
			Type string
			Data struct {
				Endpoint struct {
					ID     string
					Used   int    `json:"failure_budget_used"`
					Reason string `json:"disabled_reason"`
				} `json:"webhook_endpoint"`
			}
		}
		if err := json.Unmarshal(g.body, &body); err != nil || body.Data.Endpoint.ID != e.ID {
			t.Errorf("%s: %v", g.body, err)
		}
		told = append(told, fmt.Sprint(body.Type, " ", body.Data.Endpoint.Used/10*10, " ", body.Data.Endpoint.Reason))
	}
	for _, n := range mail.all() {
		read = append(read, fmt.Sprint(n.Type, " ", n.Percent/10*10, " ", n.Reason))
	}
	want := []string{"webhook_endpoint.failing 50 ", "webhook_endpoint.failing 70 ", "webhook_endpoint.failing 90 ", "webhook_endpoint.disabled 100 failing"}
	if !slices.Equal(told, want) || !slices.Equal(read, want) {
		t.Errorf("told %q\nread %q\nwant %q", told, read, want)
	}
	inOrderOnce(t, good.all(), 4)
	var kept []string
	for _, n := range w.notices() {
		kept = append(kept, n.Type)
	}
	if !slices.Equal(kept, []string{psd2.EventEndpointFailing, psd2.EventEndpointFailing, psd2.EventEndpointFailing, psd2.EventEndpointDisabled}) {
		t.Errorf("the journal has %v", kept)
	}
}

func TestRecoveryGivesTheBudgetBack(t *testing.T) {
	mail := &letters{failed: true}
	w := simple(t, func(w *world) { w.notifier = mail })
	var works atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if !works.Load() {
			rw.WriteHeader(500)
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	failFor := func(d time.Duration) {
		w.event(w.payment())
		w.quiet()
		w.jump(d)
		w.event(w.payment())
		w.quiet()
	}
	failFor(61 * time.Hour)
	works.Store(true)
	w.jump(10 * time.Hour)
	w.quiet()
	healthy, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
	if err != nil || healthy.FailingSince != nil || healthy.BudgetUsed(w.clock.Now()) != 0 {
		t.Fatalf("%+v, %v", healthy, err)
	}
	works.Store(false)
	failFor(61 * time.Hour)
	w.until("letters", func() bool { w.clock.Add(time.Minute); return len(mail.all()) >= 2 })
	for _, n := range mail.all() {
		if n.Type != psd2.EventEndpointFailing || n.Percent != 50 {
			t.Errorf("%+v", n)
		}
	}
}

// An endpoint that is gone is told of too; one its merchant disables is not.
func TestDisablingIsToldOf(t *testing.T) {
	mail := &letters{failed: true}
	w := simple(t, func(w *world) { w.notifier = mail })
	s := newSink(t, status(http.StatusGone))
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.put(webhooks.Endpoint{URL: newSink(t, nil).URL, State: webhooks.EndpointDisabled})
	w.event(w.payment())
	w.quiet()
	w.until("a letter", func() bool { w.clock.Add(time.Minute); return len(mail.all()) == 1 })
	if n := mail.all()[0]; n.ObjectID != e.ID || n.Reason != webhooks.ReasonGone || n.Type != psd2.EventEndpointDisabled {
		t.Errorf("%+v", n)
	}
}

// TestMailHoldsNoForeignHeader: the letter is what sendmail takes, and an
// address cannot bring another header in.
func TestMailHoldsNoForeignHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter")
	m := webhooks.Mail{Command: []string{"sh", "-c", "cat > " + path}, From: "hub@example.com", To: []string{"ops@example.com", "b@example.com"}}
	if err := m.Notify(t.Context(), webhooks.Notice{ID: "evt_1", ObjectID: "whe_1", MerchantID: "mer_1", Percent: 70, CreatedAt: time.Unix(0, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
	letter, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"To: ops@example.com, b@example.com\r\n", "whe_1 fails: 70 %", "\r\n\r\nMerchant: mer_1\r\n"} {
		if !strings.Contains(string(letter), want) {
			t.Errorf("%q is not in\n%s", want, letter)
		}
	}
	for _, address := range []string{"a@b\r\nBcc: c@d", "a@b, c@d", "nobody", ""} {
		_, err := webhooks.New(webhooks.Config{Mail: webhooks.Mail{Command: m.Command, From: "a@b", To: []string{address}}}, simpleDeps(t))
		if err == nil {
			t.Errorf("%q was taken", address)
		}
	}
	if (webhooks.Mail{Command: []string{"false"}, From: "a@b", To: []string{"c@d"}}).Notify(t.Context(), webhooks.Notice{}) == nil {
		t.Error("a program that fails is taken for success")
	}
}
