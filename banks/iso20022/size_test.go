package iso20022_test

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/iso20022"
)

// A busy merchant's day fits into one statement.
func TestStatementOfTwentyThousandEntriesIsRead(t *testing.T) {
	const entries = 20_000
	doc := bigStatement(t, entries)
	s, err := iso20022.ReadAs[*iso20022.Statement](doc, iso20022.Strict)
	if err != nil || len(s.Reports[0].Entries) != entries+1 {
		t.Fatal(err)
	}
}

func bigStatement(t testing.TB, entries int) []byte {
	t.Helper()
	doc := example(t, statement)
	from, to := strings.Index(doc, "<Ntry>"), strings.Index(doc, "</Ntry>")+len("</Ntry>")
	return []byte(doc[:from] + strings.Repeat(doc[from:to], entries) + doc[to:])
}
