package page

import (
	"net/http"

	"golang.org/x/text/language"
)

// LangCookie remembers the language the reader chose.
const LangCookie = "__Host-rp_lang"

var matcher = language.NewMatcher([]language.Tag{language.English, language.German})

// ParseLang finds the language of a tag such as "de", "de-AT" or a whole
// Accept-Language header; ok is false when none of ours fits.
func ParseLang(header string) (l Lang, ok bool) {
	if len(header) > 200 { // nobody speaks that many; do not parse what strangers pile up
		return Langs[0], false
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return Langs[0], false
	}
	_, i, confidence := matcher.Match(tags...)
	return Langs[i], confidence != language.No
}

// Negotiate picks the reader's language: ?lang= (and remembers it), else the
// cookie, else hint (a merchant's locale for this payer), else Accept-Language.
func Negotiate(w http.ResponseWriter, r *http.Request, hint string) Lang {
	if q := r.URL.Query().Get("lang"); q != "" {
		if l, ok := exact(q); ok {
			http.SetCookie(w, &http.Cookie{Name: LangCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600,
				Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
			return l
		}
	}
	if c, err := r.Cookie(LangCookie); err == nil {
		if l, ok := exact(c.Value); ok {
			return l
		}
	}
	if hint != "" {
		if l, ok := ParseLang(hint); ok {
			return l
		}
	}
	l, _ := ParseLang(r.Header.Get("Accept-Language"))
	return l
}

func exact(s string) (Lang, bool) {
	for _, l := range Langs {
		if s == string(l) {
			return l, true
		}
	}
	return "", false
}
