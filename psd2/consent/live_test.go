package consent_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
)

func TestStreamTellsOnlyTheBoundPageAndEnds(t *testing.T) { // B31
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	live := "/pay/" + id + "/live"
	w.browser().get(live).want(http.StatusForbidden)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+live, nil)
		r.Header.Set(name, value)
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() // a stream that was opened after all has no end
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: %d", name, value, resp.StatusCode)
		}
	}
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+live, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %s", ct)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		return "closed"
	}
	if got := next(); !strings.HasPrefix(got, "at_bank.") {
		t.Fatalf("first %q", got)
	}
	w.clock.Add(2 * time.Second)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	if _, err := w.hub.Refresh(ctx, id); err != nil {
		t.Fatal(err)
	}
	w.changed <- struct{}{}
	if got := next(); !strings.HasPrefix(got, "paid.") {
		t.Errorf("then %q", got)
	}
	if a, c := next(), next(); a != "end" || c != "closed" {
		t.Errorf("then %q, %q: the stream must close at the end", a, c)
	}
}

func TestStreamsAreFew(t *testing.T) { // B31
	w := newWorld(t)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last int
	for range 5 {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/pay/"+id+"/live", nil)
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		last = resp.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the fifth stream of one payment: %d", last)
	}
	w.room.Close() // and a shutdown ends the others, or the server's Close would hang
}
