package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/jose"
)

func keysCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("rotate, show, merchant, replace or dev-tls")
	}
	switch args[0] {
	case "rotate":
		return keysRotate(e, args[1:])
	case "show":
		return keysShow(e, args[1:])
	case "merchant":
		return keysMerchant(e, args[1:])
	case "replace":
		return keysReplace(e, args[1:])
	case "dev-tls":
		return keysDevTLS(e, args[1:])
	}
	return usagef("there is no %q", args[0])
}

// hubKeys reads the signing keys of the hub with that configuration, and says
// in which file they are.
func hubKeys(path string) (set *jose.KeySet, file string, err error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return nil, "", err
	}
	set, err = jose.LoadKeySet(cfg.SigningKeysFile)
	return set, cfg.SigningKeysFile, err
}

func keysRotate(e env, args []string) error {
	f := flags(e, "keys rotate")
	path := f.String("config", "", "YAML file of the hub")
	lead := f.Duration("lead", 10*time.Minute, "how long the new keys are published before they sign")
	overlap := f.Duration("overlap", 24*time.Hour, "how long the old keys verify after that")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	set, file, err := hubKeys(*path)
	if err != nil {
		return err
	}
	if err := set.Rotate(rand.Reader, time.Now(), *lead, *overlap); err != nil {
		return err
	}
	if err := set.Save(file); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "new signing keys are written; restart the hub's processes within the lead time")
	return nil
}

func keysShow(e env, args []string) error {
	f := flags(e, "keys show")
	path := f.String("config", "", "YAML file of the hub")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	set, _, err := hubKeys(*path)
	if err != nil {
		return err
	}
	jwks, err := set.PublicJWKS(time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s\n", jwks)
	return nil
}

// keysMerchant makes a merchant's key pair: the private half in one file, the
// JWKS to register in another.
func keysMerchant(e env, args []string) error {
	f := flags(e, "keys merchant")
	dir := f.String("dir", ".", "where merchant-key.json and merchant-jwks.json go")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	set, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	if err := set.Save(filepath.Join(*dir, merchantKey)); err != nil {
		return err
	}
	if err := writeJWKS(*dir, set); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s (keep it secret) and %s (register it) are written\n", merchantKey, merchantJWKS)
	return nil
}

// keysDevTLS makes a certificate authority and a certificate for loopback
// names, for trying TLS out.
func keysDevTLS(e env, args []string) error {
	f := flags(e, "keys dev-tls")
	dir := f.String("dir", ".", "where dev-ca.pem, dev-cert.pem and dev-key.pem go")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if err := devtls.Write(*dir, time.Now()); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "dev-ca.pem, dev-cert.pem and dev-key.pem are written; for loopback only")
	return nil
}
