package rules

import (
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/compliance/names"
)

// IdentityLookup is the kind under which psd2/store hashes an Identity.
const IdentityLookup = "monitor/person"

// umlauts have two spellings without dots; both become the shorter.
var umlauts = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u")

// Identity is what makes a person the same at all merchants: name and birth
// date, whatever the order and spelling of the name (by them, not by an
// account, GlüStV 2021 §6c counts). It is personal: keep its keyed hash only.
// Without one of the two nobody is linked.
func Identity(name, birthDate string) (text string, known bool) {
	if name == "" || birthDate == "" {
		return "", false
	}
	words := strings.Fields(umlauts.Replace(names.Fold(name)))
	slices.Sort(words)
	return strings.Join(words, " ") + "|" + birthDate, true
}
