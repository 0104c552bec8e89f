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

// What another system writes in its own way is the same stream: other order of
// fields and lines, other ends of lines, gaps, fields nobody knows or asked for.
func TestAStreamIsReadInAnyOrder(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	plain := fmt.Sprintf(line, 1, 1, 1, "Anna Koch", 1, 1) + fmt.Sprintf(line, 2, 2, 2, "Peter Fremd", 2, 2) + fmt.Sprintf(line, 3, 3, 3, "Anna Koch", 3, 3)
	lines := strings.SplitAfter(strings.TrimSuffix(plain, "\n"), "\n")
	turned := `{"player":"p2","amount_cents":50000,"ip_country":"de","ip":"93.220.111.2","holder_name":"Peter Fremd","player_name":"Anna Koch","mood":{"a":[1]},"type":"deposit","iban":"de02 7015 0000 1936 6101 77","device":"d2","merchant":"c1","ts":"2026-09-02T12:00:00+02:00","id":"t2"}` + "\n"
	want := rowsOf(t, e, plain)
	if strings.Count(want, "\n") < 4 {
		t.Fatalf("too little to compare: %s", want)
	}
	for name, text := range map[string]string{
		"line order":  lines[2] + "\n" + lines[0] + lines[1],
		"field order": lines[0] + turned + lines[2],
		"line ends":   "\xef\xbb\xbf" + strings.ReplaceAll(plain, "\n", "\r\n\r\n"),
		"empty lines": "\n\n" + lines[0] + "   \n" + lines[1] + "\n" + lines[2],
		"again":       plain + lines[0] + lines[1],
		"renewed":     strings.Replace(lines[1], "Peter Fremd", "Nobody Yet", 1) + plain,
	} {
		if got := rowsOf(t, e, text); got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
	}
	bare := `{"id":"t9","ts":"2026-09-01T10:00:00Z","type":"deposit","player":"p9","amount_cents":1000}`
	if got := rowsOf(t, e, plain+bare); got != want {
		t.Errorf("a transaction with nothing optional:\n%s", got)
	}
	labels, err := rules.ReadLabels(strings.NewReader("\r\nsince\tlabel\ttx_id\tplayer\r\n1\tx\tt1\tp1\r\n\r\n2\ty\tt2\tp2"))
	if err != nil || len(labels) != 2 || labels[1] != (rules.Label{Tx: "t2", Player: "p2", Name: "y"}) {
		t.Errorf("labels %+v, %v", labels, err)
	}
}

// One line that nobody can read, or that says a thing in another system's
// words, does not end a backtest: what is odd is passed over and told.
func TestAStreamIsReadPastWhatIsNoEvent(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	one := strings.TrimSuffix(fmt.Sprintf(line, 1, 1, 1, "Anna Koch", 1, 1), "\n")
	for name, c := range map[string]struct {
		old, now string
		want     rules.Status // "": skipped
	}{
		"aborted":            {`"settled"`, `"aborted"`, rules.Failed},
		"rejected":           {`"settled"`, `"REJECTED"`, rules.Failed},
		"completed":          {`"settled"`, `"completed"`, rules.Settled},
		"another word":       {`"settled"`, `"perhaps"`, ""},
		"no registration":    {`"status"`, `"registered_at":"","status"`, rules.Settled},
		"no stake":           {`_last":null`, `_last":""`, rules.Settled},
		"integral float":     {`50000,`, `50000.0,`, rules.Settled},
		"number in words":    {`50000,`, `"50000",`, rules.Settled},
		"fraction":           {`50000,`, `500.5,`, ""},
		"nothing":            {`50000,`, `0,`, ""},
		"dollars":            {`EUR`, `USD`, ""},
		"small currency":     {`EUR`, `eur`, rules.Settled},
		"withdrawal":         {`deposit`, `withdrawal`, rules.Settled},
		"bonus":              {`deposit`, `bonus`, ""},
		"no zone":            {`T10:00:00Z`, `T10:00:00`, rules.Settled},
		"no zone, fractions": {`T10:00:00Z`, `T10:00:00.000`, rules.Settled},
		"blank for T":        {`T10:00:00Z`, ` 10:00:00`, rules.Settled},
		"no date":            {`2026-09-01T10:00:00Z`, `yesterday`, ""},
		"no JSON":            {`{"id"`, `id`, ""},
	} {
		text := strings.Replace(one, c.old, c.now, 1)
		if text == one {
			t.Fatalf("%s changes nothing", name)
		}
		var skipped []int
		facts, err := e.StreamPast(strings.NewReader(fmt.Sprintf(line, 2, 2, 2, "Anna Koch", 2, 2)+text), func(n int, why error) { skipped = append(skipped, n) })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.want == "" {
			if len(facts) != 1 || len(skipped) != 1 || skipped[0] != 2 {
				t.Errorf("%s: %d facts, skipped %v", name, len(facts), skipped)
			}
			continue
		}
		if len(facts) != 2 || len(skipped) != 0 || facts[0].Status != c.want || facts[0].Amount != 50000 || facts[0].At.Format("2006-01-02T15:04:05Z07:00") != "2026-09-01T10:00:00Z" {
			t.Errorf("%s: %d facts, skipped %v, %+v", name, len(facts), skipped, facts[0])
		}
	}
	if _, err := e.StreamPast(strings.NewReader("id;ts\n1;2\n"), func(int, error) {}); err == nil {
		t.Error("a stream without any event is read")
	}
}

// A label of a transaction that is not in the stream measures nothing, and is
// counted; its player is no normal one.
func TestLabelsWithoutTransactionAreCounted(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	facts, err := e.Stream(strings.NewReader(fmt.Sprintf(line, 1, 1, 1, "Peter Fremd", 1, 1) + fmt.Sprintf(line, 2, 2, 2, "Peter Fremd", 2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Run(facts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Measure([]rules.Label{{Tx: "t1", Player: "p1", Name: "third_party_account"}, {Tx: "t9", Player: "p2", Name: "third_party_account"}})
	if err != nil || m.Unmatched != 1 || m.Normal != 0 || len(m.Recall) != 1 || m.Recall[0].Players != 1 || m.Recall[0].Found != 1 {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := b.Measure([]rules.Label{{Tx: "t9", Player: "p1", Name: "third_party_account"}}); err == nil {
		t.Error("labels of another stream are measured")
	}
}

func rowsOf(t *testing.T, e *rules.Engine, text string) string {
	t.Helper()
	facts, err := e.Stream(strings.NewReader(text))
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
	return out.String()
}

// The hour in which a stream ends is judged like any other.
func TestABacktestJudgesTheLastHour(t *testing.T) {
	text := fmt.Sprintf(line, 1, 1, 1, "Anna Koch", 1, 1) + strings.Replace(fmt.Sprintf(line, 2, 2, 1, "Anna Koch", 1, 1), `"deposit"`, `"refund"`, 1)
	e := engine(t, rules.ProfileStream60D)
	facts, err := e.Stream(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Run(facts)
	if err != nil || len(b.Hours) != 1 || b.Hours[0].Rule != "R30" || b.Hours[0].Merchant != "c1" || !rules.IsHour(b.Hours[0].ID) {
		t.Errorf("%+v %v", b.Hours, err)
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
