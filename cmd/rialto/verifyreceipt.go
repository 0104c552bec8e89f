package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

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
	By        string     `json:"sca_performed_by,omitempty"`
	Shown     string     `json:"shown,omitempty"` // what the payer was shown
}

// verifyReceipt is "rialto verify receipt": it says whether a receipt is
// genuine, from the file and public keys alone.
func verifyReceipt(e env, args []string) error {
	f := flags(e, "verify receipt")
	jwks := f.String("jwks", "", "public keys of the hub, from https://HUB/.well-known/receipt-jwks.json, which has every key that ever signed a receipt; default: the same from the database of --config")
	path := f.String("config", "", "YAML file of the hub, whose database has the keys")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 1); err != nil {
		return err
	}
	text, err := readReceipt(f.Arg(0))
	if err != nil {
		return usageError{err.Error()}
	}
	keys, err := receiptKeys(e, *jwks, *path)
	if err != nil {
		return err
	}
	v := receiptVerdict{Valid: true}
	r, err := checkReceipt(text, keys)
	if err != nil {
		v = receiptVerdict{Problem: err.Error()}
	} else {
		v.PaymentID, v.Method, v.At, v.By, v.Shown = r.PaymentID, r.Method, &r.At, r.PerformedBy, r.Display.Text
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(v); err != nil {
			return err
		}
	} else if v.Valid {
		fmt.Fprintln(e.stdout, v.sentence())
	} else {
		fmt.Fprintf(e.stdout, "not genuine: %s\n", v.Problem)
	}
	if !v.Valid {
		return errFinding
	}
	return nil
}

// sentence says what a genuine receipt proves.
func (v receiptVerdict) sentence() string {
	at := v.At.Format(time.RFC3339)
	if v.Method == sca.AtBank {
		return "genuine: the hub saw at " + at + " that the payer's bank had authorised " + v.PaymentID
	}
	return fmt.Sprintf("genuine: confirmed with %s at %s\n%s", v.Method, at, v.Shown)
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

// receiptKeys reads the keys of a file, else those that the hub ever signed a
// receipt with: they stay in its database when they are rotated out.
func receiptKeys(e env, jwks, config string) ([]byte, error) {
	if jwks != "" {
		text, err := os.ReadFile(jwks)
		if err != nil {
			return nil, usageError{err.Error()}
		}
		return text, nil
	}
	if config == "" {
		return nil, usagef("--jwks or --config is needed")
	}
	db, service, err := openPayers(e, config)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return service.ReceiptKeys(e.ctx)
}

// checkReceipt says whether one of these keys has signed the receipt, and whether
// it proves what it says.
func checkReceipt(text string, jwks []byte) (*sca.Receipt, error) {
	key, err := sca.KeyOf(text, jwks)
	if err != nil {
		return nil, err
	}
	return sca.VerifyReceipt(text, key)
}
