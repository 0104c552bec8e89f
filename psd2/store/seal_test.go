package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func mustExec(t testing.TB, db *store.DB, query string, args ...any) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			err = errors.New("no row was changed")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	db := testkit.SQLite(t, nil)
	sealed := db.SealShared("merchants", "mer_a", "sealed", []byte("secret"))
	if got, err := db.UnsealShared("merchants", "mer_a", "sealed", sealed); err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, place := range [][3]string{{"merchants", "mer_b", "sealed"}, {"merchants", "mer_a", "other"}, {"idempotency", "mer_a", "sealed"},
		{"merchant", "s\x00mer_a", "sealed"}} {
		if got, err := db.UnsealShared(place[0], place[1], place[2], sealed); err == nil {
			t.Errorf("opened in %q as %q", place, got)
		}
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		if got, err := db.UnsealShared("merchants", "mer_a", "sealed", broken); err == nil {
			t.Errorf("opened with byte %d flipped, as %q", i, got)
		}
		if got, err := db.UnsealShared("merchants", "mer_a", "sealed", sealed[:i]); err == nil {
			t.Errorf("opened %d bytes of it, as %q", i, got)
		}
	}
	if again := db.SealShared("merchants", "mer_a", "sealed", []byte("secret")); bytes.Equal(again[1:13], sealed[1:13]) {
		t.Error("a nonce came twice")
	}
}

func TestMovedRowsDoNotOpen(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		a, b := created(t, db, "mer_a", "player"), created(t, db, "mer_a", "player") // one person, one data key
		c := created(t, db, "mer_a", "another")
		mustExec(t, db, `UPDATE payments SET sealed = (SELECT sealed FROM payments WHERE id = ?) WHERE id = ?`, a.ID, b.ID)
		if _, err := db.Payment(ctx, b.ID); err == nil {
			t.Error("another payment's sealed fields open")
		}
		if _, err := db.UpdatePayment(ctx, b.ID, func(*psd2.Payment) error { return nil }); err == nil {
			t.Error("another payment's sealed fields open in an update")
		}
		mustExec(t, db, `UPDATE journal SET sealed = (SELECT sealed FROM journal WHERE object_id = ?) WHERE object_id = ?`, a.ID, b.ID)
		events, err := db.PaymentEvents(ctx, b.ID)
		if err != nil || len(events) == 0 {
			t.Fatalf("a damaged row hides the others: %d events, %v", len(events), err)
		}
		for _, e := range events {
			if string(e.Data) != `{"unreadable":true}` {
				t.Errorf("another event's sealed data open: %s", e.Data)
			}
		}
		if db.Damaged() == 0 {
			t.Error("nobody counts the damage")
		}
		mustExec(t, db, `UPDATE person_keys SET wrapped = (SELECT wrapped FROM person_keys WHERE person_id = ?) WHERE person_id = ?`, a.PersonID, c.PersonID)
		if _, err := db.Payment(ctx, c.ID); err == nil {
			t.Error("another person's key unwraps")
		}
	})
}

func TestAnotherDeploymentKeyIsRefused(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		w.open(t)
		c := w.config
		c.KeyFile = filepath.Join(t.TempDir(), "other.key")
		db, err := store.Open(ctx, c, store.Options{Now: w.open(t).Now, Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Migrate(ctx); err == nil || !strings.Contains(err.Error(), "key_file") {
			t.Fatalf("another key: %v", err)
		}
		w.open(t) // the right one still fits
	})
}

