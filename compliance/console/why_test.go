package console_test

import (
	"html"
	"slices"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance"
)

// Case, alert and report say why a rule fired, in words and in the numbers that
// the hit recorded; nothing in them is taken for markup.
func TestEveryPageSaysWhyARuleFired(t *testing.T) {
	w := newWorld(t)
	p := w.payment("dora", 4000)
	c := w.raise(p, "R16", "player_protection", compliance.SeverityLow, 10, `{"rule":"R16","when":"run >= 3","inputs":{"amount":4000,"run":3,"run_ratio":4,"run_hours":2,"rise":3,"rise_ratio":4,
		"n_48h":3,"min_48h":1000},"limits":{"run":3,"run_ratio":3},"windows":{"rise":"72h","n_48h":"48h"}}`)
	w.badges.refresh()
	w.raise(p, "R24", "geography", compliance.SeverityMedium, 20, `{"rule":"R24","inputs":{"amount":4000,"ip_country":"<b>FR","iban_country":"DE","residence":"PL"}}`)
	alerts, err := w.AlertsOf(ctx, c.ID)
	must(t, err)
	of := slices.IndexFunc(alerts, func(a compliance.Alert) bool { return a.Family == "player_protection" })
	for path, want := range map[string][]string{
		"/cases/" + c.ID:                        {"€40.00: 3 in a row, each above the one before, in 2\u00a0hours", "4 times the first (limits 3 and 3)"},
		"/alerts/" + alerts[of].ID:              {"€40.00: 3 in a row"},
		"/cases/" + c.ID + "/report?step=facts": {"€40.00: 3 in a row", "Address in bFR, account in DE, residence in PL"},
	} {
		body := w.get(maria, path).body
		for _, s := range want {
			if !strings.Contains(html.UnescapeString(body), s) {
				t.Errorf("%s lacks %q", path, s)
			}
		}
		if strings.Contains(body, "<b>FR") {
			t.Errorf("%s: markup from outside", path)
		}
	}
}
