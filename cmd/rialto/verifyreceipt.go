package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/sca"
)

// maxReceipt is the largest receipt that is read.
const maxReceipt = 64 << 10

// receiptVerdict is what "rialto verify receipt --json" prints.
type receiptVerdict struct {
	Valid     bool       `json:"valid"`
	Problem   string     `json:"problem,omitempty"`
	PaymentID string     `json:"payment_id,omitempty"`
	Method    sca.Method `json:"method,omitempty"`
	At        *time.Time `json:"at,omitempty"`
	Shown     string     `json:"shown,omitempty"` // what the payer was shown
}

// verifyReceipt is "rialto verify receipt": it says whether a receipt is
// genuine, from the file and public keys alone.
func verifyReceipt(e env, args []string) error {
	f := flags(e, "verify receipt")
	jwks := f.String("jwks", "", "public keys of the hub (its /sca/receipt/keys); default: the signing keys of --config")
	path := f.String("config", "", "YAML file of the hub, for its own keys")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	text, err := readReceipt(f.Arg(0))
	if err != nil {
		return usageError{err.Error()}
	}
	keys, err := receiptKeys(*jwks, *path)
	if err != nil {
		return err
	}
	v := receiptVerdict{Valid: true}
	r, err := sca.VerifyReceipt(text, keys)
	if err != nil {
		v = receiptVerdict{Problem: err.Error()}
	} else {
		v.PaymentID, v.Method, v.At, v.Shown = r.PaymentID, r.Method, &r.At, r.Display.Text
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(v); err != nil {
			return err
		}
	} else if v.Valid {
		fmt.Fprintf(e.stdout, "genuine: confirmed with %s at %s\n%s\n", v.Method, v.At.Format(time.RFC3339), v.Shown)
	} else {
		fmt.Fprintf(e.stdout, "not genuine: %s\n", v.Problem)
	}
	if !v.Valid {
		return errFinding
	}
	return nil
}

func readReceipt(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // read only
	text, err := io.ReadAll(io.LimitReader(file, maxReceipt))
	return string(text), err
}

// receiptKeys reads the keys of a file, else those the hub signs with.
func receiptKeys(jwks, config string) (*jose.PublicKeySet, error) {
	if jwks != "" {
		return readJWKS(jwks)
	}
	if config == "" {
		return nil, usagef("--jwks or --config is needed")
	}
	cfg, err := configs.Load(config)
	if err != nil {
		return nil, err
	}
	own, err := jose.LoadKeySet(cfg.SigningKeysFile)
	if err != nil {
		return nil, err
	}
	return own.Public(), nil
}
