package demo_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
)

// TestTypologiesRaiseTheirAlerts presses the button of the casino's page and
// looks for the alerts that each typology should bring up.
func TestTypologiesRaiseTheirAlerts(t *testing.T) {
	w, err := demo.Start(t.Context(), demo.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	var before int
	if err := w.Hub.Store.Get(t.Context(), &before, `SELECT COUNT(*) FROM payments`); err != nil || before != 0 || w.Script.Progress().Of != 0 {
		t.Fatalf("it plays by itself: %d payments, %v", before, err)
	}
	client := payer.NewClient(nil)
	defer client.CloseIdleConnections()
	if page := get(t, client, w.CasinoURL+"/"); !strings.Contains(page, "Play typologies") {
		t.Fatal("the page has no button")
	}
	press(t, client, w.CasinoURL+"/play")
	if w.Script.Play() {
		t.Error("a second play began beside the first")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		p := w.Script.Progress()
		missing := map[string]bool{}
		for _, l := range p.Lines {
			if l.Rules != "" {
				for _, rule := range strings.Split(l.Rules, ", ") {
					missing[rule] = true
				}
			}
		}
		if page := get(t, client, w.CasinoURL+"/"); strings.Contains(page, " bad") {
			t.Fatal("the casino does not know the keys of all its webhooks")
		}
		var fired []string
		if err := w.Hub.Store.Select(t.Context(), &fired, `SELECT DISTINCT rule FROM compliance_hits`); err != nil {
			t.Fatal(err)
		}
		for _, rule := range fired {
			delete(missing, rule)
		}
		if !p.Running && len(missing) == 0 {
			if p.Wrong != 0 {
				t.Errorf("%d acts went wrong, e.g. %s", p.Wrong, p.Error)
			}
			t.Logf("seed %d, %d acts, fired %v, %+v", p.Seed, p.Of, fired, p.Lines)
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("seed %d: %d of %d, wrong %d (%s), these rules did not fire: %v, these did: %v, %+v", p.Seed, p.Done, p.Of, p.Wrong, p.Error, missing, fired, p.Lines)
		case <-tick.C:
		}
	}
	if page := get(t, client, w.CasinoURL+"/"); !strings.Contains(page, "finished") || !strings.Contains(page, "Play again") {
		t.Error("the page does not say that it has ended")
	}
	if page := strings.ToLower(get(t, client, w.CasinoURL+"/state")); strings.Contains(page, "alert") || strings.Contains(page, "hit_") {
		t.Error("the casino was told who was noticed")
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	return do(t, client, http.MethodGet, url, http.StatusOK)
}

func press(t *testing.T, client *http.Client, url string) {
	t.Helper()
	do(t, client, http.MethodPost, url, http.StatusSeeOther)
}

func do(t *testing.T, client *http.Client, method, url string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body strings.Builder
	if _, err := io.Copy(&body, res.Body); err != nil || res.StatusCode != want {
		t.Fatalf("%s: %d, %v", url, res.StatusCode, err)
	}
	return body.String()
}
