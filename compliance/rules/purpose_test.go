package rules_test

import (
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
)

func TestWhomAPurposeNames(t *testing.T) {
	for purpose, want := range map[string]string{
		"Einzahlung für Peter Fremd":             "Peter Fremd",
		"EINZAHLUNG FUER PETER FREMD 4711":       "PETER FREMD",
		"Rückzahlung an Frau Dr. Eva-Maria Groß": "Dr Eva-Maria Groß",
		"for John O'Neill, thanks to You All":    "John O'Neill",
		"von Anna Koch. Danke":                   "Anna Koch",
		"Einzahlung 4711":                        "",
		"":                                       "",
		"für Spielerkonto Premium":               "",
		"deposit for Royal Casino":               "",
		"for player 12":                          "",
		"Danke an alle":                          "",
		"Einzahlung Peter Fremd":                 "", // without a word that says so it may be anything
		"für Peter":                              "",
	} {
		if got := rules.PersonIn(purpose); got != want {
			t.Errorf("%q names %q, want %q", purpose, got, want)
		}
	}
}
