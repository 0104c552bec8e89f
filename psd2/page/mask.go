package page

import (
	"strings"
	"unicode"

	"github.com/rialto-hub/rialto/psd2"
)

// MaskedName shows of each word the first letter and how long it is:
// "Erika Mustermann" becomes "E•••• M•••••••••". That is enough to compare two
// names by eye and too little to know whose they are. At most eight words of 25
// characters are shown.
func MaskedName(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r == '-' })
	words = words[:min(len(words), 8)]
	for i, w := range words {
		runes := []rune(w)
		first := runes[0]
		if !unicode.IsLetter(first) && !unicode.IsDigit(first) {
			first = '•'
		}
		words[i] = string(first) + strings.Repeat("•", min(len(runes)-1, 24))
	}
	return strings.Join(words, " ")
}

// MaskedIBAN is a masked IBAN that stays on one line.
func MaskedIBAN(i psd2.IBAN) string { return strings.ReplaceAll(i.Masked(), " ", nbsp) }
