package compliance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// chain makes a chain of some rows and checkpoints and exports it.
func chain(t *testing.T, w *world) []string {
	t.Helper()
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna, Note: "Erika <Mustermann> & Söhne"})
	_, err := w.Step(ctx, w.clock.Add(time.Minute))
	must(t, err)
	w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna})
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
	_, err = w.Step(ctx, w.clock.Add(time.Minute))
	must(t, err)
	return exported(t, w)
}

func exported(t *testing.T, w *world) []string {
	t.Helper()
	var b bytes.Buffer
	must(t, w.ExportAudit(ctx, &b, admin))
	return strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func verify(t *testing.T, w *world, lines []string, kept map[int64]string) compliance.AuditReport {
	t.Helper()
	r, err := compliance.VerifyAudit(strings.NewReader(strings.Join(lines, "")), w.keys.Public(), kept)
	must(t, err)
	return r
}

func TestWholeChainVerifies(t *testing.T) { // D07
	bothWorlds(t, func(t *testing.T, w *world) {
		lines := chain(t, w)
		r := verify(t, w, lines, nil)
		if r.Problem != "" || r.Rows != 5 || r.Checkpoints != 3 || len(r.Keys) != 1 {
			t.Errorf("report: %+v\n%s", r, strings.Join(lines, ""))
		}
		own, err := compliance.VerifyAudit(strings.NewReader(strings.Join(lines, "")), nil, nil)
		must(t, err)
		if own.Problem != "" || !own.OwnKeys {
			t.Errorf("with the file's own keys: %+v", own)
		}
	})
}

// rowAt finds the line of a row.
func rowAt(t *testing.T, lines []string, seq int) int {
	t.Helper()
	for i, l := range lines {
		if strings.HasPrefix(l, fmt.Sprintf(`{"kind":"row","row":{"seq":%d,`, seq)) {
			return i
		}
	}
	t.Fatalf("no row %d", seq)
	return 0
}

func TestEveryTamperedChainNamesItsFirstBadRow(t *testing.T) { // D07
	w := sqliteWorld(t)
	lines := chain(t, w)
	for name, change := range map[string]func([]string) []string{
		"flipped": func(l []string) []string {
			i := rowAt(t, l, 3)
			l[i] = strings.Replace(l[i], "ofc_anna", "ofc_bnna", 1)
			return l
		},
		"reworded": func(l []string) []string {
			i := rowAt(t, l, 3)
			l[i] = strings.Replace(l[i], `"actor"`, `"Actor"`, 1)
			return l
		},
		"hash": func(l []string) []string {
			i := rowAt(t, l, 3)
			l[i] = strings.Replace(l[i], `"hash":"`, `"hash":"0`, 1)
			return l
		},
		"deleted":  func(l []string) []string { i := rowAt(t, l, 3); return append(l[:i:i], l[i+1:]...) },
		"inserted": func(l []string) []string { i := rowAt(t, l, 3); return append(append(l[:i:i], l[i-1]), l[i:]...) },
		"inserted row": func(l []string) []string {
			i := rowAt(t, l, 3)
			return append(append(l[:i:i], l[rowAt(t, l, 2)]), l[i:]...)
		},
		"reordered": func(l []string) []string { i := rowAt(t, l, 3); j := rowAt(t, l, 4); l[i], l[j] = l[j], l[i]; return l },
		"truncated": func(l []string) []string { return l[:rowAt(t, l, 3)] },
		"truncated with its end kept": func(l []string) []string {
			i := rowAt(t, l, 3)
			return append(l[:i:i], l[len(l)-1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			tampered := change(append([]string(nil), lines...))
			if r := verify(t, w, tampered, nil); r.BadRow != 3 {
				t.Errorf("report: %+v", r)
			}
		})
	}
}

// TestEveryFlippedBitIsSeen flips one bit in every byte of the file; in a row's
// line, that row is named.
func TestEveryFlippedBitIsSeen(t *testing.T) { // D07
	w := sqliteWorld(t)
	lines := chain(t, w)
	file := []byte(strings.Join(lines, ""))
	i, row := -1, int64(0)
	for _, line := range lines {
		isRow := strings.HasPrefix(line, `{"kind":"row"`)
		if isRow {
			row++
		}
		for range len(line) {
			i++
			if i%7 != 0 && row > 2 { // all of the first rows, a seventh of the rest: signatures take time
				continue
			}
			file[i] ^= 1
			r, err := compliance.VerifyAudit(bytes.NewReader(file), w.keys.Public(), nil)
			if err == nil && r.Problem == "" {
				t.Fatalf("a flipped bit in byte %d (%q) was not seen", i, file[max(i-20, 0):i+1])
			}
			if err == nil && isRow && r.BadRow != row {
				t.Fatalf("a flipped bit in row %d (%q) is reported of row %d: %s", row, file[max(i-20, 0):i+1], r.BadRow, r.Problem)
			}
			file[i] ^= 1
		}
	}
}

func TestChainMadeAnewIsSeen(t *testing.T) { // D07
	w := sqliteWorld(t)
	lines := chain(t, w)
	kept := map[int64]string{2: strings.Repeat("0", 64)}
	if r := verify(t, w, lines, kept); r.BadRow != 2 {
		t.Errorf("another hash was kept elsewhere: %+v", r)
	}
	if r := verify(t, w, lines, map[int64]string{99: ""}); r.BadRow != 6 {
		t.Errorf("a later row was kept elsewhere: %+v", r)
	}
	other, err := jose.NewKeySet(rand.Reader, w.clock.Now())
	must(t, err)
	r, err := compliance.VerifyAudit(strings.NewReader(strings.Join(lines, "")), other.Public(), nil)
	must(t, err)
	if r.Problem == "" {
		t.Error("a stranger's signature was taken")
	}
}

func TestTamperedTableIsSeen(t *testing.T) { // D07
	for name, statement := range map[string]string{
		"updated":           `UPDATE compliance_audit SET actor = 'ofc_x' WHERE seq = 3`,
		"deleted":           `DELETE FROM compliance_audit WHERE seq = 3`,
		"end cut off":       `DELETE FROM compliance_audit WHERE seq >= 3`,
		"sealed taken away": `UPDATE compliance_audit SET sealed = '' WHERE seq = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			w := sqliteWorld(t)
			chain(t, w)
			must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(statement)
				return err
			}))
			if r := verify(t, w, exported(t, w), nil); r.BadRow != 3 {
				t.Errorf("report: %+v", r)
			}
		})
	}
}

// TestRowHashedAnewIsSeen: who may write the table changes a row, and hashes it
// and all after it anew. He cannot sign.
func TestRowHashedAnewIsSeen(t *testing.T) { // D07
	w := sqliteWorld(t)
	chain(t, w)
	first := verify(t, w, exported(t, w), nil)
	var rows []compliance.Line
	must(t, w.db.Select(ctx, &rows, `SELECT seq, at, actor_kind, actor, action, object, subject, detail, sealed, hash FROM compliance_audit ORDER BY seq`))
	hash := rows[1].Hash
	rows[2].Actor = "ofc_bnna"
	must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range rows[2:] {
			hash = compliance.Chained(r.AuditRow, hash)
			if _, err := tx.Exec(`UPDATE compliance_audit SET actor = ?, hash = ? WHERE seq = ?`, r.Actor, hash, r.Seq); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE compliance_audit_head SET hash = ? WHERE id = 1`, hash)
		return err
	}))
	r := verify(t, w, exported(t, w), nil)
	if first.Problem != "" || r.BadRow != 3 || r.Rows != 2 || !strings.Contains(r.Problem, "made anew") {
		t.Errorf("before %+v, after %+v", first, r)
	}
}

