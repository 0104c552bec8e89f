package names

// soundRules rewrite the spellings of one sound to one letter; the longest that fits is taken. Capitals are sounds that Latin writes with
// several letters: S sh, C ch. Vowels fall into three classes (a, i, u), because romanisations and ears mix those within a class.
var soundRules = map[string]string{
	"schtsch": "S", "shch": "S", "stch": "S", "stsch": "S", "sch": "S", "sh": "S", "sz": "S", "tsch": "C", "tch": "C", "tkh": "C", "tsh": "C", "ch": "C", "cz": "C",
	"dsch": "j", "dj": "j", "dzh": "j", "zh": "j", "dz": "j", "j": "j",
	"kh": "h", "gh": "g", "ph": "f", "th": "t", "dh": "d", "bh": "b", "lh": "l", "rh": "r", "ck": "k", "cq": "k", "c": "k", "q": "k", "x": "ks",
	"tz": "s", "ts": "s", "z": "s", "w": "v",
	"ae": "a", "oe": "u", "ue": "u", "ou": "u", "oo": "u", "ee": "i", "ie": "i", "ei": "i", "ey": "i", "ay": "ai", "eu": "ui",
	"e": "i", "y": "i", "o": "u",
}

const longestRule = 7

// soundOf returns one spelling for what sounds alike in German, English, French, Spanish and Slavic romanisation: Prigoschin and Prigozhin
// come near, Lawrow and Lavrov meet. Letters outside ASCII pass unchanged. Doubled letters count once.
func soundOf(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		replacement, width := "", 0
		for n := min(longestRule, len(text)-i); n > 0; n-- {
			if r, ok := soundRules[text[i:i+n]]; ok {
				replacement, width = r, n
				break
			}
		}
		if width == 0 {
			replacement, width = text[i:i+1], 1
		}
		// A German or Slavic j after a vowel and at the end is a vowel itself: Sergej, Alexej.
		if replacement == "j" && width == 1 && i+1 == len(text) && i > 0 && isVowel(text[i-1]) {
			replacement = "i"
		}
		for k := 0; k < len(replacement); k++ {
			if len(out) == 0 || out[len(out)-1] != replacement[k] {
				out = append(out, replacement[k])
			}
		}
		i += width
	}
	return string(out)
}

func isVowel(b byte) bool {
	switch b {
	case 'a', 'e', 'i', 'o', 'u', 'y':
		return true
	}
	return false
}

// skeletonOf drops the vowels of a sound; a vowel at the beginning stays as a, because scripts without vowels write a letter there.
func skeletonOf(sound string) string {
	out := make([]byte, 0, len(sound))
	for i := 0; i < len(sound); i++ {
		b := sound[i]
		switch {
		case isVowel(b):
			if i == 0 {
				out = append(out, 'a')
			}
			continue
		case b == 'p':
			b = 'b' // Arabic has no p
		case b == 'v' && i > 0, b == 'h' && i == len(sound)-1:
			continue // waw is written for o, u and w alike, and a last h is mute
		}
		if len(out) == 0 || out[len(out)-1] != b {
			out = append(out, b)
		}
	}
	return string(out)
}
