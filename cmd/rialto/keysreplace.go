package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// Files of a merchant's key, in one directory.
const (
	merchantKey  = "merchant-key.json"
	merchantJWKS = "merchant-jwks.json"     // its public half, to register
	merchantNext = "merchant-key.next.json" // while it is being replaced
	merchantOld  = "merchant-key.old.json"  // for servers that have not followed yet
)

// keysReplace is "rialto keys replace": the merchant's key at the hub, and then
// in the directory, gives way to a new one. Ended at any point and called again,
// it goes on with the same new key, which is on disk before the hub hears of it.
func keysReplace(e env, args []string) error {
	f := flags(e, "keys replace")
	hub := f.String("hub", "", "where the hub's API is, https://…")
	client := f.String("client", "", "your client id, mer_…; it needs the scope keys:write")
	dir := f.String("dir", ".", "where merchant-key.json is")
	overlap := f.Duration("overlap", 24*time.Hour, "how long the old key counts beside the new one; 0: not at all, somebody else may have it")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	u, err := url.Parse(*hub)
	if err != nil || u.Host == "" || !banks.MayVisit(u, true) {
		return usagef("--hub must be an https URL")
	}
	if !psd2.IsID(psd2.PrefixMerchant, *client) {
		return usagef("--client must be like mer_…")
	}
	old, current, err := merchantSigner(filepath.Join(*dir, merchantKey), jose.LoadKeySet)
	if err != nil {
		return err
	}
	next, coming, err := merchantSigner(filepath.Join(*dir, merchantNext), func(path string) (*jose.KeySet, error) {
		return jose.LoadOrCreateKeySet(path, rand.Reader, time.Now(), jose.ES256)
	})
	if err != nil {
		return err
	}
	c, err := apiclient.New(apiclient.Config{BaseURL: *hub, ClientID: *client, Key: current, Scopes: []string{api.ScopeKeysWrite}, Random: rand.Reader})
	if err != nil {
		return err
	}
	list, err := c.ReplaceKey(e.ctx, coming, *overlap, psd2.NewUUID(time.Now(), rand.Reader))
	if err != nil {
		return fmt.Errorf("nothing is changed here; call again, and %s is used: %w", merchantNext, err)
	}
	if err := followKey(*dir, old, next, *overlap > 0); err != nil {
		return fmt.Errorf("the hub has replaced the key, call again to finish here: %w", err)
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(list)
	}
	fmt.Fprintf(e.stdout, "%s is %s now\n", merchantKey, coming.ID())
	for _, k := range list.Data {
		if k.ExpiresAt != nil {
			fmt.Fprintf(e.stdout, "%s counts until %s and replaces no key any more\n", k.ID, k.ExpiresAt.Format(time.RFC3339))
		}
	}
	return nil
}

// merchantSigner reads a merchant's key file and finds the key that signs now.
func merchantSigner(path string, load func(string) (*jose.KeySet, error)) (*jose.KeySet, *jose.Key, error) {
	set, err := load(path)
	if err != nil {
		return nil, nil, err
	}
	key, err := set.Signer(jose.ES256, time.Now())
	return set, key, err
}

// followKey does in the directory what was done at the hub. The old key stays only
// while it counts. The last step is the one that puts the new key in its place.
func followKey(dir string, old, next *jose.KeySet, counts bool) error {
	path := filepath.Join(dir, merchantOld)
	if counts {
		if err := old.Save(path); err != nil {
			return err
		}
	} else if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeJWKS(dir, next); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, merchantNext), filepath.Join(dir, merchantKey))
}

// writeJWKS writes the public half of a merchant's key.
func writeJWKS(dir string, set *jose.KeySet) error {
	jwks, err := set.PublicJWKS(time.Now())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, merchantJWKS), append(jwks, '\n'), 0o644) //nolint:gosec // public keys
}
