package run

import (
	"crypto/rand"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// A start with the same key file does not bring back a key that the merchant has
// replaced meanwhile; another file does what it says, and so does an operator who
// registers him by hand. C25
func TestStartDoesNotUndoARollover(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		file := func() []byte {
			set, err := jose.NewKeySet(rand.Reader, clock.Now(), jose.ES256)
			if err != nil {
				t.Fatal(err)
			}
			jwks, err := set.PublicJWKS(clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			return jwks
		}
		kid := func(jwks []byte) string {
			set, err := jose.ParseJWKS(jwks)
			if err != nil {
				t.Fatal(err)
			}
			return set.Keys()[0].ID()
		}
		first, rolled, second := file(), file(), file()
		put := func(keys []byte, keep bool) *psd2.Merchant {
			t.Helper()
			m := &psd2.Merchant{ID: merchantID, Name: "Lucky Lagoon", Keys: keys, ReturnURIs: []string{"https://casino.example/"},
				Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000"}}}
			if err := putMerchant(t.Context(), db, m, keep); err != nil {
				t.Fatal(err)
			}
			stored, err := db.Merchant(t.Context(), merchantID)
			if err != nil {
				t.Fatal(err)
			}
			return stored
		}
		put(first, true)
		ends := map[string]time.Time{"old": clock.Now().Add(time.Hour).UTC()}
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.UpdateMerchant(merchantID, func(m *psd2.Merchant) error {
				m.Keys, m.KeyHistory.Ends, m.KeyHistory.Retired = rolled, ends, []string{"thumbprint"}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			file []byte
			keep bool
			want []byte
			ends map[string]time.Time
		}{
			{"the same file", first, true, rolled, ends},
			{"the same file once more", first, true, rolled, ends},
			{"another file", second, true, second, nil},
			{"that file again", second, true, second, nil},
			{"the first, by hand", first, false, first, nil},
		} {
			got := put(c.file, c.keep)
			if kid(got.Keys) != kid(c.want) || !maps.EqualFunc(got.KeyHistory.Ends, c.ends, time.Time.Equal) || !slices.Equal(got.KeyHistory.Retired, []string{"thumbprint"}) {
				t.Errorf("%s: %s %+v", c.name, got.Keys, got.KeyHistory)
			}
		}
	})
}
