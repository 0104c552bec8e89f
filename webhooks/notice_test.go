package webhooks_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// notices lists what a merchant's journal says of his endpoints.
func (w *world) notices() (list []psd2.Event) {
	w.t.Helper()
	events, err := w.db.EventsAfter(w.t.Context(), merchant, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		if strings.HasPrefix(e.Type, "webhook_endpoint.") {
			list = append(list, e)
		}
	}
	return list
}

// in changes an endpoint as the API does.
func (w *world) in(id string, do func(tx *store.Tx, s *webhooks.Service) error) {
	w.t.Helper()
	if err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return do(tx, w.nodes[0]) }); err != nil {
		w.t.Fatal(err)
	}
	w.nodes[0].Changed(id)
	w.quiet()
}

// TestTakenOverEndpointIsToldOf: whoever changes where an endpoint's deliveries
// go, or what they are signed with, cannot keep it from the merchant: his other
// endpoints, the journal and people are told. C35
func TestTakenOverEndpointIsToldOf(t *testing.T) {
	mail := &letters{failed: true}
	w := simple(t, func(w *world) { w.notifier = mail })
	watched, elsewhere, other := newSink(t, nil), newSink(t, nil), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: watched.URL})
	w.put(webhooks.Endpoint{URL: other.URL})
	w.quiet()
	description := "ours"
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		_, err := s.ChangeIn(tx, merchant, e.ID, webhooks.Change{Description: &description})
		return err
	})
	if n := len(w.notices()); n != 0 {
		t.Fatalf("%d notices of a new description", n)
	}
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		_, err := s.ChangeIn(tx, merchant, e.ID, webhooks.Change{URL: &elsewhere.URL})
		return err
	})
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		_, _, err := s.RotateIn(tx, merchant, e.ID, time.Hour)
		return err
	})
	w.put(webhooks.Endpoint{ID: e.ID, URL: watched.URL, Keys: e.Keys}) // as a configuration would
	w.quiet()
	want := []string{"[url]", "[keys]", "[url keys]"}
	var told, kept, read []string
	for _, g := range other.all() {
		told = append(told, changedOf(t, g.body))
		if strings.Contains(string(g.body), "127.0.0.1") {
			t.Errorf("an address is told: %s", g.body)
		}
	}
	for _, n := range w.notices() {
		if n.Type != psd2.EventEndpointChanged || n.ObjectID != e.ID {
			t.Errorf("%+v", n)
		}
		kept = append(kept, changedOf(t, []byte(`{"data":`+string(n.Data)+`}`)))
	}
	w.until("letters", func() bool { w.clock.Add(time.Minute); return len(mail.all()) == 3 })
	for _, n := range mail.all() {
		read = append(read, fmt.Sprint(n.Changed))
		if n.ObjectID != e.ID || n.MerchantID != merchant || n.Reason != "" {
			t.Errorf("%+v", n)
		}
	}
	if !slices.Equal(told, want) || !slices.Equal(kept, want) || !slices.Equal(read, want) {
		t.Errorf("told %q\nkept %q\nread %q\nwant %q", told, kept, read, want)
	}
	if watched.count()+elsewhere.count() != 0 {
		t.Error("the endpoint itself was told")
	}
}

// TestReplacedSigningKeyIsToldOf: whoever replaces a merchant's key cannot keep it
// from him, and no key material is in what is told. C25
func TestReplacedSigningKeyIsToldOf(t *testing.T) {
	mail := &letters{}
	w := simple(t, func(w *world) { w.notifier = mail })
	sinks := []*sink{newSink(t, nil), newSink(t, nil)}
	var e *webhooks.Endpoint
	for _, s := range sinks {
		e = w.put(webhooks.Endpoint{URL: s.URL})
	}
	w.quiet()
	for i, kid := range []string{"k2", "k3"} {
		w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
			return s.KeyReplacedIn(tx, merchant, kid, fmt.Sprint("k", i+1), tx.Now.Add(time.Hour))
		})
	}
	w.quiet()
	for _, s := range sinks {
		if got := s.all(); len(got) != 2 || !strings.Contains(string(got[0].body), `"signing_key":{"id":"k2","replaces":"k1","replaced_until":"`) {
			t.Errorf("an endpoint was told %+v", got)
		}
	}
	w.until("letters", func() bool { w.clock.Add(time.Minute); return len(mail.all()) == 2 })
	for i, n := range mail.all() {
		if n.Type != psd2.EventSigningKeyReplaced || n.ObjectID != merchant || n.MerchantID != merchant || len(n.Changed) != 2 || n.Changed[1] != fmt.Sprint("k", i+1) {
			t.Errorf("%+v", n)
		}
	}
	path := filepath.Join(t.TempDir(), "letter")
	m := webhooks.Mail{Command: []string{"sh", "-c", "cat > " + path}, From: "hub@example.com", To: []string{"ops@example.com"}}
	if err := m.Notify(t.Context(), mail.all()[0]); err != nil {
		t.Fatal(err)
	}
	letter, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(letter), "\r\nSubject: Signing key replaced: k2 is now used instead of k1\r\n") || strings.Contains(string(letter), "Endpoint:") {
		t.Errorf("%s %v", letter, err)
	}
}

