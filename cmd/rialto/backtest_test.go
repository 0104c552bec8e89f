package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recorded = `{"id":"t1","ts":"2026-09-01T10:00:00Z","type":"deposit","merchant":"c1","player":"p1","player_name":"Anna Koch","holder_name":"Peter Fremd","iban":"DE02701500001936610177","bic":"SSKMDEMMXXX","amount_cents":50000,"currency":"EUR","device":"d1","ip":"93.220.111.1","ip_country":"DE","status":"settled","stake_cents_since_last":null}
{"id":"t2","ts":"2026-09-02T10:00:00Z","type":"deposit","merchant":"c1","player":"p2","player_name":"Jonas Wolf","holder_name":"Jonas Wolf","iban":"DE34100000005745168669","bic":"MARKDEF1100","amount_cents":2000,"currency":"EUR","device":"d2","ip":"93.202.236.45","ip_country":"DE","status":"settled","stake_cents_since_last":null}
`

func runBacktest(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = dispatch(env{t.Context(), &out, &errs}, append([]string{"backtest"}, args...))
	return code, out.String(), errs.String()
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBacktestWritesRowsAndMeasuresRecall(t *testing.T) {
	dir := t.TempDir()
	events, labels := put(t, dir, "e.jsonl", recorded), put(t, dir, "l.tsv", "tx_id\tplayer\tlabel\nt1\tp1\tthird_party_account\n")
	out := filepath.Join(dir, "rows.tsv")
	code, table, stderr := runBacktest(t, "--events", events, "--labels", labels, "--out", out)
	rows, err := os.ReadFile(out)
	if code != 0 || err != nil || string(rows) != "tx_id\tplayer\trule\taction\tseverity\nt1\tp1\tR01\tBLOCK\thigh\n" {
		t.Errorf("exit %d, %v, rows %q, %s", code, err, rows, stderr)
	}
	for _, want := range []string{"third_party_account", "1.000", "players without a label: 1, alerted: 0 (0.00 %)", "no data for R29: mule_list"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	code, stdout, _ := runBacktest(t, "--events", events, "--labels", labels, "--json")
	var doc struct {
		Rows     []map[string]any `json:"rows"`
		Measured struct {
			Normal int `json:"normal_players"`
		} `json:"measured"`
	}
	if err := json.Unmarshal([]byte(stdout), &doc); code != 0 || err != nil || len(doc.Rows) != 1 || doc.Measured.Normal != 1 {
		t.Errorf("exit %d, %v: %s", code, err, stdout)
	}
}

// A line that is no event is told and passed over, and the rest is judged.
func TestBacktestGoesPastABadLine(t *testing.T) {
	code, rows, stderr := runBacktest(t, "--events", put(t, t.TempDir(), "odd.jsonl", "{\"id\": \n"+recorded))
	if code != 0 || !strings.Contains(rows, "t1\tp1\tR01\t") || !strings.Contains(stderr, "odd.jsonl: line 1 is skipped") {
		t.Errorf("exit %d, %s, %s", code, rows, stderr)
	}
}

func TestBacktestNamesTheBadLine(t *testing.T) {
	dir := t.TempDir()
	good := put(t, dir, "e.jsonl", recorded)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"event":     {[]string{"--events", put(t, dir, "bad.jsonl", "{\"id\": \n")}, 1, "bad.jsonl: line 1"},
		"label":     {[]string{"--events", good, "--labels", put(t, dir, "bad.tsv", "tx_id\tplayer\tlabel\nt1 p1 x\n")}, 1, "bad.tsv: line 2:"},
		"rules":     {[]string{"--events", good, "--rules", put(t, dir, "bad.yaml", "version: \"1\"\nrulez: []\n")}, 1, "line 2"},
		"profile":   {[]string{"--events", good, "--profile", "moon"}, 1, `"moon"`},
		"no file":   {[]string{"--events", filepath.Join(dir, "none")}, 1, "none"},
		"no events": {nil, 2, "--events"},
	} {
		code, _, stderr := runBacktest(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
}
