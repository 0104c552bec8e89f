package compliance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// AuditFormat names the chain's form. The hash of a row is
//
//	hex(SHA-256(previous hash || canonical JSON of the row))
//
// with the previous hash as its 64 hexadecimal characters (AuditFormat itself
// before the first row), and the row as a JSON object on one line with exactly
// the members of AuditRow in that order, no white space, and no escapes but
// those JSON demands.
const AuditFormat = "rialto-audit/1"

// Kinds of actors.
const (
	ActorOfficer = "officer"
	ActorSystem  = "system"
	ActorRule    = "rule"
)

// AuditRow is one row of the chain, in the order that is hashed. Detail holds
// nothing personal; what is, is in Sealed, encrypted with the subject's key.
type AuditRow struct {
	Seq       int64  `json:"seq" db:"seq"`
	At        int64  `json:"at" db:"at"` // microseconds since 1970
	ActorKind string `json:"actor_kind" db:"actor_kind"`
	Actor     string `json:"actor" db:"actor"`
	Action    string `json:"action" db:"action"`
	Object    string `json:"object" db:"object"`
	Subject   string `json:"subject" db:"subject"`
	Detail    string `json:"detail" db:"detail"` // JSON
	Sealed    []byte `json:"sealed" db:"sealed"` // base64
}

