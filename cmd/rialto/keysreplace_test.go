package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// keyHouse is a hub, and a merchant's directory with the key it knows.
type keyHouse struct {
	t        *testing.T
	hub      *run.Hub
	merchant *psd2.Merchant
	dir      string
}

func openKeyHouse(t *testing.T, scopes ...string) *keyHouse {
	t.Helper()
	k := &keyHouse{t: t, hub: startHub(t, hubConfig(t, startBank(t), ""), nil), dir: t.TempDir()}
	must(t, "keys", "merchant", "--dir", k.dir)
	k.merchant = &psd2.Merchant{
		ID: psd2.NewID(psd2.PrefixMerchant, time.Now(), rand.Reader), Name: "Shop", PayerPolicy: psd2.PayerRequired, Scopes: scopes,
		Accounts:   []psd2.PayeeAccount{{ID: psd2.NewID(psd2.PrefixAccount, time.Now(), rand.Reader), Name: "Shop Ltd", IBAN: shopIBAN}},
		ReturnURIs: []string{"https://shop.localhost/back"},
	}
	k.merchant.Keys = k.read(merchantJWKS)
	k.put()
	return k
}

func (k *keyHouse) put() {
	k.t.Helper()
	if err := run.PutMerchant(k.t.Context(), k.hub.Store, k.merchant); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keyHouse) read(name string) []byte {
	k.t.Helper()
	data, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		k.t.Fatal(err)
	}
	return data
}

func (k *keyHouse) write(name string, data []byte) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), data, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// has reports whether there is such a file.
func (k *keyHouse) has(name string) bool {
	_, err := os.Stat(filepath.Join(k.dir, name))
	return err == nil
}

// kid is the key in a file of the directory.
func (k *keyHouse) kid(name string) string {
	k.t.Helper()
	_, key, err := merchantSigner(filepath.Join(k.dir, name), jose.LoadKeySet)
	if err != nil {
		k.t.Fatal(err)
	}
	return key.ID()
}

func (k *keyHouse) args(more ...string) []string {
	return append([]string{"keys", "replace", "--hub", k.hub.PublicURL, "--client", k.merchant.ID, "--dir", k.dir}, more...)
}

// counting are the keys that the hub takes, asked for with the one in a file.
func (k *keyHouse) counting(name string) (kids []string, err error) {
	_, key, err := merchantSigner(filepath.Join(k.dir, name), jose.LoadKeySet)
	if err != nil {
		return nil, err
	}
	c, err := apiclient.New(apiclient.Config{BaseURL: k.hub.PublicURL, ClientID: k.merchant.ID, Key: key, Random: rand.Reader})
	if err != nil {
		return nil, err
	}
	list, err := c.SigningKeys(k.t.Context())
	if err != nil {
		return nil, err
	}
	for _, s := range list.Data {
		kids = append(kids, s.ID)
	}
	return kids, nil
}

func TestC25CommandReplacesAMerchantsKey(t *testing.T) {
	t.Parallel()
	k := openKeyHouse(t, "keys:write")
	first := k.kid(merchantKey)
	var list apiclient.SigningKeyList
	oneDocument(t, must(t, k.args("--overlap", "1h", "--json")...), &list)
	second := k.kid(merchantKey)
	if second == first || k.kid(merchantOld) != first || k.has(merchantNext) || !strings.Contains(string(k.read(merchantJWKS)), second) {
		t.Errorf("%s after %s; the old key is %s, a next one: %t", second, first, k.kid(merchantOld), k.has(merchantNext))
	}
	if len(list.Data) != 2 {
		t.Errorf("%+v", list.Data)
	}
	for _, name := range []string{merchantKey, merchantOld} { // both get tokens
		if kids, err := k.counting(name); err != nil || len(kids) != 2 {
			t.Errorf("%s: %v, %v", name, kids, err)
		}
	}
	out := must(t, k.args("--overlap", "0")...)
	if kids, err := k.counting(merchantKey); err != nil || len(kids) != 1 || !strings.Contains(out, kids[0]) || k.has(merchantOld) {
		t.Errorf("%v, %v, %q; the old key is still here: %t", kids, err, out, k.has(merchantOld))
	}
}

// The new key is on disk before the hub hears of it, so whatever ends the command
// is mended by calling it again.
func TestC25ReplacementGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	k := openKeyHouse(t)
	before := k.read(merchantKey)
	if code, out, errs := rialto(t, k.args()...); code != 1 || out != "" || !strings.Contains(errs, "nothing is changed here") {
		t.Fatalf("without the scope: exit %d, %q %q", code, out, errs)
	}
	if string(k.read(merchantKey)) != string(before) || k.has(merchantOld) {
		t.Error("a refusal changed the files")
	}
	prepared := k.read(merchantNext)
	k.merchant.Scopes = []string{"keys:write"}
	k.put()
	must(t, k.args()...)
	if string(k.read(merchantKey)) != string(prepared) {
		t.Error("the key that was prepared is not the one that is used")
	}
	k.write(merchantKey, before) // as if the command had ended when the hub had answered
	k.write(merchantNext, prepared)
	must(t, k.args()...)
	if kids, err := k.counting(merchantKey); err != nil || len(kids) != 2 || string(k.read(merchantKey)) != string(prepared) || k.has(merchantNext) {
		t.Errorf("%v, %v", kids, err)
	}
}

func TestKeysAreNotReplacedInTheClear(t *testing.T) {
	t.Parallel()
	for _, hub := range []string{"", "pay.example", "http://pay.example", "ftp://127.0.0.1"} {
		code, out, errs := rialto(t, "keys", "replace", "--hub", hub, "--client", psd2.NewID(psd2.PrefixMerchant, time.Now(), rand.Reader))
		if code != 2 || out != "" || !strings.Contains(errs, "https") {
			t.Errorf("%q: exit %d, %q %q", hub, code, out, errs)
		}
	}
}
