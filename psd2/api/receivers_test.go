package api_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// runners give the documentation's receivers a list of deliveries on standard
// input and print a list of "" or why each is refused.
var runners = map[string]struct{ program, file, runner, code string }{
	"Node": {"node", "receiver.mjs", "run.mjs", `import { receive } from './receiver.mjs';
import { text } from 'node:stream/consumers';
const input = JSON.parse(await text(process.stdin));
const results = input.deliveries.map((d) => {
  try { receive(d.headers, d.body, input.secret); return ''; } catch (e) { return e.message; }
});
process.stdout.write(JSON.stringify(results));
`},
	"PHP": {"php", "receiver.php", "run.php", `<?php
require 'receiver.php';
$input = json_decode(stream_get_contents(STDIN), true);
$results = array_map(function ($d) use ($input) {
    try { receive($d['headers'], $d['body'], $input['secret']); return ''; } catch (Throwable $e) { return $e->getMessage(); }
}, $input['deliveries']);
echo json_encode($results);
`},
}

// TestReceiversOfTheDocumentationWork: C34. What the documentation tells
// merchants to write takes our deliveries, and refuses what was changed, is
// old, or was signed with another secret.
func TestReceiversOfTheDocumentationWork(t *testing.T) {
	secret, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type delivery struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	const body = `{"id":"evt_1","type":"payment.creditable","created_at":"2026-11-20T10:00:00.000Z","sequence":4,"data":{"payment":{"reference":"Größe & <b>"}}}`
	now := time.Now()
	make1 := func(key verify.Secret, at time.Time, sent, got string) delivery {
		return delivery{map[string]string{
			"webhook-id": "evt_1", "webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
			"webhook-signature": "v1a,AAAA " + verify.SignV1(other, "evt_1", at, []byte("x")) + " " + verify.SignV1(key, "evt_1", at, []byte(sent)),
		}, got}
	}
	cases := []struct {
		d    delivery
		want string
	}{
		{make1(secret, now, body, body), ""},
		{make1(secret, now, body, strings.Replace(body, "evt_1", "evt_2", 1)), "signature"},
		{make1(secret, now, strings.Replace(body, "evt_1", "evt_2", 1), strings.Replace(body, "evt_1", "evt_2", 1)), "body"},
		{make1(secret, now.Add(-6*time.Minute), body, body), "clock"},
		{make1(secret, now.Add(6*time.Minute), body, body), "clock"},
		{make1(other, now, body, body), "signature"},
		{delivery{map[string]string{}, body}, "header"},
	}
	var list []delivery
	for _, c := range cases {
		list = append(list, c.d)
	}
	input, err := json.Marshal(map[string]any{"secret": secret.Reveal(), "deliveries": list})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range runners {
		t.Run(name, func(t *testing.T) {
			program, dir := interpreter(t, r.program), t.TempDir()
			code, err := os.ReadFile(filepath.Join("docs", "receivers", r.file))
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string][]byte{r.file: code, r.runner: []byte(r.code)} {
				if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			run := exec.Command(program, r.runner)
			run.Dir, run.Stdin = dir, bytes.NewReader(input)
			var stderr bytes.Buffer
			run.Stderr = &stderr
			out, err := run.Output()
			var got []string
			if err != nil || json.Unmarshal(out, &got) != nil || len(got) != len(cases) {
				t.Fatalf("%v: %s%s", err, out, stderr.Bytes())
			}
			for i, c := range cases {
				if word, _, _ := strings.Cut(got[i], ":"); word != c.want {
					t.Errorf("delivery %d: %q, want %q", i, got[i], c.want)
				}
			}
		})
	}
}

// interpreter finds a receiver's program. Node must be there where tools are
// demanded; PHP is not among what every machine that tests has, so its receiver
// is run wherever there is one.
func interpreter(t *testing.T, program string) string {
	t.Helper()
	if program != "php" {
		return testkit.Tool(t, program)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip("docs/receivers/receiver.php is NOT tested here: php is not installed (it is not demanded by RIALTO_REQUIRE_TOOLS)")
	}
	return path
}
