package compliance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// An exported chain is a file of JSON lines: a head, the rows each with its
// hash, every checkpoint behind the row it is about, and a signed end.
//
//	{"kind":"head","format":"rialto-audit/1","keys":{JWKS}}
//	{"kind":"row","row":{AuditRow},"hash":"…"}
//	{"kind":"checkpoint","checkpoint":{Checkpoint},"jws":"…"}
//	{"kind":"end","checkpoint":{Checkpoint},"jws":"…"}

type headLine struct {
	Kind   string          `json:"kind"`
	Format string          `json:"format"`
	Keys   json.RawMessage `json:"keys"`
}

type rowLine struct {
	Kind string   `json:"kind"`
	Row  AuditRow `json:"row"`
	Hash string   `json:"hash"`
}

type signedLine struct {
	Kind       string     `json:"kind"`
	Checkpoint Checkpoint `json:"checkpoint"`
	JWS        string     `json:"jws"`
}

// exportBatch is how many rows an export reads at once.
const exportBatch = 1000

// ExportAudit writes the whole chain as it is now, and notes in it who took it.
func (d *Desk) ExportAudit(ctx context.Context, w io.Writer, o Officer) error {
	if err := o.must(Admin, MLRO, Auditor); err != nil {
		return err
	}
	if err := d.Record(ctx, ActorOfficer, o.ID, "audit.exported", "audit", nil); err != nil {
		return err
	}
	var head struct {
		Seq  int64  `db:"seq"`
		Hash string `db:"hash"`
	}
	if err := d.Store.Get(ctx, &head, `SELECT seq, hash FROM compliance_audit_head WHERE id = 1`); err != nil {
		return fmt.Errorf("export audit: %w", err)
	}
	now := d.Now()
	keys, err := d.Keys.PublicJWKS(now)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	line := func(v any) { out.Write(append(canonical(v), '\n')) } // bufio keeps the first error for Flush
	first := headLine{"head", AuditFormat, keys}
	line(first)
	if err := d.exportRows(ctx, head.Seq, line); err != nil {
		return err
	}
	end, jws, err := d.sign(Checkpoint{Kind: "end", Seq: head.Seq, Hash: head.Hash, Head: digest(canonical(first))}, now)
	if err != nil {
		return err
	}
	line(signedLine{"end", end, jws})
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export audit: %w", err)
	}
	return nil
}

