package names

import "unicode"

// letterOf returns the Latin spelling of one lower-case letter. Initial says that it begins a word: an Arabic waw or ya is a consonant
// there and mostly a vowel elsewhere.
func letterOf(r rune, initial bool) (latin string, kind script, ok bool) {
	if s, found := alphabets[r]; found {
		return s, alphabetic, true
	}
	if s, found := semitic[r]; found {
		if initial && s == "u" {
			s = "w"
		}
		return s, abjad, true
	}
	if s, found := indicLetter(r); found {
		return s, alphabetic, true
	}
	return "", alphabetic, false
}

// alphabets holds the letters that Unicode does not take apart by itself. The spellings are those that sanctions lists use most; the
// sound of a token evens out what other conventions write.
var alphabets = table(map[string]string{
	// Latin
	"ß": "ss", "ẞ": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h", "ŋ": "ng", "ə": "a", "ɛ": "e",
	"ɔ": "o", "ƒ": "f", "ŀ": "l", "ŧ": "t", "ɓ": "b", "ɗ": "d", "ƙ": "k",
	// Cyrillic
	"а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "yo", "ж": "zh", "з": "z", "и": "i", "й": "y", "к": "k", "л": "l", "м": "m",
	"н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "",
	"ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya", "і": "i", "ї": "yi", "є": "ye", "ґ": "g", "ў": "u", "ђ": "dj", "ћ": "c", "љ": "lj", "њ": "nj",
	"џ": "dz", "ј": "j", "ѓ": "g", "ќ": "k", "ѕ": "dz", "қ": "k", "ғ": "gh", "ә": "a", "ө": "o", "ү": "u", "ұ": "u", "һ": "h", "ң": "ng", "ҳ": "h", "ҷ": "j",
	"ӣ": "i", "ӯ": "u", "ѣ": "e", "ѐ": "e", "ѝ": "i",
	// Greek
	"α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o",
	"π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
	// Armenian
	"ա": "a", "բ": "b", "գ": "g", "դ": "d", "ե": "e", "զ": "z", "է": "e", "ը": "y", "թ": "t", "ժ": "zh", "ի": "i", "լ": "l", "խ": "kh", "ծ": "ts", "կ": "k",
	"հ": "h", "ձ": "dz", "ղ": "gh", "ճ": "ch", "մ": "m", "յ": "y", "ն": "n", "շ": "sh", "ո": "o", "չ": "ch", "պ": "p", "ջ": "j", "ռ": "r", "ս": "s", "վ": "v",
	"տ": "t", "ր": "r", "ց": "ts", "ւ": "u", "փ": "p", "ք": "k", "օ": "o", "ֆ": "f", "և": "ev",
	// Georgian
	"ა": "a", "ბ": "b", "გ": "g", "დ": "d", "ე": "e", "ვ": "v", "ზ": "z", "თ": "t", "ი": "i", "კ": "k", "ლ": "l", "მ": "m", "ნ": "n", "ო": "o", "პ": "p",
	"ჟ": "zh", "რ": "r", "ს": "s", "ტ": "t", "უ": "u", "ფ": "p", "ქ": "k", "ღ": "gh", "ყ": "q", "შ": "sh", "ჩ": "ch", "ც": "ts", "ძ": "dz", "წ": "ts", "ჭ": "ch",
	"ხ": "kh", "ჯ": "j", "ჰ": "h",
	// kana; marks of voice are composed by NFKC
	"ア": "a", "イ": "i", "ウ": "u", "エ": "e", "オ": "o", "カ": "ka", "キ": "ki", "ク": "ku", "ケ": "ke", "コ": "ko", "ガ": "ga", "ギ": "gi", "グ": "gu",
	"ゲ": "ge", "ゴ": "go", "サ": "sa", "シ": "shi", "ス": "su", "セ": "se", "ソ": "so", "ザ": "za", "ジ": "ji", "ズ": "zu", "ゼ": "ze", "ゾ": "zo", "タ": "ta",
	"チ": "chi", "ツ": "tsu", "テ": "te", "ト": "to", "ダ": "da", "ヂ": "ji", "ヅ": "zu", "デ": "de", "ド": "do", "ナ": "na", "ニ": "ni", "ヌ": "nu", "ネ": "ne",
	"ノ": "no", "ハ": "ha", "ヒ": "hi", "フ": "fu", "ヘ": "he", "ホ": "ho", "バ": "ba", "ビ": "bi", "ブ": "bu", "ベ": "be", "ボ": "bo", "パ": "pa", "ピ": "pi",
	"プ": "pu", "ペ": "pe", "ポ": "po", "マ": "ma", "ミ": "mi", "ム": "mu", "メ": "me", "モ": "mo", "ヤ": "ya", "ユ": "yu", "ヨ": "yo", "ラ": "ra", "リ": "ri",
	"ル": "ru", "レ": "re", "ロ": "ro", "ワ": "wa", "ヲ": "o", "ン": "n", "ヴ": "v", "ッ": "", "ー": "", "ャ": "ya", "ュ": "yu", "ョ": "yo", "ァ": "a", "ィ": "i",
	"ゥ": "u", "ェ": "e", "ォ": "o",
})

