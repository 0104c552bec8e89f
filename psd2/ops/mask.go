package ops

import (
	"regexp"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

// ibanLike is what somebody types who means an IBAN.
var ibanLike = regexp.MustCompile(`^[A-Za-z]{2}[0-9]{2}(?: ?[0-9A-Za-z]){11,30}$`)

// withoutIBANs is a merchant's text with any IBAN in it masked: references are
// free text, and people put their account into it.
func withoutIBANs(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		masked, n := "", 0
		if i == 0 || !isAlphanumeric(text[i-1]) {
			masked, n = ibanAt(text[i:])
		}
		if n == 0 {
			masked, n = text[i:i+1], 1
		}
		b.WriteString(masked)
		i += n
	}
	return b.String()
}

// ibanAt masks the IBAN that text begins with, printed or not, and says how
// many bytes it takes; 0 when there is none.
func ibanAt(text string) (masked string, n int) {
	for end := min(len(text), 42); end >= 15; end-- {
		if text[end-1] == ' ' {
			continue
		}
		if iban, err := psd2.ParseIBAN(strings.ToUpper(text[:end])); err == nil {
			return iban.Masked(), end
		}
	}
	return "", 0
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
