package sandbox

import (
	"encoding/json"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestNameMatching(t *testing.T) {
	for _, row := range []struct {
		asked, holder string
		want          psd2.Match
	}{
		{"Jürgen Große", "Juergen Grosse", psd2.MatchExact},
		{"GROSSE, JURGEN", "Dr. Jürgen Große", psd2.MatchExact},
		{"O'Neill Sean", "Sean O’Neill", psd2.MatchExact},
		{"Anna Maria Muster", "Anna Muster", psd2.MatchClose},
		{"Nana Muster", "Anna Muster", psd2.MatchClose},
		{"Muster", "Anna Muster", psd2.MatchNone}, // a surname alone must not buy the first name
		{"A. M.", "Anna Muster", psd2.MatchNone},
		{"Anna", "Anna Muster", psd2.MatchNone},
		{"Otto Muster", "Anna Muster", psd2.MatchNone},
		{"Anna Meier", "Anna Muster", psd2.MatchNone},
		{"", "Anna Muster", psd2.MatchNone},
		{"Lucky Lagoon Casino Ltd", "Lucky Lagoon Casino", psd2.MatchClose},
	} {
		if got := compareNames(row.asked, row.holder); got != row.want {
			t.Errorf("%q for %q: %s, want %s", row.asked, row.holder, got, row.want)
		}
	}
}

// TestNameMatchingAgreesWithTheProposal of the standards' folder.
func TestNameMatchingAgreesWithTheProposal(t *testing.T) {
	var file struct {
		Rows [][3]string `json:"name_match_oracle_proposal"`
	}
	if err := json.Unmarshal(testkit.ReadStandard(t, "refdata", "vop.json"), &file); err != nil || len(file.Rows) == 0 {
		t.Fatal(err)
	}
	for _, r := range file.Rows {
		if got := compareNames(r[0], r[1]); got != psd2.Match(r[2]) {
			t.Errorf("%q for %q: %s, want %s", r[0], r[1], got, r[2])
		}
	}
}
