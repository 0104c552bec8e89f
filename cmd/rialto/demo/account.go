package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rialto-hub/rialto/banks/sctinst"
	"github.com/rialto-hub/rialto/banks/vop"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// openAccount opens the casino's account at the sandbox, with a channel to it:
// what payouts and refunds are sent through and deposits are reconciled
// against.
func (w *World) openAccount(ctx context.Context, dir, accountID string) (configs.Channel, *vop.Config, error) {
	fail := func(err error) (configs.Channel, *vop.Config, error) {
		return configs.Channel{}, nil, fmt.Errorf("the casino's account: %w", err)
	}
	ours, banks := filepath.Join(dir, "channel-key.json"), filepath.Join(dir, "channel-bank-keys.json")
	keys, err := jose.LoadOrCreateKeySet(ours, rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		return fail(err)
	}
	public, err := keys.PublicJWKS(time.Now())
	if err != nil {
		return fail(err)
	}
	var opened struct {
		BaseURL  string          `json:"base_url"`
		BIC      string          `json:"bic"`
		BankKeys json.RawMessage `json:"bank_keys"`
	}
	ask := map[string]any{"id": "lucky-tide", "iban": PayeeIBAN, "name": payeeName, "keys": json.RawMessage(public), "balance_minor": 1_000_000}
	if err := post(ctx, w.BankURL+"/sandbox/"+payeeBank+"/h2h", ask, &opened); err != nil {
		return fail(err)
	}
	if err := os.WriteFile(banks, opened.BankKeys, 0o600); err != nil {
		return fail(err)
	}
	channel := configs.Channel{AccountID: accountID, Config: sctinst.Config{
		BaseURL: opened.BaseURL, Account: sctinst.Account{Name: payeeName, IBAN: string(PayeeIBAN), BIC: opened.BIC},
		SigningKeyFile: ours, BankKeysFile: banks, UnknownIsFinal: true, InsecureLoopback: true,
	}}
	return channel, &vop.Config{BaseURL: w.BankURL, InsecureLoopback: true}, nil
}

func post(ctx context.Context, url string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DialContext: payer.DialLoopback, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("the sandbox answered %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
