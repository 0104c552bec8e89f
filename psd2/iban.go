package psd2

import (
	"log/slog"
	"strconv"
	"strings"
)

// IBAN is an account number in electronic form (ISO 13616: capitals, no
// blanks) that ParseIBAN has accepted. It is personal data: print Masked.
type IBAN string

// bbanShapes gives each country's BBAN as runs of n (digit), a (capital) and
// c (either), after the ISO 13616 registry. A country that is missing has no
// IBAN.
var bbanShapes = map[string]string{
	"AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n",
	"BG": "4a6n8c", "BH": "4a14c", "BI": "23n", "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c", "CR": "18n",
	"CY": "8n16c", "CZ": "20n", "DE": "18n", "DJ": "23n", "DK": "14n", "DO": "4c20n", "EE": "16n",
	"EG": "25n", "ES": "20n", "FI": "14n", "FK": "2a12n", "FO": "14n", "FR": "10n11c2n", "GB": "4a14n",
	"GE": "2a16n", "GI": "4a15c", "GL": "14n", "GR": "7n16c", "GT": "24c", "HN": "4a20n", "HR": "17n",
	"HU": "24n", "IE": "4a14n", "IL": "19n", "IQ": "4a15n", "IS": "22n", "IT": "1a10n12c", "JO": "4a4n18c",
	"KW": "4a22c", "KZ": "3n13c", "LB": "4n20c", "LC": "4a24c", "LI": "5n12c", "LT": "16n", "LU": "3n13c",
	"LV": "4a13c", "LY": "21n", "MC": "10n11c2n", "MD": "20c", "ME": "18n", "MK": "3n10c2n", "MN": "16n",
	"MR": "23n", "MT": "4a5n18c", "MU": "4a19n3a", "NI": "4a20n", "NL": "4a10n", "NO": "11n", "OM": "3n16c",
	"PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n", "QA": "4a21c", "RO": "4a16c", "RS": "18n",
	"RU": "14n15c", "SA": "2n18c", "SC": "4a20n3a", "SD": "14n", "SE": "20n", "SI": "15n", "SK": "20n",
	"SM": "1a10n12c", "SO": "19n", "ST": "21n", "SV": "4a20n", "TL": "19n", "TN": "20n", "TR": "5n1n16c",
	"UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n", "YE": "4a4n18c",
}

// ParseIBAN accepts an IBAN in electronic or printed form (blanks between
// groups), checks country, length, shape and ISO 7064 modulus 97, and returns
// it in electronic form. Small letters are refused in a way that says so.
func ParseIBAN(s string) (IBAN, error) {
	s = strings.ReplaceAll(s, " ", "")
	if len(s) < 5 || len(s) > 34 {
		return "", Invalid("iban", "iban_invalid", "the IBAN has the wrong length")
	}
	for i := range len(s) {
		if !digit(s[i]) && !upper(s[i]) {
			return "", Invalid("iban", "iban_invalid", "an IBAN holds capital letters and digits only")
		}
	}
	shape, known := bbanShapes[s[:2]]
	if !known {
		return "", Invalid("iban", "iban_invalid", "no IBAN begins with this country code")
	}
	if !fits(shape, s[4:]) {
		return "", Invalid("iban", "iban_invalid", "the IBAN does not have the form its country prescribes")
	}
	if c := s[2:4]; !digit(c[0]) || !digit(c[1]) || c < "02" || c > "98" || mod97(s[4:]+s[:4]) != 1 {
		return "", Invalid("iban", "iban_invalid", "the IBAN's check digits are wrong")
	}
	return IBAN(s), nil
}

func fits(shape, bban string) bool {
	for shape != "" {
		i := strings.IndexAny(shape, "nac")
		n, _ := strconv.Atoi(shape[:i])
		if len(bban) < n {
			return false
		}
		for _, c := range []byte(bban[:n]) {
			ok := digit(c) && shape[i] != 'a' || upper(c) && shape[i] != 'n'
			if !ok {
				return false
			}
		}
		bban, shape = bban[n:], shape[i+1:]
	}
	return bban == ""
}

// Country is the ISO 3166 code the IBAN begins with.
func (i IBAN) Country() string {
	if len(i) < 2 {
		return ""
	}
	return string(i[:2])
}

// Masked shows country and last four characters in groups of four:
// "DE•• •••• •••• •••• ••30 00" would reveal the form, so the middle is folded:
// "DE•• •••• 3000".
func (i IBAN) Masked() string {
	if len(i) < 8 {
		return ""
	}
	return string(i[:2]) + "•• •••• " + string(i[len(i)-4:])
}

// Grouped is the printed form, blanks after every fourth character.
func (i IBAN) Grouped() string {
	var b strings.Builder
	for k := 0; k < len(i); k += 4 {
		if k > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(i[k:min(k+4, len(i))]))
	}
	return b.String()
}

// LogValue keeps an IBAN out of logs even when one is logged by mistake.
func (i IBAN) LogValue() slog.Value { return slog.StringValue(i.Masked()) }

// IsBIC reports whether s is a BIC by ISO 9362 as the ISO 20022 schemas
// write it: 4 alphanumerics, a country, 2 alphanumerics, optionally 3 more.
func IsBIC(s string) bool {
	if len(s) != 8 && len(s) != 11 {
		return false
	}
	for i := range len(s) {
		if !upper(s[i]) && (!digit(s[i]) || i == 4 || i == 5) {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
func upper(c byte) bool { return c >= 'A' && c <= 'Z' }

// mod97 is ISO 7064 MOD 97-10 with A=10 … Z=35.
func mod97(s string) int {
	r := 0
	for i := range len(s) {
		if c := s[i]; digit(c) {
			r = (r*10 + int(c-'0')) % 97
		} else {
			r = (r*100 + int(c-'A') + 10) % 97
		}
	}
	return r
}
