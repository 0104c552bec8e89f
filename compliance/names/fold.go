package names

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// script tells how far a folded token can be trusted: an abjad writes no short vowels, and one character of a syllabary or of Han is
// a whole syllable, where one wrong character is another name and not a slip of the pen.
type script uint8

const (
	alphabetic script = iota // Latin, Cyrillic, Greek, …: letters
	abjad                    // Arabic, Hebrew: consonants and long vowels
	syllabic                 // Han, Hangul: a syllable per character
	unknown                  // a script without a table: kept as it is
)

// Fold returns the name in lower-case ASCII words separated by single spaces, as far as the tables reach; letters of a script without a
// table are kept. Folding a folded name changes nothing.
func Fold(name string) string {
	words := fold(name)
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = w.text
	}
	return strings.Join(parts, " ")
}

// word is one folded word of a name, before titles, particles and legal forms are told apart.
type word struct {
	text   string
	script script
	source string // the characters as written, only for syllabic scripts: 朋 and 平 sound alike and are not the same name
	dotted bool   // stands before a full stop without a space: J.-C., G.m.b.H.
}

// folder collects words while the runes of a name pass by.
type folder struct {
	words  []word
	text   strings.Builder
	source strings.Builder
	script script
	last   rune // the last letter as written, for the joints in JuanIgnacio
	run    int  // letters since the last joint
}

// Bounds of one name. What lies beyond is cut, so that no input makes a comparison long.
const (
	longestWord = 64 // bytes, folded
	mostWords   = 40
)

func fold(name string) []word {
	var f folder
	runes := []rune(norm.NFKC.String(strings.ToValidUTF8(name, " ")))
	for i, r := range runes {
		if len(f.words) >= mostWords {
			break
		}
		switch {
		case isApostrophe(r), r == 0x640, unicode.Is(unicode.Cf, r): // Qa'ida is one word; tatweel and joiners are ornaments
			continue
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Mc, r):
			f.mark(r)
		case unicode.IsLetter(r):
			if f.run >= 2 && unicode.IsUpper(r) && unicode.IsLower(f.last) && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
				f.end(false) // JuanIgnacio was two words; kNunda and Khoda'I were not
			}
			f.letter(r)
		case unicode.IsDigit(r):
			f.digit(r)
		default:
			f.end(r == '.')
		}
	}
	f.end(false)
	return f.words[:min(len(f.words), mostWords)]
}

func isApostrophe(r rune) bool {
	switch r {
	case '\'', '’', '‘', '`', '´', 'ʻ', 'ʼ', 'ʾ', 'ʿ', 'ˈ', '′', '״', '׳':
		return true
	}
	return false
}

func (f *folder) end(dot bool) {
	if text := f.text.String(); text != "" {
		if len(text) > longestWord {
			text = strings.ToValidUTF8(text[:longestWord], "")
		}
		f.words = append(f.words, word{text: text, script: f.script, source: f.source.String(), dotted: dot})
	}
	f.text.Reset()
	f.source.Reset()
	f.script, f.run, f.last = alphabetic, 0, 0
}

func (f *folder) digit(r rune) {
	if f.text.Len() >= longestWord {
		return
	}
	if r < utf8.RuneSelf {
		f.text.WriteRune(r)
	} else if d := digitValue(r); d >= 0 {
		f.text.WriteByte(byte('0' + d))
	}
	f.last = r
	f.run++
}

// digitValue uses that Unicode keeps the ten digits of a script together, beginning at a multiple of ten from their zero.
func digitValue(r rune) int {
	zero := r
	for i := 0; i < 10 && unicode.IsDigit(zero-1); i++ {
		zero--
	}
	if d := int(r - zero); d < 10 {
		return d
	}
	return -1
}

func (f *folder) letter(r rune) {
	lower := unicode.ToLower(r)
	f.last = r
	f.run++
	if f.text.Len() >= longestWord {
		return
	}
	switch {
	case lower >= 'a' && lower <= 'z':
		f.text.WriteRune(lower)
	case lower >= 0xAC00 && lower <= 0xD7A3:
		f.syllable(lower, hangul(lower))
	case unicode.Is(unicode.Han, lower):
		f.syllable(lower, pinyin(lower))
	default:
		f.foreign(lower)
	}
}

// syllable makes a word of its own of one character: the joints between them are not written, and the index can join words again.
func (f *folder) syllable(r rune, latin string) {
	if f.script != syllabic {
		f.end(false)
	}
	f.end(false)
	f.script = syllabic
	f.source.WriteRune(r)
	if latin == "" {
		latin = string(r)
	}
	f.text.WriteString(latin)
	f.end(false)
}

func (f *folder) foreign(lower rune) {
	if latin, kind, ok := letterOf(lower, f.text.Len() == 0); ok {
		f.write(latin, kind)
		return
	}
	// Letters with marks come apart: é is e, ü is u, й is и.
	var decomposed [16]byte
	base, size := utf8.DecodeRune(norm.NFKD.AppendString(decomposed[:0], string(lower)))
	if size > 0 && base != lower {
		if base >= 'a' && base <= 'z' {
			f.text.WriteRune(base)
			return
		}
		if latin, kind, ok := letterOf(base, f.text.Len() == 0); ok {
			f.write(latin, kind)
			return
		}
	}
	f.script = unknown
	f.text.WriteRune(lower)
}

func (f *folder) write(latin string, kind script) {
	if kind != alphabetic {
		f.script = kind
	}
	// Two letters with an unwritten vowel between them must not read as one sound: z-h in Zuhairi is no zh.
	if t := f.text.String(); kind == abjad && latin == "h" && t != "" && strings.ContainsRune("szktdgc", rune(t[len(t)-1])) {
		latin = "ah"
	}
	f.text.WriteString(latin)
}

// mark handles the signs that NFKC leaves alone. The vowel signs of India replace the vowel that its consonants carry within them;
// accents and Arabic or Hebrew points say nothing that spelling has not already blurred.
func (f *folder) mark(r rune) {
	if f.text.Len() >= longestWord {
		return
	}
	vowel, isVowel, ok := indicMark(r)
	if ok {
		t := f.text.String()
		if strings.HasSuffix(t, "a") && (isVowel || vowel == "") {
			t = t[:len(t)-1]
		}
		f.text.Reset()
		f.text.WriteString(t + vowel)
		return
	}
	if f.script == unknown { // a script without a table: its vowel signs are all that tells two names apart
		f.text.WriteRune(r)
	}
}