func TestSQLiteRefusesToChangeTheChain(t *testing.T) { // D07
	w := sqliteWorld(t)
	chain(t, w)
	if compliance.Protected(ctx, w.db) {
		t.Error("protected before Protect")
	}
	must(t, compliance.Protect(ctx, w.db, ""))
	must(t, compliance.Protect(ctx, w.db, "")) // again does no harm
	if !compliance.Protected(ctx, w.db) {
		t.Error("not protected after Protect")
	}
	for _, s := range []string{`UPDATE compliance_audit SET actor = 'x'`, `DELETE FROM compliance_audit`, `DELETE FROM compliance_checkpoints`} {
		err := w.db.Tx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(s); return err })
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", s, err)
		}
	}
	w.raise(finding()) // adding still works
}

func TestServingRoleCannotChangeTheChain(t *testing.T) { // D07
	clock := testkit.NewClock()
	c := testkit.PostgresConfig(t)
	owner := testkit.Open(t, c, clock.Now)
	raw, err := sql.Open("pgx", c.URL)
	must(t, err)
	defer raw.Close()
	run := func(s string) {
		t.Helper()
		_, err := raw.Exec(s)
		must(t, err)
	}
	role := "serves_" + strings.ToLower(rand.Text()) // of the whole server
	run(`CREATE ROLE ` + role + ` LOGIN`)
	must(t, compliance.Protect(ctx, owner, role))
	run(`CREATE TABLE of_a_later_migration (n BIGINT NOT NULL)`)
	must(t, compliance.Protect(ctx, owner, role)) // as each migration does
	refused(t, compliance.Protect(ctx, owner, "x; DROP TABLE meta"), psd2.CodeInvalid, "role_invalid")
	c.URL = strings.Replace(c.URL, "user=rialto", "user="+role, 1)
	db, err := store.Open(ctx, c, store.Options{Now: clock.Now, Random: rand.Reader})
	must(t, err)
	defer db.Close()
	w := newWorld(t, clock, db)
	chain(t, w) // it serves
	if !compliance.Protected(ctx, db) || compliance.Protected(ctx, owner) {
		t.Errorf("protected: serving role %v, owner %v", compliance.Protected(ctx, db), compliance.Protected(ctx, owner))
	}
	must(t, db.Migrate(ctx)) // nothing is left to do
	for _, s := range []string{`INSERT INTO of_a_later_migration (n) VALUES (1)`, `UPDATE of_a_later_migration SET n = 2`, `DELETE FROM of_a_later_migration WHERE n = 2`} {
		must(t, db.Tx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(s); return err }))
	}
	for _, s := range []string{`UPDATE compliance_audit SET actor = 'x'`, `DELETE FROM compliance_audit`, `TRUNCATE compliance_audit`, `UPDATE compliance_checkpoints SET hash = ''`,
		`DELETE FROM migrations`, `CREATE TABLE mine (n BIGINT)`} {
		err := db.Tx(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(s); return err })
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestErasureLeavesTheChainWhole(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		c := w.raise(finding())
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna, Note: "Erika Mustermann rang up"})
		refused(t, w.Erase(ctx, admin, "psn_1", "he asked"), psd2.CodeConflict, "9999")
		w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna})
		w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
		refused(t, w.Erase(ctx, admin, "psn_1", "he asked"), psd2.CodeConflict, "until 2031-11-20")
		must(t, w.SetLegalHold(ctx, maria, "psn_1", "court order 5"))
		w.clock.Add(5 * 366 * 24 * time.Hour)
		_, err := w.Step(ctx, w.clock.Now())
		must(t, err)
		refused(t, w.Erase(ctx, admin, "psn_1", "he asked"), psd2.CodeConflict, "legal_hold")
		refused(t, w.Erase(ctx, anna, "psn_1", "he asked"), psd2.CodeForbidden, "role")
		must(t, w.LiftLegalHold(ctx, maria, "psn_1"))
		_, err = w.Step(ctx, w.clock.Now()) // retention does it by itself
		must(t, err)
		lines, err := w.History(ctx, c.ID, 100)
		must(t, err)
		gone := 0
		for _, l := range lines {
			if l.Note != "" {
				t.Errorf("a note can still be read: %q", l.Note)
			}
			if l.Gone {
				gone++
			}
		}
		alerts, err := w.AlertsOf(ctx, c.ID)
		must(t, err)
		hits, err := w.HitsOf(ctx, alerts[0], 10)
		must(t, err)
		if gone != 3 || len(hits) != 1 || hits[0].Inputs != nil {
			t.Errorf("%d notes are gone, hits %+v", gone, hits)
		}
		var logged int
		must(t, w.db.Get(ctx, &logged, `SELECT COUNT(*) FROM compliance_erasures WHERE subject = 'psn_1' AND reason = 'retention'`))
		if logged != 1 {
			t.Errorf("%d erasures are logged", logged)
		}
		if r := verify(t, w, exported(t, w), nil); r.Problem != "" {
			t.Errorf("the chain: %+v", r)
		}
	})
}

func TestNothingPersonalLiesInTheClear(t *testing.T) { // C39
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna, Note: "Erika Mustermann rang up"})
	must(t, w.SaveReport(ctx, maria, w.unlocked(c.ID), sandboxProfile(), completeReport()))
	for _, q := range []string{
		`SELECT COALESCE(GROUP_CONCAT(detail || actor || object || subject || CAST(sealed AS TEXT)), '') FROM compliance_audit`,
		`SELECT COALESCE(GROUP_CONCAT(CAST(sealed AS TEXT)), '') FROM compliance_hits`,
		`SELECT COALESCE(GROUP_CONCAT(CAST(draft AS TEXT)), '') FROM compliance_reports`,
	} {
		var all string
		must(t, w.db.Get(ctx, &all, q))
		if all == "" || strings.Contains(all, "Mustermann") || strings.Contains(all, "Müßig") || strings.Contains(all, "DE0212") {
			t.Errorf("%s shows %q", q, all)
		}
	}
}