// semitic holds Arabic (with the letters of Persian, Urdu and Pashto) and Hebrew. Short vowels are not written; comparison goes by the
// skeleton of the token.
var semitic = table(map[string]string{
	"ا": "a", "أ": "a", "إ": "i", "آ": "a", "ٱ": "a", "ب": "b", "ت": "t", "ث": "th", "ج": "j", "ح": "h", "خ": "kh", "د": "d", "ذ": "dh", "ر": "r", "ز": "z",
	"س": "s", "ش": "sh", "ص": "s", "ض": "d", "ط": "t", "ظ": "z", "ع": "a", "غ": "gh", "ف": "f", "ق": "q", "ك": "k", "ل": "l", "م": "m", "ن": "n", "ه": "h",
	"ة": "a", "و": "u", "ؤ": "u", "ي": "i", "ئ": "i", "ى": "a", "ء": "", "پ": "p", "چ": "ch", "ژ": "zh", "گ": "g", "ک": "k", "ی": "i", "ې": "e", "ۍ": "i",
	"ے": "e", "ھ": "h", "ہ": "h", "ۂ": "a", "ۀ": "a", "ں": "n", "ٹ": "t", "ڈ": "d", "ڑ": "r", "ټ": "t", "ډ": "d", "ړ": "r", "ځ": "z", "څ": "ts", "ښ": "sh",
	"ږ": "g", "ڼ": "n", "ګ": "g", "ڤ": "v",
	"א": "a", "ב": "b", "ג": "g", "ד": "d", "ה": "h", "ו": "u", "ז": "z", "ח": "h", "ט": "t", "י": "i", "כ": "k", "ך": "k", "ל": "l", "מ": "m", "ם": "m", "נ": "n",
	"ן": "n", "ס": "s", "ע": "a", "פ": "p", "ף": "f", "צ": "ts", "ץ": "ts", "ק": "k", "ר": "r", "ש": "sh", "ת": "t",
})

// table turns the readable form into one keyed by rune, and gives hiragana the sounds of katakana (0x60 further on).
func table(in map[string]string) map[rune]string {
	out := make(map[rune]string, len(in))
	for k, v := range in {
		r := []rune(k)[0]
		out[r] = v
		if r >= 0x30A1 && r <= 0x30F4 {
			out[r-0x60] = v
		}
	}
	return out
}

// The nine main scripts of India lie in Unicode as parallel blocks of 128, so one table by offset serves them all.
const indicFirst, indicLast, indicBlock = 0x0900, 0x0D7F, 0x80

var indicVowels = map[rune]string{0x05: "a", 0x06: "a", 0x07: "i", 0x08: "i", 0x09: "u", 0x0A: "u", 0x0B: "ri", 0x0F: "e", 0x10: "ai", 0x13: "o", 0x14: "au"}

var indicConsonants = [...]string{ // offsets 0x15 to 0x39
	"k", "kh", "g", "gh", "ng", "ch", "chh", "j", "jh", "n", "t", "th", "d", "dh", "n", "t", "th", "d", "dh", "n", "n", "p", "ph", "b", "bh", "m", "y", "r", "r", "l",
	"l", "l", "v", "sh", "sh", "s", "h",
}

var indicSigns = map[rune]string{
	0x3E: "a", 0x3F: "i", 0x40: "i", 0x41: "u", 0x42: "u", 0x43: "ri", 0x46: "e", 0x47: "e", 0x48: "ai", 0x4A: "o", 0x4B: "o", 0x4C: "au", 0x4D: "",
}

func indicLetter(r rune) (string, bool) {
	if r < indicFirst || r > indicLast {
		return "", false
	}
	offset := (r - indicFirst) % indicBlock
	if v, ok := indicVowels[offset]; ok {
		return v, true
	}
	if offset >= 0x15 && int(offset-0x15) < len(indicConsonants) {
		return indicConsonants[offset-0x15] + "a", true
	}
	return "", false
}

// indicMark returns what a dependent sign adds, and whether it is a vowel that replaces the consonant's own; virama only removes it.
func indicMark(r rune) (latin string, isVowel, ok bool) {
	if r < indicFirst || r > indicLast {
		return "", false, false
	}
	offset := (r - indicFirst) % indicBlock
	if v, found := indicSigns[offset]; found {
		return v, v != "", true
	}
	if offset == 0x01 || offset == 0x02 { // nasal signs
		return "n", false, true
	}
	return "", false, unicode.Is(unicode.Mn, r) && offset == 0x3C // nukta: nothing to add
}

// hangul spells one syllable the way North and South Korean names stand in the lists (Kim, Pak, Jong, Un), by its place in the block.
func hangul(r rune) string {
	if s, ok := koreanSurnames[r]; ok {
		return s
	}
	index := int(r) - 0xAC00
	return hangulLead[index/588] + hangulVowel[index%588/28] + hangulTail[index%28]
}

// koreanSurnames are spelt by custom and not by letter: 이 is Ri in Pyongyang and Lee in Seoul; the sound joins the two.
var koreanSurnames = map[rune]string{'이': "ri", '임': "rim", '박': "pak", '최': "choe", '유': "yu", '류': "ryu"}

var (
	hangulLead = [...]string{"k", "kk", "n", "t", "tt", "r", "m", "p", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p", "h"}

	hangulVowel = [...]string{
		"a", "ae", "ya", "yae", "o", "e", "yo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we", "wi", "yu", "u", "ui", "i",
	}

	hangulTail = [...]string{
		"", "k", "k", "k", "n", "n", "n", "t", "l", "k", "m", "l", "l", "l", "l", "l", "m", "p", "p", "t", "t", "ng", "t", "t", "k", "t", "p", "t",
	}
)
