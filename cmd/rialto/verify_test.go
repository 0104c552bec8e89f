package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestVerifyAuditNamesTheBadRow(t *testing.T) { // D07
	clock := testkit.NewClock()
	keys, err := jose.NewKeySet(rand.Reader, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: testkit.SQLite(t, clock.Now), Keys: keys, Now: clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"list.loaded", "rule.published", "officer.signed_in"} {
		if err := desk.Record(t.Context(), compliance.ActorSystem, "rialto", action, "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := desk.ExportAudit(t.Context(), &file, compliance.Officer{ID: "ofc_1", Roles: []compliance.Role{compliance.Admin}}); err != nil {
		t.Fatal(err)
	}
	jwks, err := keys.PublicJWKS(clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, trusted := write("audit.jsonl", file.Bytes()), write("jwks.json", jwks)
	bad := write("bad.jsonl", bytes.Replace(file.Bytes(), []byte("rule.published"), []byte("rule.Published"), 1))
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"verify", "audit", "--keys", trusted, good}, 0, "the chain is whole: 4 rows"},
		{[]string{"verify", "audit", good}, 0, "the chain is whole: 4 rows"},
		{[]string{"verify", "audit", "--keys", trusted, bad}, 1, "row 2 is the first bad one"},
		{[]string{"verify", "audit", "--json", bad}, 1, `"bad_row":2`},
		{[]string{"verify", "audit", "--checkpoint", "1=" + strings.Repeat("0", 64), good}, 1, "row 1 is the first bad one"},
		{[]string{"verify", "audit", filepath.Join(dir, "absent")}, 2, ""},
		{[]string{"verify", "nothing"}, 2, ""},
		{[]string{"verify"}, 2, ""},
	} {
		var out, errs bytes.Buffer
		if code := dispatch(env{context.Background(), &out, &errs}, c.args); code != c.code || !strings.Contains(out.String(), c.out) {
			t.Errorf("%v: exit %d, said %q %q", c.args, code, out.String(), errs.String())
		}
	}
}
