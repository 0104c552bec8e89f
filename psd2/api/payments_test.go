package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/store"
)

func TestDepositThroughTheAPI(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	c, ctx := m.client(), context.Background()
	created, err := c.Create(ctx, m.deposit(), "k-1")
	if err != nil {
		t.Fatal(err)
	}
	if created.Status != psd2.StateAuthorizationRequired || created.Amount != psd2.Euro(2500) || created.Metadata["table"] != "7" ||
		created.CreditableAt != nil || !time.Time(created.ExpiresAt).Equal(w.now().Add(15*time.Minute)) {
		t.Errorf("created %+v", created)
	}
	if !strings.HasPrefix(created.HostedPage.URL, w.url+"/p/") {
		t.Errorf("hosted page %q", created.HostedPage.URL)
	}
	got, err := c.Get(ctx, created.ID)
	if err != nil || got.ID != created.ID || got.HostedPage.URL != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	canceled, err := c.Cancel(ctx, created.ID, "k-2")
	if err != nil || canceled.Status != psd2.StateFailed || canceled.FailureReason != psd2.ReasonMerchantCanceled {
		t.Errorf("canceled %+v, %v", canceled, err)
	}
	events := m.get("/v1/payments/" + created.ID + "/events")
	for _, want := range []string{psd2.EventCreated, psd2.EventFailed} {
		if !strings.Contains(string(events.body), want) {
			t.Errorf("the journal has no %s: %s", want, events.body)
		}
	}
	full, stake := m.deposit(), int64(100)
	full.BankID, full.Locale, full.DeviceID = "alpha", "de", "device-1"
	full.Player = psd2.Player{Reference: "player-1", Name: "Erika Mustermann", DateOfBirth: "1980-12-31", Residence: "DE", KYCStatus: "verified",
		RegisteredAt: "2026-01-31T12:00:00Z", StakeMinorSinceLastPayout: &stake}
	if p, err := c.Create(ctx, full, "k-3"); err != nil || p.BankID != "alpha" || p.Locale != "de" {
		t.Errorf("with everything that may be said: %+v, %v", p, err)
	}
	list := m.get("/v1/banks")
	if !strings.Contains(string(list.body), `"id":"alpha","name":"Alpha Bank","bics":["ALPHDEFF"],"countries":["DE"],"features":["redirect"],"available":true`) ||
		!strings.Contains(string(list.body), `"available":false,"reason":"disabled"`) {
		t.Errorf("banks %s", list.body)
	}
}

