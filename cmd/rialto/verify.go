package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// verifiers are the words of "rialto verify", each for one kind of proof. None
// needs a hub, a database or a network.
var verifiers = map[string]func(env, []string) error{
	"alert":   verifyAlert,
	"audit":   verifyAudit,
	"receipt": verifyReceipt,
	"webhook": verifyWebhook,
}

// verifyCommand checks a proof that a hub has given away.
func verifyCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("say what to verify: %s", verifiable())
	}
	verify, ok := verifiers[args[0]]
	if !ok {
		return usagef("cannot verify %q, only %s", args[0], verifiable())
	}
	return verify(e, args[1:])
}

func verifiable() string { return strings.Join(slices.Sorted(maps.Keys(verifiers)), ", ") }

// keptCheckpoints are checkpoints from the log, as SEQ=HASH.
type keptCheckpoints map[int64]string

func (k keptCheckpoints) String() string { return fmt.Sprint(map[int64]string(k)) }

func (k keptCheckpoints) Set(s string) error {
	seq, hash, ok := strings.Cut(s, "=")
	n, err := strconv.ParseInt(seq, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 64 {
		return fmt.Errorf("want SEQ=HASH as in the log")
	}
	k[n] = hash
	return nil
}

// verifyAudit is "rialto verify audit".
func verifyAudit(e env, args []string) error {
	f := flags(e, "verify audit")
	keyFile := f.String("keys", "", "JWKS of the hub, from a place you trust; without, the file's own keys are believed")
	asJSON := f.Bool("json", false, "print one JSON document")
	kept := keptCheckpoints{}
	f.Var(kept, "checkpoint", "SEQ=HASH of a checkpoint kept elsewhere; may be given more than once")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	keys, file, err := openSigned(f.Arg(0), *keyFile)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	report, err := compliance.VerifyAudit(file, keys, kept)
	if err != nil {
		return err
	}
	if err := tell(e, *asJSON, report, func(io.Writer) { printAudit(e, report) }); err != nil {
		return err
	}
	if report.Problem != "" {
		return errFinding
	}
	return nil
}

func printAudit(e env, r compliance.AuditReport) {
	if r.Problem != "" {
		fmt.Fprintf(e.stdout, "row %d is the first bad one: %s\n", r.BadRow, r.Problem)
		fmt.Fprintf(e.stdout, "rows 1 to %d agree with their hashes\n", max(r.BadRow-1, 0))
		return
	}
	fmt.Fprintf(e.stdout, "the chain is whole: %d rows, %d signed checkpoints, keys %s\n", r.Rows, r.Checkpoints, strings.Join(r.Keys, ", "))
	if r.OwnKeys {
		warnOfOwnKeys(e)
	}
}

// openSigned opens a file that brings the keys it is signed with, and reads those
// that its reader has from elsewhere; without a keyFile there are none.
func openSigned(path, keyFile string) (keys *jose.PublicKeySet, file *os.File, err error) {
	if keys, err = readJWKS(keyFile); err != nil {
		return nil, nil, err
	}
	if file, err = os.Open(path); err != nil {
		return nil, nil, usageError{err.Error()}
	}
	return keys, file, nil
}

func warnOfOwnKeys(e env) {
	fmt.Fprintln(e.stderr, "the signatures were checked with the keys in the file itself: give the hub's with --keys to know that they are the hub's")
}

// readJWKS reads public keys; no file gives none.
func readJWKS(path string) (*jose.PublicKeySet, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	keys, err := jose.ParseJWKS(raw)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	return keys, nil
}
