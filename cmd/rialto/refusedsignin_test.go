package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
)

// TestRefusedSignInsAreInTheOfficersChain: each leaves one row, the same for a
// login that somebody has and one that nobody has; neither it nor the answer
// says which it was, and no name or address stands there in clear. // D10
func TestRefusedSignInsAreInTheOfficersChain(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	client := payer.NewClient(nil)
	if _, err := run.Enrol(t.Context(), w.Hub.Officers, w.Hub.OfficersOrigin, "anja", "Anja Analyst", "officer"); err != nil {
		t.Fatal(err)
	}
	try := func(login string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.Hub.OfficersOrigin+"/staff/login", strings.NewReader(url.Values{"login": {login}, "password": {"guessed"}, "code": {"123456"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", w.Hub.OfficersOrigin)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Status
	}
	if a, b := try("anja"), try("nobody-at-all"); a != b || !strings.HasPrefix(a, "401") {
		t.Errorf("somebody: %s; nobody: %s", a, b)
	}
	try("ANJA ") // the same person, as far as anybody can tell
	var rows []struct {
		Object string `db:"object"`
		Actor  string `db:"actor"`
		Detail string `db:"detail"`
	}
	if err := w.Hub.Store.Select(t.Context(), &rows, `SELECT object, actor, detail FROM compliance_audit WHERE action = 'officer.sign_in_refused' ORDER BY seq`); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 {
		t.Fatalf("%d rows, want 3: %+v", len(rows), rows)
	}
	if rows[0].Object != rows[2].Object || rows[0].Object == rows[1].Object || rows[0].Detail != rows[1].Detail || rows[0].Actor != rows[1].Actor {
		t.Errorf("the rows: %+v", rows)
	}
	for _, r := range rows {
		for _, clear := range []string{"anja", "Analyst", "nobody-at-all", "127.0.0.1", "guessed"} {
			if strings.Contains(strings.ToLower(r.Object+r.Actor+r.Detail), strings.ToLower(clear)) {
				t.Errorf("a row says %q: %+v", clear, r)
			}
		}
	}
}
