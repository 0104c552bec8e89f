package rules_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func shippedText(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const line = `{"id":"t%d","ts":"2026-09-0%dT10:00:00Z","type":"deposit","merchant":"c1","player":"p%d","player_name":"Anna Koch","holder_name":%q,"iban":"DE02701500001936610177","amount_cents":50000,"currency":"EUR","device":"d%d","ip":"93.220.111.%d","ip_country":"DE","status":"settled","stake_cents_since_last":null}` + "\n"

func TestAStreamNamesTheLineThatIsWrong(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	good := fmt.Sprintf(line, 1, 1, 1, "Anna Koch", 1, 1)
	for name, bad := range map[string]string{
		"cut":       `{"id":"t2","ts":`,
		"no id":     `{"ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":1}`,
		"no time":   `{"id":"t2","type":"deposit","player":"p","amount_cents":1}`,
		"bad time":  `{"id":"t2","ts":"yesterday","type":"deposit","player":"p","amount_cents":1}`,
		"fraction":  `{"id":"t2","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":1.5}`,
		"negative":  `{"id":"t2","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":-1}`,
		"kind":      `{"id":"t2","ts":"2026-09-01T10:00:00Z","type":"loan","player":"p","amount_cents":1}`,
		"status":    `{"id":"t2","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":1,"status":"maybe"}`,
		"currency":  `{"id":"t2","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":1,"currency":"USD"}`,
		"tab in id": `{"id":"t\t2","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p","amount_cents":1}`,
	} {
		_, err := e.Stream(strings.NewReader(good + bad + "\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "line 2:") {
			t.Errorf("%s: error %v does not name line 2", name, err)
		}
	}
	if _, err := rules.ReadLabels(strings.NewReader("tx_id\tplayer\tlabel\nt1\tp1\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("labels: error %v does not name line 2", err)
	}
}

// Spellings of one name are one holder; a relative is not.
func TestAnOwnAccountIsKnownInAnySpelling(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	for holder, own := range map[string]bool{"ANNA KOCH": true, "Koch, Anna Maria": true, "A. Koch": true, "Dr. Anna Koch und Peter Koch": true, "Peter Koch": false, "Anna Wolf": false} {
		facts, err := e.Stream(strings.NewReader(fmt.Sprintf(line, 1, 1, 1, holder, 1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.Run(facts)
		if err != nil {
			t.Fatal(err)
		}
		third := len(b.Rows) > 0 && b.Rows[0].Rule == "R01"
		if third == own {
			t.Errorf("%s: third party %v", holder, third)
		}
	}
}

// A finding about a shared account concerns every transaction on it.
func TestAFindingAboutASharedAccountReachesTheFirstPlayer(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	var text strings.Builder
	for i := 3; i >= 1; i-- { // out of order, and one twice
		fmt.Fprintf(&text, line, i, i, i, "Anna Koch", i, i)
		fmt.Fprintf(&text, line, i, i, i, "Anna Koch", i, i)
	}
	facts, err := e.Stream(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Run(facts)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.WriteTSV(&out); err != nil {
		t.Fatal(err)
	}
	want := "tx_id\tplayer\trule\taction\tseverity\nt1\tp1\tR05\tALERT\tlow\nt2\tp2\tR05\tALERT\tlow\nt3\tp3\tR05\tALERT\thigh\n"
	if out.String() != want {
		t.Errorf("rows\n%s, want\n%s", out.String(), want)
	}
}

// The labelled streams reach the bar whole and in either half of the players,
// so that no number fits one player's pattern.
func TestLabelledStreamsReachTheBar(t *testing.T) {
	file := testkit.Compliance(t, "scenarios", "events.jsonl")
	events, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(testkit.Compliance(t, "scenarios", "labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	labels, err := rules.ReadLabels(in)
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, rules.ProfileStream60D)
	facts, err := e.Stream(bytes.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	for half := range 3 { // 2: all
		b, err := e.Run(partOf(facts, half))
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, f := range b.Facts {
			known[f.ID] = true
		}
		var mine []rules.Label
		for _, l := range labels {
			if known[l.Tx] {
				mine = append(mine, l)
			}
		}
		m, err := b.Measure(mine)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Recall {
			if r.Share < 0.95 {
				t.Errorf("part %d: %s: recall %.3f", half, r.Label, r.Share)
			}
		}
		if m.Share > 0.02 || m.Normal == 0 {
			t.Errorf("part %d: %d of %d normal players alerted", half, m.Alerted, m.Normal)
		}
		t.Logf("part %d: %d typologies, %.2f %% of %d normal players", half, len(m.Recall), 100*m.Share, m.Normal)
	}
}

// partOf takes half of the groups of players who share something, so that no
// shared device is torn apart.
func partOf(facts []*rules.Fact, half int) []*rules.Fact {
	if half == 2 {
		return facts
	}
	device, account := map[string]string{}, map[string]string{}
	var out []*rules.Fact
	for _, f := range facts {
		if device[f.Player] == "" {
			device[f.Player] = f.Device
			if account[f.IBAN] == "" {
				account[f.IBAN] = f.Device
			}
			device[f.Player] = account[f.IBAN]
		}
		h := fnv.New32a()
		h.Write([]byte(device[f.Player]))
		if int(h.Sum32()>>7)%2 == half {
			out = append(out, f)
		}
	}
	return out
}
