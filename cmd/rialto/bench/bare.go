package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Rates are how many of a part the machine does in a second when it does
// nothing else, all cores busy.
type Rates struct {
	Transactions  float64 `json:"transactions"` // one durable row, group commit as the hub does it
	HTTPExchanges float64 `json:"http_exchanges"`
	Signatures    float64 `json:"signatures"`    // ES256, 1 kB
	Verifications float64 `json:"verifications"` // ES256, 1 kB
	Messages      float64 `json:"messages"`      // JetStream, file store, synced always
}

// floor is how many deposits a second the budget would allow if each part cost
// what it costs bare and nothing came on top. Commits lie within transactions.
func (r Rates) floor(b Counts) float64 {
	return 1 / (b.Transactions/r.Transactions + b.HTTPExchanges/r.HTTPExchanges +
		b.Signatures/r.Signatures + b.Verifications/r.Verifications + b.Messages/r.Messages)
}

const (
	bareTime    = 1500 * time.Millisecond
	bareClients = 32
)

// bare measures each part by itself.
func bare(ctx context.Context, o fleet.Options) (r Rates, err error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, "bare"), 0o700); err != nil {
		return r, err
	}
	for _, part := range []func(context.Context, fleet.Options, *Rates) error{bareTransactions, bareHTTP, bareJOSE, bareMessages} {
		if err := part(ctx, o, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// rate runs op in parallel for a while.
func rate(op func() error) (float64, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for range bareClients {
		wg.Go(func() {
			for time.Since(began) < bareTime && failed.Load() == nil {
				if err := op(); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return round(float64(n.Load()) / time.Since(began).Seconds()), nil
}

func bareTransactions(ctx context.Context, o fleet.Options, r *Rates) (err error) {
	cfg := store.Config{URL: "sqlite:" + filepath.Join(o.Dir, "bare", "bare.db")}
	if o.DatabaseURL != "" {
		cfg = store.Config{URL: o.DatabaseURL, KeyFile: o.KeyFile}
	}
	db, err := store.Open(ctx, cfg, store.Options{Now: time.Now, Random: rand.Reader})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	until := time.Now()
	r.Transactions, err = rate(func() error {
		return db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Consume("bench", rand.Text(), until)
			return err
		})
	})
	return err
}

func bareHTTP(ctx context.Context, o fleet.Options, r *Rates) error {
	dir := filepath.Join(o.Dir, "bare")
	if err := devtls.Write(dir, time.Now()); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "dev-cert.pem"), filepath.Join(dir, "dev-key.pem"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "dev-ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), 1024)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(body)
	})}
	go func() {
		_ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})) // ends with Close
	}()
	defer func() { _ = server.Close() }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: bareClients}}
	defer client.CloseIdleConnections()
	r.HTTPExchanges, err = rate(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+l.Addr().String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return errors.Join(err, res.Body.Close())
	})
	return err
}

func bareJOSE(_ context.Context, _ fleet.Options, r *Rates) error {
	now := time.Now()
	set, err := jose.NewKeySet(rand.Reader, now, jose.ES256)
	if err != nil {
		return err
	}
	key, err := set.Signer(jose.ES256, now)
	if err != nil {
		return err
	}
	payload := bytes.Repeat([]byte("x"), 1024)
	if r.Signatures, err = rate(func() error { _, err := jose.SignDetached(key, payload, now); return err }); err != nil {
		return err
	}
	signature, err := jose.SignDetached(key, payload, now)
	if err != nil {
		return err
	}
	r.Verifications, err = rate(func() error { _, err := jose.VerifyDetached(signature, set.Public(), payload, now); return err })
	return err
}

func bareMessages(ctx context.Context, o fleet.Options, r *Rates) (err error) {
	publish, closeBus, err := bus.Bare(ctx, filepath.Join(o.Dir, "bare", "jetstream"))
	if err != nil {
		return err
	}
	defer closeBus()
	r.Messages, err = rate(publish)
	return err
}