func TestDeploymentKeyFile(t *testing.T) {
	openWith := func(dir string, random io.Reader) (*store.DB, error) {
		db, err := store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(dir, "rialto.db")}, store.Options{Random: random})
		if err == nil {
			t.Cleanup(func() { db.Close() })
		}
		return db, err
	}
	open := func(dir string) (*store.DB, error) { return openWith(dir, rand.Reader) }
	for name, text := range map[string]string{
		"empty": "", "short": base64.StdEncoding.EncodeToString(make([]byte, 31)), "not base64": strings.Repeat("?", 44),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "deployment.key"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir); err == nil {
			t.Errorf("a key file that is %s is taken", name)
		}
	}
	dir := t.TempDir() // made once by however many at once
	var wg sync.WaitGroup
	hashes := make([]string, 8)
	for i := range hashes {
		wg.Go(func() {
			db, err := open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			hashes[i] = db.Lookup("kind", "value")
		})
	}
	wg.Wait()
	for _, h := range hashes {
		if h != hashes[0] {
			t.Fatalf("keys differ: %v", hashes)
		}
	}
	var faster *store.DB // made its key while the other was about to
	dir = t.TempDir()
	slower, err := openWith(dir, readerFunc(func(p []byte) (int, error) {
		if faster == nil {
			var err error
			if faster, err = open(dir); err != nil {
				return 0, err
			}
		}
		return rand.Read(p)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if faster.Lookup("kind", "value") != slower.Lookup("kind", "value") {
		t.Error("a key was replaced by another")
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", d.Name(), info.Mode())
		}
		if strings.HasPrefix(d.Name(), ".key") {
			t.Errorf("%s was left behind", d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeyOfARolledBackPersonIsNeverUsed: what is sealed later opens in another
// process, which knows the stored key only.
func TestKeyOfARolledBackPersonIsNeverUsed(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db, other := w.open(t), w.open(t)
		boom := errors.New("boom")
		lose := func(player string) error {
			return db.Tx(ctx, func(tx *store.Tx) error {
				return errors.Join(tx.CreatePayment(newPayment(db, "mer_a", player)), boom)
			})
		}
		if err := lose("player"); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		p := created(t, db, "mer_a", "player")
		p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
		got, err := other.Payment(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, p)
	})
	t.Run("within a group", func(t *testing.T) {
		w := newWorld(t, "sqlite", nil)
		db := w.open(t)
		p := []*psd2.Payment{newPayment(db, "mer_a", "player"), newPayment(db, "mer_a", "player"), newPayment(db, "mer_a", "player")}
		boom := errors.New("boom")
		errs := together(t, db,
			setCursor("x", 1),
			func(tx *store.Tx) error { return errors.Join(tx.CreatePayment(p[0]), boom) },
			func(tx *store.Tx) error { return tx.CreatePayment(p[1]) },
			func(tx *store.Tx) error { return tx.CreatePayment(p[2]) })
		if errs[0] != nil || !errors.Is(errs[1], boom) || errs[2] != nil || errs[3] != nil {
			t.Fatal(errs)
		}
		other := w.open(t)
		for _, p := range p[1:] {
			got, err := other.Payment(ctx, p.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, p)
		}
	})
}

func TestManyCreateOnePersonsFirstPayments(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		reader := w.open(t)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				p, q := newPayment(dbs[0], "mer_a", fmt.Sprint("alone ", i)), newPayment(dbs[0], "mer_a", "same")
				if err := tryCreate(dbs[i%2], p, q); err != nil {
					t.Error(err)
					return
				}
				for _, p := range []*psd2.Payment{p, q} { // both with their event, whatever was run again
					events, err := reader.PaymentEvents(ctx, p.ID)
					if err != nil || len(events) != 1 {
						t.Errorf("%d events, %v", len(events), err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestErasedPersonLeavesTheRest(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		p, q := created(t, db, "mer_a", "erased"), created(t, db, "mer_a", "other")
		if _, err := db.Payment(ctx, p.ID); err != nil { // seen once: no key may be kept
			t.Fatal(err)
		}
		mustExec(t, w.open(t), `DELETE FROM person_keys WHERE person_id = ?`, p.PersonID) // by another process
		got, err := db.Payment(ctx, p.ID)
		if err != nil || got.State != p.State || got.Amount != p.Amount || got.Personal.Reference != "" || got.Personal.Player.Name != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		if list, _, err := db.Payments(ctx, store.Filter{MerchantID: "mer_a", Limit: 10}); err != nil || len(list) != 2 {
			t.Fatalf("the list: %d, %v", len(list), err)
		}
		events, err := db.PaymentEvents(ctx, p.ID)
		if err != nil || len(events) != 1 || string(events[0].Data) != `{"erased":true}` || events[0].Type != psd2.EventCreated {
			t.Fatalf("events %+v, %v", events, err)
		}
		if _, err := db.UpdatePayment(ctx, p.ID, func(*psd2.Payment) error { return nil }); !errors.Is(err, store.ErrErased) {
			t.Fatalf("update: %v", err)
		}
		if got, err := db.Payment(ctx, q.ID); err != nil || got.Personal.Player.Name == "" {
			t.Fatalf("the other: %+v, %v", got, err)
		}
	})
}

// C39: nothing personal can be read in the database.
func TestNothingPersonalIsReadableAtRest(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		canary := func(s string) string { return "CANARY" + s }
		p := newPayment(db, "mer_a", canary("player"))
		p.Personal = psd2.Personal{
			Reference: canary("reference"), State: canary("state"), DeviceID: canary("device"), Metadata: map[string]string{canary("key"): canary("value")},
			Player: psd2.Player{Reference: canary("player"), Name: canary("name"), DateOfBirth: canary("born"), Residence: canary("home")},
			Payee:  psd2.Party{Name: canary("payee"), IBAN: "DE89370400440532013000"},
		}
		create(t, db, p)
		for range 5 {
			update(t, db, p.ID, func(p *psd2.Payment) error {
				if a := p.Open(); a != nil {
					p.Personal.Attempts[a.ID] = psd2.AttemptPersonal{Adapter: []byte(canary("adapter")), Prompt: psd2.Prompt{RedirectURL: canary("url")}, PSU: psd2.PSU{IP: canary("address")}}
				}
				return advance(p, db.Now())
			})
		}
		err := db.Tx(ctx, func(tx *store.Tx) error {
			_, e1 := tx.ReserveKey("mer_a", canary("idempotency key"), "hash")
			_, e2 := tx.Consume("link", canary("token"), db.Now())
			return errors.Join(e1, e2, tx.FinishKey("mer_a", canary("idempotency key"), "hash", 201, []byte(canary("answer"))),
				tx.PutMerchant(&psd2.Merchant{ID: "mer_a", Name: canary("merchant"), Accounts: []psd2.PayeeAccount{{IBAN: "DE89370400440532013000"}}}))
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"CANARY", "370400440532013000", "120300000000202051", "Mustermann",
			base64.StdEncoding.EncodeToString([]byte("CANARY"))[:8], "43414e415259"} {
			if where := w.grep(t, word); where != "" {
				t.Errorf("%s stands in %s", word, where)
			}
		}
		if w.grep(t, p.ID) == "" { // that the search finds anything
			t.Error("the search is blind")
		}
	})
}

// grep looks for a word in every file or table of the database.
func (w *world) grep(t *testing.T, word string) (where string) {
	t.Helper()
	if path, ok := strings.CutPrefix(w.config.URL, "sqlite:"); ok {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		if err != nil || len(files) < 3 { // database, WAL, key
			t.Fatalf("%v, %v", files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(word)) {
				where += f + " "
			}
		}
		return where
	}
	db := w.raw(t)
	for _, table := range names(t, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`) {
		for _, row := range names(t, db, `SELECT x::text FROM `+table+` x`) { // bytes are in hex
			if strings.Contains(row, word) || strings.Contains(row, fmt.Sprintf("%x", word)) {
				where += table + " "
			}
		}
	}
	return where
}

func names(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
