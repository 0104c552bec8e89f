package run

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// keyring makes keys by name, each once.
type keyring struct {
	t    *testing.T
	now  time.Time
	keys map[string]*jose.PublicKey
}

func (r *keyring) set(names ...string) (set *jose.PublicKeySet) {
	r.t.Helper()
	for _, name := range names {
		if r.keys[name] == nil {
			key, err := jose.GenerateKey(jose.ES256, rand.Reader, r.now)
			if err != nil {
				r.t.Fatal(err)
			}
			r.keys[name] = key.Public()
		}
		set = set.With(r.keys[name])
	}
	return set
}

func (r *keyring) jwks(names ...string) []byte {
	r.t.Helper()
	jwks, err := r.set(names...).MarshalJWKS()
	if err != nil {
		r.t.Fatal(err)
	}
	return jwks
}

// A start with the same keys does not bring back one that the merchant has
// replaced meanwhile, however the file is written; other keys take the place of all
// he has. One that he has replaced comes back with no file. C25
func TestStartDoesNotUndoARollover(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		ring := &keyring{t, clock.Now(), map[string]*jose.PublicKey{}}
		put := func(keys []byte) error {
			return PutMerchant(t.Context(), db, &psd2.Merchant{ID: merchantID, Name: "Lucky Lagoon", Keys: keys, ReturnURIs: []string{"https://casino.example/"},
				Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}})
		}
		ends := map[string]time.Time{ring.set("second").Keys()[0].ID(): clock.Now().Add(time.Hour).UTC()}
		rolls := func() { // first to second to third
			t.Helper()
			err := db.Tx(t.Context(), func(tx *store.Tx) error {
				return tx.UpdateMerchant(merchantID, func(m *psd2.Merchant) error {
					m.Keys, m.KeyHistory.Ends = ring.jwks("second", "third"), ends
					m.KeyHistory.Retired = []string{ring.set("first").Keys()[0].Thumbprint()}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := put(ring.jwks("first", "server")); err != nil {
			t.Fatal(err)
		}
		rolls()
		for _, c := range []struct {
			name    string
			file    []byte
			want    []string
			refused bool
			ended   bool
		}{
			{"the same file", ring.jwks("first", "server"), []string{"second", "third"}, false, true},
			{"the same keys, written anew", append(ring.jwks("server", "first"), '\n'), []string{"second", "third"}, false, true},
			{"one server more", ring.jwks("first", "server", "new"), []string{"second", "third"}, true, true},
			{"one whose overlap runs", ring.jwks("second", "new"), []string{"second", "third"}, true, true},
			{"others", ring.jwks("new"), []string{"new"}, false, false},
			{"the first again", ring.jwks("first"), []string{"new"}, true, false},
			{"the second again", ring.jwks("new", "second"), []string{"new"}, true, false},
			{"the others again", ring.jwks("new"), []string{"new"}, false, false},
		} {
			if err := put(c.file); (err != nil) != c.refused {
				t.Errorf("%s: %v", c.name, err)
			}
			m, err := db.Merchant(t.Context(), merchantID)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jose.ParseJWKS(m.Keys)
			if err != nil || !slices.Equal(registered(got), registered(ring.set(c.want...))) || (len(m.KeyHistory.Ends) > 0) != c.ended {
				t.Errorf("%s: %s %+v %v", c.name, m.Keys, m.KeyHistory, err)
			}
		}
	})
}
