package run

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// Webhook is a new endpoint with what its receiver verifies deliveries by.
type Webhook struct {
	ID        string `json:"id"`
	URL       string `json:"url"`
	Secret    string `json:"secret"`     // whsec_…, for v1
	PublicKey string `json:"public_key"` // whpk_…, for v1a
}

// PutWebhook registers an endpoint from outside the hub's processes; they see
// it in the database within moments. It needs no NATS of theirs, so it brings
// an empty one of its own.
func PutWebhook(ctx context.Context, cfg configs.Config, db *store.DB, merchantID, url string) (w *Webhook, err error) {
	dir, err := os.MkdirTemp("", "rialto-nats")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := bus.Open(ctx, bus.Config{Dir: dir}, bus.Options{Now: time.Now})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	keys, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256) // signs nothing here
	if err != nil {
		return nil, err
	}
	cfg.Webhooks.Sandbox = cfg.Webhooks.Sandbox || cfg.Sandbox
	s, err := webhooks.New(cfg.Webhooks, webhooks.Deps{
		Store: db, Bus: b, Follower: b.Follow("webhooks"), Keys: keys, Holder: "merchants-add", Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	e, err := s.Put(ctx, webhooks.Endpoint{MerchantID: merchantID, URL: url})
	if err != nil {
		return nil, err
	}
	w = &Webhook{ID: e.ID, URL: e.URL}
	for _, k := range e.Keys {
		if public := k.Public(); public != "" {
			w.PublicKey = public
		} else {
			w.Secret = k.Value
		}
	}
	return w, nil
}