func (d *Desk) exportRows(ctx context.Context, last int64, line func(any)) error {
	for from := int64(0); from < last; {
		var rows []Line
		err := d.Store.Select(ctx, &rows, selectAudit+` WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, from, last, exportBatch)
		if err != nil {
			return fmt.Errorf("export audit: %w", err)
		}
		if len(rows) == 0 {
			return nil // rows are missing: whoever verifies the file will see it
		}
		to := rows[len(rows)-1].Seq
		var points []struct {
			Seq  int64  `db:"seq"`
			Hash string `db:"hash"`
			At   int64  `db:"at"`
			JWS  string `db:"jws"`
		}
		if err := d.Store.Select(ctx, &points, `SELECT seq, hash, at, jws FROM compliance_checkpoints WHERE seq > ? AND seq <= ? ORDER BY seq`, from, to); err != nil {
			return fmt.Errorf("export audit: %w", err)
		}
		for _, r := range rows {
			if r.Sealed == nil {
				r.Sealed = []byte{} // as it was hashed
			}
			line(rowLine{"row", r.AuditRow, r.Hash})
			for len(points) > 0 && points[0].Seq <= r.Seq {
				p := points[0]
				line(signedLine{"checkpoint", Checkpoint{Format: AuditFormat, Kind: "checkpoint", Seq: p.Seq, Hash: p.Hash, At: p.At}, p.JWS})
				points = points[1:]
			}
		}
		from = to
	}
	return nil
}

// AuditReport is what a verification found.
type AuditReport struct {
	Rows        int64    `json:"rows"`        // that are proven
	Checkpoints int      `json:"checkpoints"` // with a good signature
	OwnKeys     bool     `json:"own_keys"`    // signatures were checked with the file's own keys: a forger could have made both
	Keys        []string `json:"keys"`        // ids of the keys that signed
	BadRow      int64    `json:"bad_row,omitempty"`
	Problem     string   `json:"problem,omitempty"` // "" when all is well
}

// bad is a finding at a row.
type bad struct {
	row  int64
	what string
}

func (b bad) Error() string { return fmt.Sprintf("row %d: %s", b.row, b.what) }

// longestLine bounds a line of an exported chain.
const longestLine = 1 << 20

// VerifyAudit checks an exported chain without any database. keys are the
// hub's public keys from a place that can be trusted; nil takes the file's own,
// which proves that the file is whole but not whose it is. kept are checkpoint
// hashes by row that were kept elsewhere (the log has them); the chain must
// agree with each. The error is for a file that cannot be read; findings are in
// the report, which names the first bad row.
func VerifyAudit(r io.Reader, keys *jose.PublicKeySet, kept map[int64]string) (AuditReport, error) {
	v := &verifier{keys: keys, kept: kept, signers: map[string]bool{}}
	v.report.OwnKeys = keys == nil
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), longestLine)
	err := v.lines(in)
	if readErr := in.Err(); readErr != nil && !errors.Is(readErr, bufio.ErrTooLong) {
		return v.report, fmt.Errorf("verify audit: %w", readErr)
	}
	if err == nil && !v.ended {
		err = bad{v.seq + 1, "the file breaks off: everything from this row on, and the signed end, is missing"}
	}
	if err == nil {
		for seq := range kept {
			if seq > v.seq {
				err = bad{v.seq + 1, "a checkpoint that was kept elsewhere is about later rows, which are missing"}
			}
		}
	}
	var finding bad
	if errors.As(err, &finding) {
		v.report.BadRow, v.report.Problem = finding.row, finding.what
		err = nil
	}
	return v.report, err
}

type verifier struct {
	keys    *jose.PublicKeySet
	kept    map[int64]string
	signers map[string]bool
	begun   bool
	first   string // digest of the head
	ended   bool
	seq     int64
	hash    string
	point   int64 // row of the last checkpoint
	report  AuditReport
}

func (v *verifier) lines(in *bufio.Scanner) error {
	for in.Scan() {
		if v.ended {
			return bad{v.seq + 1, "something follows the signed end"}
		}
		if err := v.line(in.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) line(b []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return bad{v.seq + 1, "the line is not JSON"}
	}
	if !v.begun {
		return v.head(b)
	}
	switch kind.Kind {
	case "row":
		return v.row(b)
	case "checkpoint", "end":
		return v.signed(b)
	}
	return bad{v.seq + 1, "the line is of no known kind"}
}

// digest is the SHA-256 of a line, in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// exact decodes a line and demands that it is in its one form, so that a
// changed byte cannot hide where decoding forgives it.
func exact(b []byte, v any) bool {
	return json.Unmarshal(b, v) == nil && bytes.Equal(b, canonical(v))
}

func (v *verifier) head(b []byte) error {
	var h headLine
	if !exact(b, &h) || h.Kind != "head" || h.Format != AuditFormat {
		return bad{1, "the file does not begin with the head of an audit export"}
	}
	v.begun, v.first = true, digest(b)
	if v.keys != nil {
		return nil
	}
	own, err := jose.ParseJWKS(h.Keys)
	if err != nil {
		return bad{1, "the keys in the file's head cannot be read"}
	}
	v.keys = own
	return nil
}

func (v *verifier) row(b []byte) error {
	var l rowLine
	if !exact(b, &l) {
		return bad{v.seq + 1, "its line was changed: it is not in canonical form"}
	}
	want := v.seq + 1
	switch {
	case l.Row.Seq > want:
		return bad{want, fmt.Sprintf("it is missing: row %d follows row %d", l.Row.Seq, v.seq)}
	case l.Row.Seq < want:
		return bad{want, fmt.Sprintf("another row stands in its place: number %d, inserted or out of order", l.Row.Seq)}
	case l.Row.chained(v.hash) != l.Hash:
		return bad{want, "its content does not match its hash, or the row before was changed with its hash"}
	}
	v.seq, v.hash = want, l.Hash
	if kept, ok := v.kept[want]; ok && kept != l.Hash {
		return bad{want, "a checkpoint that was kept elsewhere has another hash: the chain was made anew"}
	}
	v.report.Rows = want
	return nil
}

func (v *verifier) signed(b []byte) error {
	var l signedLine
	if !exact(b, &l) || l.Checkpoint.Format != AuditFormat || l.Checkpoint.Kind != l.Kind {
		return bad{max(v.seq, 1), "the checkpoint behind it was changed: it is not in canonical form"}
	}
	verified, err := jose.VerifyDetached(l.JWS, v.keys, canonical(l.Checkpoint), at(l.Checkpoint.At))
	if err != nil {
		return bad{max(v.seq, 1), "the signature of the checkpoint behind it does not verify"}
	}
	switch {
	case l.Checkpoint.Seq > v.seq:
		return bad{v.seq + 1, fmt.Sprintf("it is missing: a signed checkpoint says that the chain has %d rows", l.Checkpoint.Seq)}
	case l.Kind == "checkpoint" && l.Checkpoint.Seq == v.point:
		return bad{v.seq + 1, "a checkpoint stands in its place a second time"}
	case l.Checkpoint.Seq < v.seq:
		return bad{max(l.Checkpoint.Seq, 1), "the signed checkpoint about it says otherwise"}
	case l.Checkpoint.Hash != v.hash: // the rows agree with each other: whoever changed one hashed all after it anew
		v.report.Rows = v.point
		return bad{v.point + 1, fmt.Sprintf("it, or one after it up to row %d, was changed and the chain made anew: the signed checkpoint says otherwise", v.seq)}
	case l.Kind == "end" && l.Checkpoint.Head != v.first:
		return bad{1, "the file's first line was changed: the signed end says otherwise"}
	}
	if !v.signers[verified.KeyID] {
		v.signers[verified.KeyID] = true
		v.report.Keys = append(v.report.Keys, verified.KeyID)
	}
	v.report.Checkpoints++
	v.point = l.Checkpoint.Seq
	v.ended = l.Kind == "end"
	return nil
}
