package psd2

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxReference is the length of a remittance reference and of an EndToEndId
// (ISO 20022 Max35Text).
const MaxReference = 35

// IsEPC reports whether s holds only the characters every SEPA bank must
// accept (EPC217-08): letters, digits, / - ? : ( ) . , ' + and blank.
func IsEPC(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("/-?:().,'+ ", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// CheckReference checks a payment reference: 1 to 35 EPC characters that do
// not begin or end with a slash nor hold two in a row (EPC usage rule for
// identifications and references), and no blank at either end.
func CheckReference(s string) error {
	switch {
	case s == "" || len(s) > MaxReference:
		return Invalid("reference", "reference_invalid", "the reference must have 1 to 35 characters")
	case !IsEPC(s):
		return Invalid("reference", "reference_invalid", "the reference may hold only letters A-Z, digits, blanks and / - ? : ( ) . , ' +")
	case s[0] == '/' || s[len(s)-1] == '/' || strings.Contains(s, "//"):
		return Invalid("reference", "reference_invalid", "the reference must not begin or end with a slash or hold two in a row")
	case strings.TrimSpace(s) != s:
		return Invalid("reference", "reference_invalid", "the reference must not begin or end with a blank")
	}
	return nil
}

// CheckText refuses what could make displayed text lie: invalid UTF-8, control
// characters, and the bidirectional and zero-width characters with which one
// name is made to look like another (Unicode TR 36).
func CheckText(field, s string, maxRunes int) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxRunes {
		return Invalid(field, "text_invalid", "the text is too long or not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return Invalid(field, "text_invalid", "the text holds control or invisible characters")
		}
	}
	return nil
}

// IsCreditorReference reports whether s is an ISO 11649 reference: RF, two
// check digits, 1 to 21 letters or digits, modulus 97 = 1.
func IsCreditorReference(s string) bool {
	if len(s) < 5 || len(s) > 25 || s[:2] != "RF" || !digit(s[2]) || !digit(s[3]) {
		return false
	}
	for i := 4; i < len(s); i++ {
		if !digit(s[i]) && !upper(s[i]) {
			return false
		}
	}
	return mod97(s[4:]+s[:4]) == 1
}