// TestNoticesAreToldInTurn: a merchant with many of them does not keep another's
// people waiting.
func TestNoticesAreToldInTurn(t *testing.T) {
	mail := &letters{}
	w := simple(t, func(w *world) { w.notifier = mail })
	e := w.put(webhooks.Endpoint{URL: newSink(t, nil).URL})
	w.quiet()
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		for i := range 100 {
			if err := s.KeyReplacedIn(tx, "mer_loud", fmt.Sprint("k", i+1), fmt.Sprint("k", i), tx.Now); err != nil {
				return err
			}
		}
		return nil
	})
	w.clock.Add(time.Second)
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		return s.KeyReplacedIn(tx, merchant, "k2", "k1", tx.Now)
	})
	w.until("letters", func() bool { w.clock.Add(time.Minute); return len(mail.all()) == 101 })
	if at := slices.IndexFunc(mail.all(), func(n webhooks.Notice) bool { return n.MerchantID == merchant }); at > 25 {
		t.Errorf("%d letters of another merchant came first", at)
	}
}

func changedOf(t *testing.T, body []byte) string {
	t.Helper()
	var v struct {
		Data struct {
			Endpoint struct{ Changed []string } `json:"webhook_endpoint"`
		}
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(v.Data.Endpoint.Changed)
}

// TestEndpointsAreNotToldOfThemselves: not by the fan-out, not by whoever looks
// for gaps, not by a replay.
func TestEndpointsAreNotToldOfThemselves(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.in(e.ID, func(tx *store.Tx, s *webhooks.Service) error {
		_, _, err := s.RotateIn(tx, merchant, e.ID, 0)
		return err
	})
	w.pass(time.Minute)
	if n := w.replayed(e.ID, webhooks.Range{Which: webhooks.ReplayAll}); n != 0 || s.count() != 0 || len(w.notices()) != 1 {
		t.Errorf("%d replayed, %d told, %d in the journal", n, s.count(), len(w.notices()))
	}
}

// TestMerchantsOwnPeopleAreWrittenTo: the operator's are told too, unseen by them.
func TestMerchantsOwnPeopleAreWrittenTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter")
	m := webhooks.Mail{
		Command: []string{"sh", "-c", "cat > " + path}, From: "hub@example.com", To: []string{"ops@example.com"},
		Contacts: map[string][]string{"mer_1": {"dev@casino.example", "boss@casino.example"}},
	}
	for merchantID, want := range map[string]string{
		"mer_1": "\r\nTo: dev@casino.example, boss@casino.example\r\nBcc: ops@example.com\r\nSubject: Webhook endpoint whe_1 has changed: url, keys\r\n",
		"mer_2": "\r\nTo: ops@example.com\r\nSubject: ",
	} {
		n := webhooks.Notice{ID: "evt_1", ObjectID: "whe_1", MerchantID: merchantID, Type: psd2.EventEndpointChanged, Changed: []string{"url", "keys"}, CreatedAt: time.Unix(0, 0).UTC()}
		if err := m.Notify(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		letter, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(letter), want) {
			t.Errorf("%q is not in\n%s (%v)", want, letter, err)
		}
	}
	m.Contacts["mer_1"] = []string{"a@b\r\nBcc: c@d"}
	if _, err := webhooks.New(webhooks.Config{Mail: m}, simpleDeps(t)); err == nil {
		t.Error("an address that holds a header was taken")
	}
}