func TestCancellationIsForTheBankToDecideOnceThePayerIsThere(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	for _, tc := range []struct {
		report string
		status int
		code   string
		state  psd2.State
	}{
		{"RCVD", 200, "", psd2.StateOutcomeUnknown},
		{"ACTC", 409, "payment_not_cancelable", psd2.StateAuthorized},
		{"ACCC", 409, "payment_not_cancelable", psd2.StateSettled},
	} {
		p := m.create()
		attempt := psd2.NewID(psd2.PrefixAttempt, w.now(), rand.Reader)
		_, err := w.db.UpdatePayment(context.Background(), p.ID, func(p *psd2.Payment) error {
			if err := p.BeginAttempt(psd2.Attempt{ID: attempt, BankID: "alpha", EndToEndID: psd2.NewEndToEndID(attempt)}, psd2.PSU{}, w.now()); err != nil {
				return err
			}
			if err := p.Initiated(attempt, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/"}, []byte("{}"), w.now()); err != nil {
				return err
			}
			p.Report(attempt, psd2.Report{Status: tc.report}, w.now())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		first := m.post("/v1/payments/"+p.ID+"/cancel", "cancel-"+tc.report, "{}")
		if first.StatusCode != tc.status || first.code() != tc.code {
			t.Errorf("%s: %d %s", tc.report, first.StatusCode, first.body)
		}
		again := m.post("/v1/payments/"+p.ID+"/cancel", "cancel-"+tc.report, "{}")
		if string(again.body) != string(first.body) || again.StatusCode != first.StatusCode || again.Header.Get("Idempotent-Replayed") != "true" ||
			again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
			t.Errorf("%s: the repetition got %d %s", tc.report, again.StatusCode, again.body)
		}
		got, err := m.client().Get(context.Background(), p.ID)
		if err != nil || got.Status != tc.state {
			t.Errorf("%s: %v, %v", tc.report, got, err)
		}
	}
}

func TestListsPageAndFilter(t *testing.T) {
	w := newWorld(t)
	m, c, ctx := w.merchant("Casino"), (*apiclient.Client)(nil), context.Background()
	c = m.client()
	begin := w.now()
	var ids []string // newest first
	for i := range 7 {
		d := m.deposit()
		d.Reference = fmt.Sprint("Deposit ", i)
		d.Player.Reference = fmt.Sprint("player-", i%2)
		p, err := c.Create(ctx, d, rand.Text())
		if err != nil {
			t.Fatal(err)
		}
		ids = append([]string{p.ID}, ids...)
		w.pass(time.Second)
	}
	if _, err := c.Cancel(ctx, ids[0], "x"); err != nil {
		t.Fatal(err)
	}
	var seen []string
	filter := url.Values{"limit": {"3"}}
	for page := 1; ; page++ {
		list, err := c.List(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.Data {
			seen = append(seen, p.ID)
		}
		if list.NextCursor == "" {
			if page != 3 {
				t.Errorf("%d pages", page)
			}
			break
		}
		filter.Set("cursor", list.NextCursor)
	}
	if fmt.Sprint(seen) != fmt.Sprint(ids) {
		t.Errorf("seen %v, want %v", seen, ids)
	}
	stamp := func(d time.Duration) string { return begin.Add(d).Format(time.RFC3339) }
	for query, want := range map[string]int{
		"": 7, "status=failed": 1, "status=settled": 0, "player_reference=player-1": 3, "player_reference=nobody": 0,
		"reference=" + url.QueryEscape("Deposit 3"): 1, "created_from=" + stamp(5*time.Second): 2, "created_to=" + stamp(5*time.Second): 5,
		"created_from=" + stamp(time.Second) + "&created_to=" + stamp(2*time.Second):               1,
		"created_from=" + url.QueryEscape(begin.In(time.FixedZone("", 3600)).Format(time.RFC3339)): 7,
		"status=authorization_required&player_reference=player-0":                                  3, "limit=1": 1,
	} {
		values, _ := url.ParseQuery(query)
		list, err := c.List(ctx, values)
		if err != nil || len(list.Data) != want {
			t.Errorf("%s: %v %v, want %d", query, list, err, want)
		}
	}
	for query, code := range map[string]string{
		"limit=0": "limit_invalid", "limit=101": "limit_invalid", "limit=07": "limit_invalid", "limit=x": "limit_invalid", "limit=": "limit_invalid",
		"cursor=" + ids[0] + "'": "cursor_invalid", "cursor=": "cursor_invalid", "status=paid": "status_unknown", "status=": "status_unknown",
		"stauts=failed": "query_unknown", "status=failed&status=settled": "query_repeated", "Status=failed": "query_unknown", "a=%zz": "query_invalid",
		"created_from=yesterday": "time_invalid", "created_to=2026-01-01T00:00:00+01:00": "time_invalid", "reference=": "text_invalid",
		"player_reference=a%00b": "text_invalid", "reference=" + strings.Repeat("x", 36): "text_invalid", "sort=id%3BDROP%20TABLE%20payments": "query_unknown", "a=1;b=2": "query_invalid",
	} {
		if got := m.get("/v1/payments?" + query); got.StatusCode != 400 || got.code() != code {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
	for _, target := range []string{"/v1/payments/" + ids[0], "/v1/payments/" + ids[0] + "/events", "/v1/banks"} {
		if got := m.get(target + "?expand=all"); got.code() != "query_unknown" {
			t.Errorf("%s with a parameter: %d", target, got.StatusCode)
		}
	}
}

func TestEventsMissNothing(t *testing.T) {
	w := newWorld(t)
	m, other := w.merchant("Casino"), w.merchant("Shop")
	c, ctx := m.client(), context.Background()
	sequencer := w.db.Sequencer("test")
	position := func() {
		if _, err := sequencer.Step(ctx, w.now()); err != nil {
			t.Fatal(err)
		}
	}
	empty, err := c.Events(ctx, "", 10)
	if err != nil || len(empty.Data) != 0 || empty.After != "" || empty.HasMore {
		t.Fatalf("before anything happened: %+v, %v", empty, err)
	}
	for range 5 {
		m.create()
		other.create()
	}
	position()
	var seen []apiclient.Event
	after := ""
	for {
		list, err := c.Events(ctx, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		seen, after = append(seen, list.Data...), list.After
		if !list.HasMore {
			break
		}
	}
	if len(seen) != 5 || seen[4].ID != after {
		t.Fatalf("%d events, next after %s", len(seen), after)
	}
	late := m.create() // committed, not yet in the common order, as it may be on PostgreSQL
	err = w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE journal SET position = NULL WHERE object_id = ?`, late.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var journal apiclient.EventList
	if err := json.Unmarshal(m.get("/v1/payments/"+late.ID+"/events").body, &journal); err != nil || len(journal.Data) != 1 {
		t.Fatalf("%v: %+v", err, journal)
	}
	if list, err := c.Events(ctx, journal.Data[0].ID, 10); err != nil || len(list.Data) != 0 || list.After != journal.Data[0].ID {
		t.Errorf("behind an event without a place: %+v, %v", list, err)
	}
	if list, err := c.Events(ctx, after, 10); err != nil || len(list.Data) != 0 || list.After != after {
		t.Errorf("an event without a place was told: %+v, %v", list, err)
	}
	position()
	if list, err := c.Events(ctx, after, 10); err != nil || len(list.Data) != 1 {
		t.Errorf("the late event was missed: %+v, %v", list, err)
	}
	foreign, err := other.client().Events(ctx, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	unknown := psd2.NewID(psd2.PrefixEvent, w.now(), rand.Reader)
	a, b := m.get("/v1/events?after="+foreign.After), m.get("/v1/events?after="+unknown) // C01
	if a.StatusCode != 400 || withoutTrace(a.body) != withoutTrace(b.body) {
		t.Errorf("another's event: %d %s; an unknown one: %s", a.StatusCode, a.body, b.body)
	}
}

func TestRateLimits(t *testing.T) { // C08
	one := api.Rate{PerSecond: 1, Burst: 3}
	off := api.Rate{PerSecond: -1}
	t.Run("token per address", func(t *testing.T) {
		w := newWorld(t, limits(api.Limits{Token: one, Address: off, Merchant: off}))
		w.merchant("Casino")
		for i := range 10 {
			req := w.request(http.MethodPost, "/oauth/token", "grant_type=x")
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("X-Forwarded-For", fmt.Sprint("10.0.0.", i))
			got := w.send(req)
			if limited := i >= 3; limited != (got.StatusCode == http.StatusTooManyRequests) || limited && got.Header.Get("Retry-After") != "1" {
				t.Errorf("request %d: %d, Retry-After %q", i, got.StatusCode, got.Header.Get("Retry-After"))
			}
		}
	})
	t.Run("any call per address", func(t *testing.T) {
		w := newWorld(t, limits(api.Limits{Token: off, Address: one, Merchant: off}))
		for i, target := range []string{"/docs", "/v1/banks", "/nothing", "/docs", "/v1/banks", "/nothing"} {
			req := w.request(http.MethodGet, target, "")
			req.Header.Set("X-Forwarded-For", fmt.Sprint("10.0.0.", i))
			if got := w.send(req); (i >= 3) != (got.StatusCode == http.StatusTooManyRequests) {
				t.Errorf("request %d: %d", i, got.StatusCode)
			}
		}
	})
	t.Run("per merchant", func(t *testing.T) {
		w := newWorld(t, limits(api.Limits{Token: off, Address: off, Merchant: one}))
		m, other := w.merchant("Casino"), w.merchant("Shop")
		for i := range 6 {
			got := m.post("/v1/payments", fmt.Sprint("k", i), m.depositJSON())
			if want := map[bool]int{true: 201, false: 429}[i < 3]; got.StatusCode != want {
				t.Errorf("request %d: %d", i, got.StatusCode)
			}
		}
		if got := other.get("/v1/banks"); got.StatusCode != 200 {
			t.Errorf("another merchant: %d", got.StatusCode)
		}
		w.pass(2 * time.Second)
		if got := m.post("/v1/payments", "k5", m.depositJSON()); got.StatusCode != 201 || got.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("after the wait, with a key that met the limit before: %d", got.StatusCode)
		}
	})
}
