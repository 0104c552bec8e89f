package iso20022

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rialto-hub/rialto/psd2"
)

// replacements gives, for each group of letters and signs, what the banks'
// common practice (EPC217-08) puts in their place: the letter without its
// mark, Greek and Cyrillic by sound, the nearest sign allowed, and nothing for
// letters without a sound of their own.
var replacements = buildReplacements(map[string]string{
	"A": "ÀÁÂÃÄÅĀĂĄǍÆǼΑΆА", "B": "Б", "C": "ÇĆĈĊČ©", "D": "ÐĎĐΔД", "E": "ÈÉÊËĒĔĖĘĚΕΈЕЭ€",
	"F": "ΦФ", "G": "ĜĞĠĢΓГҐ", "H": "ĤĦХ", "I": "ÌÍÎÏĨĪĬĮİΙΊΪΗΉИЙІЇĲ", "J": "ĴЈ", "K": "ĶΚК", "L": "ĹĻĽĿŁΛЛ",
	"M": "ΜМ", "N": "ÑŃŅŇŊΝН", "O": "ÒÓÔÕÖØŌŎŐǾŒΟΌΩΏО", "P": "ΠП", "R": "ŔŖŘΡР®", "S": "ŚŜŞŠȘẞΣС", "T": "ŢŤŦȚÞΤТ",
	"U": "ÙÚÛÜŨŪŬŮŰŲУ", "V": "ΒВ", "W": "ŴẀẂẄ", "X": "Ξ", "Y": "ÝŶŸΥΎΫЫ", "Z": "ŹŻŽΖЗ",
	"a": "àáâãäåāăąǎæǽαάаª", "c": "çćĉċč¢", "d": "ðďđδд", "e": "èéêëēĕėęěεέеэ", "f": "φф", "g": "ĝğġģγгґ",
	"h": "ĥħх", "i": "ìíîïĩīĭįıιίϊΐηήийіїĳ", "j": "ĵј", "k": "ķĸκк", "l": "ĺļľŀłλл", "m": "μµм", "n": "ñńņňŋŉνн",
	"o": "òóôõöøōŏőǿœοόωώоº", "p": "πп", "r": "ŕŗřρр", "s": "śŝşšșßσςсſ", "t": "ţťŧțþτт", "u": "ùúûüũūŭůűųу",
	"v": "βв", "b": "б", "w": "ŵẁẃẅ", "x": "ξ", "y": "ýÿŷυύϋΰы", "z": "źżžζз",
	"TH": "Θ", "th": "θ", "PS": "Ψ", "ps": "ψ", "ZH": "Ж", "zh": "ж", "TS": "Ц", "ts": "ц", "CH": "ЧΧ", "ch": "чχ",
	"SH": "Ш", "sh": "ш", "SHT": "Щ", "sht": "щ", "YU": "Ю", "yu": "ю", "YA": "Я", "ya": "я", "YE": "Є", "ye": "є",
	"YO": "Ё", "yo": "ё", "DJ": "Ђ", "dj": "ђ", "LJ": "Љ", "lj": "љ", "NJ": "Њ", "nj": "њ", "DZ": "Џ", "dz": "џ",
	"KJ": "Ќ", "kj": "ќ", "GJ": "Ѓ", "gj": "ѓ", "": "ЪъЬь",
	" ": "\u00a0\u2002\u2003\u2007\u2009\u202f\t\r\n", "+": "&", "-": "_~¬\u00ad\u2010\u2011\u2012\u2013\u2014\u2015",
	"'": "`´\u2018\u2019\u201a\u201b\u2032", "(": "[{<«\u2039", ")": "]}>»\u203a", "/": "\\|¦", ",": ";", "?": "¿",
	"1": "¹", "2": "²", "3": "³",
})

func buildReplacements(groups map[string]string) map[rune]string {
	m := map[rune]string{}
	for to, from := range groups {
		for _, r := range from {
			if old, twice := m[r]; twice {
				panic("iso20022: " + string(r) + " has two replacements: " + old + ", " + to)
			}
			m[r] = to
		}
	}
	return m
}

// Transliterate puts text into the character set every SEPA bank must accept
// (EPC217-08). "Müller & Søn" becomes "Muller + Son"; what has no counterpart
// becomes a full stop. Text within the set is returned as it is. The writer
// refuses other characters instead of replacing them unseen, so that who fills
// a message decides what the payee will read.
func Transliterate(s string) string {
	if psd2.IsEPC(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		to, known := replacements[r]
		switch {
		case r < utf8.RuneSelf && psd2.IsEPC(string(r)):
			b.WriteRune(r)
		case known && len(to) > 1:
			b.WriteString(asIn(to, s[i+utf8.RuneLen(r):]))
		case known:
			b.WriteString(to)
		case unicode.Is(unicode.Mn, r): // a mark on the letter before it
		default:
			b.WriteByte('.')
		}
	}
	return b.String()
}

// asIn writes the several letters that stand for one as the word goes on: Щ is
// Sht in Щъркел and SHT in ЩИТ.
func asIn(to, rest string) string {
	if next, _ := utf8.DecodeRuneInString(rest); unicode.IsLower(next) {
		return to[:1] + strings.ToLower(to[1:])
	}
	return to
}

// TransliterateReference does the same for references and identifications,
// which also must not begin or end with a slash or blank nor hold "//", and
// cuts the result to psd2.MaxReference characters. The result may be empty.
func TransliterateReference(s string) string {
	s = Transliterate(s)
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	s = strings.TrimLeft(s, "/ ")
	return strings.TrimRight(s[:min(len(s), psd2.MaxReference)], "/ ")
}
