package api_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

func TestReplayThroughTheAPI(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		ctx, m, s := t.Context(), w.hooked("Casino"), newSink(t)
		c := m.client()
		e := m.endpoint(s.URL, []string{"payment.failed"})
		w.pass(time.Second)
		p := m.create()
		if _, err := c.Cancel(ctx, p.ID, "cancel"); err != nil {
			t.Fatal(err)
		}
		w.until("the event, noted as delivered", func() bool { // what is still pending is not sent again
			list, err := c.Deliveries(ctx, e.ID, "", 1)
			return err == nil && len(list.Data) == 1 && list.Data[0].Status == "delivered"
		})
		again, err := c.Replay(ctx, e.ID, apiclient.ReplayRange{Deliver: "all", Events: []string{"payment.*"}}, "replay")
		if err != nil || again.Status != "running" {
			t.Fatalf("%+v, %v", again, err)
		}
		if same, err := c.Replay(ctx, e.ID, apiclient.ReplayRange{Deliver: "all", Events: []string{"payment.*"}}, "replay"); err != nil || same.ID != again.ID {
			t.Errorf("the same request began another replay: %+v, %v", same, err)
		}
		w.until("the same event again", func() bool { return len(s.hits()) == 2 })
		first, second := s.hits()[0], s.hits()[1]
		if !bytes.Equal(first.body, second.body) || first.header.Get("webhook-id") != second.header.Get("webhook-id") {
			t.Errorf("another event: %s %s", first.body, second.body)
		}
		if done, err := c.ReplayStatus(ctx, e.ID, again.ID); err != nil || done.Status != "done" || done.Matched != 1 {
			t.Errorf("%+v, %v", done, err)
		}
		if _, err := c.Replay(ctx, e.ID, apiclient.ReplayRange{After: psd2.NewID(psd2.PrefixEvent, w.now(), bytes.NewReader(make([]byte, 16)))}, "r2"); problemCode(err) != "after_unknown" {
			t.Errorf("after somebody's event: %v", err)
		}
		last, err := c.Events(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		none, err := c.Replay(ctx, e.ID, apiclient.ReplayRange{Deliver: "all", After: last.Data[len(last.Data)-1].ID}, "r3")
		if err != nil {
			t.Fatal(err)
		}
		w.until("its end", func() bool { r, err := c.ReplayStatus(ctx, e.ID, none.ID); return err == nil && r.Status == "done" })
		if r, err := c.ReplayStatus(ctx, e.ID, none.ID); err != nil || r.Matched != 0 {
			t.Errorf("behind the last event there are %d, %v", r.Matched, err)
		}
	})
}

func TestReplayRefusesWhatItDoesNotUnderstand(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.hooked("Casino")
		path := "/v1/webhook-endpoints/" + m.endpoint("https://hooks.casino.de/", nil).ID + "/replay"
		for body, code := range map[string]string{
			`{"deliver":"everything"}`: "replay_invalid", `{"events":["payment.invented"]}`: "unknown_event_type",
			`{"created_from":"2026-02-01T00:00:00Z","created_until":"2026-01-01T00:00:00Z"}`: "replay_invalid", `{"after":"evt_1"}`: "after_unknown",
		} {
			if res := m.post(path, rand.Text(), body); !bytes.Contains(res.body, []byte(`"`+code+`"`)) {
				t.Errorf("%s: %s", body, res.body)
			}
		}
	})
}

func TestLimitsOfAnEndpointThroughTheAPI(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		m := w.hooked("Casino")
		e, many, few, version := m.endpoint("https://hooks.casino.de/", nil), 65, 3, "1999-12-31"
		if e.APIVersion == "" || e.MaxConcurrency != 0 || e.BudgetUsed != 0 {
			t.Errorf("%+v", e)
		}
		if _, err := m.client().ChangeEndpoint(t.Context(), e.ID, apiclient.EndpointChange{MaxConcurrency: &many}, "a"); problemCode(err) != "webhook_limit_invalid" {
			t.Errorf("65 at once: %v", err)
		}
		if _, err := m.client().ChangeEndpoint(t.Context(), e.ID, apiclient.EndpointChange{APIVersion: &version}, "b"); problemCode(err) != "unknown_api_version" {
			t.Errorf("a version that there is not: %v", err)
		}
		on, err := m.client().ChangeEndpoint(t.Context(), e.ID, apiclient.EndpointChange{MaxConcurrency: &few, MaxPerSecond: &few}, "c")
		if err != nil || on.MaxConcurrency != 3 || on.MaxPerSecond != 3 || on.APIVersion != e.APIVersion {
			t.Errorf("%+v, %v", on, err)
		}
	})
}

// TestCatalogueFitsWhatIsSent: bodies as they are received fit the schema that
// the contract's webhooks give for their type, and no changed one does.
func TestCatalogueFitsWhatIsSent(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *world) {
		doc, err := openapi3.NewLoader().LoadFromData(api.Contract())
		if err != nil {
			t.Fatal(err)
		}
		fits := func(body []byte) error {
			var v map[string]any
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatal(err)
			}
			hook := doc.Webhooks[v["type"].(string)]
			if hook == nil {
				t.Fatalf("%v is not in the catalogue", v["type"])
			}
			return hook.Post.RequestBody.Value.Content.Get("application/json").Schema.Value.VisitJSON(v)
		}
		ctx, m, s, gone := t.Context(), w.hooked("Casino"), newSink(t), newSink(t)
		gone.answer(http.StatusGone)
		e := m.endpoint(s.URL, nil)
		broken := m.endpoint(gone.URL, []string{"payment.failed"})
		if _, err := m.client().RotateKeys(ctx, broken.ID, 0, "rotate"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		p := m.create()
		if _, err := m.client().Cancel(ctx, p.ID, "cancel"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.client().TestEndpoint(ctx, e.ID, "test"); err != nil {
			t.Fatal(err)
		}
		w.until("four kinds", func() bool { return len(s.hits()) == 4 })
		var types []string
		for _, h := range s.hits() {
			if err := fits(h.body); err != nil {
				t.Errorf("%s: %v", h.body, err)
			}
			for _, changed := range [][]byte{
				bytes.Replace(h.body, []byte(`"data":{`), []byte(`"data":{"more":1,`), 1), bytes.Replace(h.body, []byte(`"sequence":`), []byte(`"sequenz":`), 1),
			} {
				if fits(changed) == nil {
					t.Errorf("the schema takes %s", changed)
				}
			}
			var v struct{ Type string }
			_ = json.Unmarshal(h.body, &v)
			types = append(types, v.Type)
		}
		slices.Sort(types)
		if want := []string{"payment.failed", "webhook.test", "webhook_endpoint.changed", "webhook_endpoint.disabled"}; !slices.Equal(types, want) {
			t.Errorf("received %v", types)
		}
		list, err := m.client().Events(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"webhook_endpoint.changed", "webhook_endpoint.disabled"} {
			if !slices.ContainsFunc(list.Data, func(e apiclient.Event) bool { return e.Type == want && e.Sequence > 0 }) {
				t.Errorf("%s is not in /v1/events", want)
			}
		}
	})
}