// canonical is the row's one form.
func canonical(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("compliance: " + err.Error()) // strings, numbers and bytes: cannot happen
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// chained is the hash of a row behind another.
func (r *AuditRow) chained(previous string) string {
	if r.Seq == 1 {
		previous = AuditFormat
	}
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write(canonical(r))
	return hex.EncodeToString(h.Sum(nil))
}

// entry is what becomes a row.
type entry struct {
	actorKind, actor string
	action, object   string
	subject          string
	detail           map[string]any
	personal         string // sealed with subject's key
}

func byOfficer(o Officer, action, object string) entry {
	return entry{actorKind: ActorOfficer, actor: o.ID, action: action, object: object}
}

func bySystem(action, object string) entry {
	return entry{actorKind: ActorSystem, actor: "rialto", action: action, object: object}
}

// lockChain makes everybody else who wants to append wait.
func lockChain(tx *store.Tx) error {
	_, err := tx.Exec(`UPDATE compliance_audit_head SET seq = seq WHERE id = 1`)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// append adds a row. The transaction holds the chain's end.
func (d *Desk) append(tx *store.Tx, e entry) error {
	var head struct {
		Seq  int64  `db:"seq"`
		Hash string `db:"hash"`
	}
	if err := tx.Get(&head, `SELECT seq, hash FROM compliance_audit_head WHERE id = 1`); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	row := AuditRow{Seq: head.Seq + 1, At: tx.Now.UnixMicro(), ActorKind: e.actorKind, Actor: e.actor, Action: e.action,
		Object: e.object, Subject: e.subject, Detail: "{}", Sealed: []byte{}}
	if len(e.detail) > 0 {
		row.Detail = string(canonical(e.detail))
	}
	if e.personal != "" {
		var err error
		if row.Sealed, err = d.seal(tx, e.subject, "compliance_audit", strconv.FormatInt(row.Seq, 10), "sealed", []byte(e.personal)); err != nil {
			return err
		}
	}
	hash := row.chained(head.Hash)
	_, err := tx.Exec(`INSERT INTO compliance_audit (seq, at, actor_kind, actor, action, object, subject, detail, sealed, hash) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		row.Seq, row.At, row.ActorKind, row.Actor, row.Action, row.Object, row.Subject, row.Detail, row.Sealed, hash)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = tx.Exec(`UPDATE compliance_audit_head SET seq = ?, hash = ? WHERE id = 1`, row.Seq, hash)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Record adds a row for what happens outside the desk but belongs into its
// chain: a rule published, a list loaded, an officer signed in. actorKind is
// ActorSystem or ActorRule, or ActorOfficer with his id; detail holds nothing
// personal.
func (d *Desk) Record(ctx context.Context, actorKind, actor, action, object string, detail map[string]any) error {
	return d.Store.Tx(ctx, func(tx *store.Tx) error { return d.RecordIn(tx, actorKind, actor, action, object, detail) })
}

// RecordIn is Record in the transaction of what it tells of: both are there, or
// neither.
func (d *Desk) RecordIn(tx *store.Tx, actorKind, actor, action, object string, detail map[string]any) error {
	if err := lockChain(tx); err != nil {
		return err
	}
	return d.append(tx, entry{actorKind: actorKind, actor: actor, action: action, object: object, detail: detail})
}

// Line is a row as officers read it.
type Line struct {
	AuditRow
	Hash string `db:"hash"`
	Note string `db:"-"` // opened; "" when there is none or its subject was erased
	Gone bool   `db:"-"` // it was erased
}

// When is the row's time.
func (l Line) When() time.Time { return at(l.At) }

// Value reads a member of the detail as text, "" when it is not there.
func (l Line) Value(name string) string {
	var m map[string]any
	if json.Unmarshal([]byte(l.Detail), &m) != nil || m[name] == nil {
		return ""
	}
	return fmt.Sprint(m[name])
}

const selectAudit = `SELECT seq, at, actor_kind, actor, action, object, subject, detail, sealed, hash FROM compliance_audit`

// History is what happened to an object, newest first, with its notes opened.
func (d *Desk) History(ctx context.Context, object string, limit int) ([]Line, error) {
	var lines []Line
	if err := d.Store.Select(ctx, &lines, selectAudit+` WHERE object = ? ORDER BY seq DESC LIMIT ?`, object, limit); err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	d.openNotes(ctx, lines)
	return lines, nil
}

func (d *Desk) openNotes(ctx context.Context, lines []Line) {
	for i := range lines {
		l := &lines[i]
		if len(l.Sealed) == 0 {
			continue
		}
		note, err := d.unseal(d.get(ctx), l.Subject, "compliance_audit", strconv.FormatInt(l.Seq, 10), "sealed", l.Sealed)
		l.Note, l.Gone = string(note), err != nil
	}
}

// Trail lists the chain's rows below a number (0: from its end), newest first,
// without their notes: who may read the trail need not read the cases.
func (d *Desk) Trail(ctx context.Context, o Officer, below int64, limit int) ([]Line, error) {
	if err := o.must(Admin, MLRO, Auditor); err != nil {
		return nil, err
	}
	if below <= 0 {
		below = 1<<62 - 1
	}
	var lines []Line
	if err := d.Store.Select(ctx, &lines, selectAudit+` WHERE seq < ? ORDER BY seq DESC LIMIT ?`, below, limit); err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	return lines, nil
}

// Checkpoint is a signed statement of where the chain stood.
type Checkpoint struct {
	Format string `json:"format"`
	Kind   string `json:"kind"` // checkpoint, or end of an exported file
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
	At     int64  `json:"at"`
	Head   string `json:"head,omitempty"` // of an end: SHA-256 of the file's first line
}

// sign completes a checkpoint and signs it.
func (d *Desk) sign(c Checkpoint, now time.Time) (Checkpoint, string, error) {
	now = now.UTC().Truncate(time.Second)
	c.Format, c.At = AuditFormat, now.UnixMicro()
	jws, err := d.signature(canonical(c), now)
	return c, jws, err
}

func (d *Desk) signature(payload []byte, now time.Time) (string, error) {
	key, err := d.Keys.Signer(jose.ES256, now)
	if err != nil {
		return "", err
	}
	return jose.SignDetached(key, payload, now)
}

// checkpoint signs the chain's end, if it has grown since the last time. The
// signature is logged as well, so that a copy lies where who can write the
// database cannot.
func (d *Desk) checkpoint(ctx context.Context, now time.Time) error {
	return d.tx(ctx, func(tx *store.Tx) error {
		var head, last struct {
			Seq  int64  `db:"seq"`
			Hash string `db:"hash"`
		}
		if err := tx.Get(&head, `SELECT seq, hash FROM compliance_audit_head WHERE id = 1`); err != nil {
			return err
		}
		if err := tx.Get(&last.Seq, `SELECT COALESCE(MAX(seq), 0) FROM compliance_checkpoints`); err != nil {
			return err
		}
		if head.Seq == last.Seq {
			return nil
		}
		c, jws, err := d.sign(Checkpoint{Kind: "checkpoint", Seq: head.Seq, Hash: head.Hash}, now)
		if err != nil {
			return err
		}
		d.Log.InfoContext(ctx, "audit checkpoint", "seq", c.Seq, "hash", c.Hash, "at", c.At, "jws", jws)
		_, err = tx.Exec(`INSERT INTO compliance_checkpoints (seq, hash, at, jws) VALUES (?, ?, ?, ?)`, c.Seq, c.Hash, c.At, jws)
		return err
	})
}

// Protect lets a database role read and write the tables, new ones too, and
// takes from it the right to change or delete what the chain holds and to say
// which migrations have run (PostgreSQL); or makes the chain's tables refuse a
// change (SQLite, where there are no roles). The role that migrates calls it
// after each migration; role is the one that serves.
func Protect(ctx context.Context, db *store.DB, role string) error {
	var version string
	if db.Get(ctx, &version, `SELECT sqlite_version()`) == nil {
		return db.Tx(ctx, protectSQLite)
	}
	if !isRoleName(role) {
		return psd2.Invalid("role", "role_invalid", "a role's name has 1 to 63 letters, digits and underscores")
	}
	return db.Tx(ctx, func(tx *store.Tx) error {
		var set string
		if err := tx.Get(&set, `SELECT set_config('rialto.serving_role', ?, true)`, role); err != nil {
			return err
		}
		_, err := tx.Exec(grantServing)
		return err
	})
}

// grantServing gives what serving needs on the tables that are the migrating
// role's own, and no more.
const grantServing = `DO $$
	DECLARE own text; serves text := current_setting('rialto.serving_role');
	BEGIN
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), serves);
		FOR own IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user LOOP
			EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', own, serves);
		END LOOP;
		EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON compliance_audit, compliance_checkpoints FROM %I', serves);
		EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON migrations FROM %I', serves);
	END $$`

func protectSQLite(tx *store.Tx) error {
	_, err := tx.Exec(`CREATE TRIGGER IF NOT EXISTS compliance_audit_no_update BEFORE UPDATE ON compliance_audit
		BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END`)
	if err == nil {
		_, err = tx.Exec(`CREATE TRIGGER IF NOT EXISTS compliance_audit_no_delete BEFORE DELETE ON compliance_audit
			BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END`)
	}
	if err == nil {
		_, err = tx.Exec(`CREATE TRIGGER IF NOT EXISTS compliance_checkpoints_no_update BEFORE UPDATE ON compliance_checkpoints
			BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END`)
	}
	if err == nil {
		_, err = tx.Exec(`CREATE TRIGGER IF NOT EXISTS compliance_checkpoints_no_delete BEFORE DELETE ON compliance_checkpoints
			BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END`)
	}
	return err
}

func isRoleName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) < 64 && (s[0] > '9')
}

// Protected reports whether this process is kept from changing the chain: a
// deployment's doctor should say so when it is not.
func Protected(ctx context.Context, db *store.DB) bool {
	// Where there is no right to update, even an update of nothing is refused;
	// SQLite's trigger fires on a row only, so there the trigger is looked for.
	var n int
	if db.Get(ctx, &n, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'compliance_audit'`) == nil {
		return n == 2
	}
	var may bool
	err := db.Get(ctx, &may, `SELECT has_table_privilege('compliance_audit', 'UPDATE') OR has_table_privilege('compliance_audit', 'DELETE')
		OR has_table_privilege('compliance_audit', 'TRUNCATE')`)
	return err == nil && !may
}
