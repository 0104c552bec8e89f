package rules

import (
	"slices"
	"strings"
	"unicode"

	"github.com/rialto-hub/rialto/compliance/names"
)

// cues are words of a purpose after which a person is named. ordinary are words
// that stand there without naming anybody; a list of both is never complete,
// which is why naming somebody is a finding of the lowest kind.
var (
	cues     = []string{"für", "fuer", "for", "pour", "para", "per", "von", "from", "an", "to", "de", "herr", "herrn", "frau", "mr", "mrs", "ms", "monsieur", "madame"}
	ordinary = strings.Fields(`account bank bonus casino club deposit einsatz einzahlung euro freispiele gaming gmbh group guthaben holding
		konto kunde kundenkonto limited live lotto ltd online order player poker rechnung referenz royal slots spiel spieler spielerkonto
		spielothek sport sportwetten star turnier user vip wette wetten your dein deinen ihr ihre mein meine my the den dem die das`)
)

// PersonIn finds whom a purpose names after a word such as "for": two to four
// words in a row that begin with a capital and hold letters alone. "" is
// nobody. What it finds is personal: compare it and drop it.
func PersonIn(purpose string) string {
	words := strings.Fields(purpose)
	for i, w := range words {
		if !slices.Contains(cues, strings.ToLower(strings.Trim(w, ".,:;-()"))) {
			continue
		}
		var found []string
		for _, next := range words[i+1:] {
			bare := strings.Trim(next, ".,:;()")
			if len(found) == 4 || !nameLike(bare) {
				break
			}
			if found = append(found, bare); next != bare && len(bare) > 3 {
				break // the phrase ends here; what is shorter is a title
			}
		}
		if len(found) >= 2 {
			return strings.Join(found, " ")
		}
	}
	return ""
}

// nameLike reports whether a word may be part of a name.
func nameLike(word string) bool {
	letters := []rune(word)
	if len(letters) < 2 || !unicode.IsUpper(letters[0]) || slices.Contains(ordinary, strings.ToLower(word)) || slices.Contains(cues, strings.ToLower(word)) {
		return false
	}
	return !slices.ContainsFunc(letters, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' && r != '\'' && r != '’' })
}

// Purpose fills in what the text of a transaction says: a listed word, and how
// alike the person it names and the player are.
func (l *Lists) Purpose(f *Fact, purpose, player string) {
	word := l.Keyword(purpose, f.At)
	f.Keyword = &word
	if person := PersonIn(purpose); person != "" && player != "" {
		match := names.Pair("Person", person, player)
		f.PurposeMatch = &match
	}
}
