package sca

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
)

// Display is the text a payer is shown before he confirms, frozen: rendering it
// again from a stored link gives the same bytes (RTS Art. 5(2)). It is plain
// text, one fact a line; pages and the push device show these lines and no
// others as what is being confirmed.
type Display struct {
	Template string `json:"template"` // version of the wording
	Language string `json:"language"` // "de" or "en"
	Text     string `json:"text"`
}

// template is the wording that shows all of a link. An old one is never
// changed: it must render what people have seen.
func (l Linked) template() string {
	if l.Shop == (Shop{}) {
		return "p1"
	}
	return "p2"
}

// wordings by template and language. {amount}, {name}, {iban}, {reference},
// {shop} and {domain} stand for the link's fields. The domain has a line of its
// own, which no shop's name can look like.
var wordings = map[string]map[string]string{
	"p1": {
		"en": "Pay {amount}\nto {name}\naccount {iban}\nreference {reference}",
		"de": "Zahlung von {amount}\nan {name}\nKonto {iban}\nVerwendungszweck {reference}",
	},
	"p2": {
		"en": "Pay {amount}\nto {name}\naccount {iban}\nreference {reference}\nfor {shop}\nwebsite {domain}",
		"de": "Zahlung von {amount}\nan {name}\nKonto {iban}\nVerwendungszweck {reference}\nfür {shop}\nWebsite {domain}",
	},
	verifyTemplate: { // no payment: somebody is at his own factors
		"en": "Change your ways to confirm payments\nNothing is paid",
		"de": "Ihre Wege ändern, Zahlungen zu bestätigen\nEs wird nichts bezahlt",
	},
}

// Render writes what a payer is shown. Unknown languages read English.
func Render(template, language string, l Linked) (Display, error) {
	texts, ok := wordings[template]
	if !ok {
		return Display{}, errors.New("sca: there is no such template")
	}
	text, ok := texts[language]
	if !ok {
		language = "en"
		text = texts[language]
	}
	filled := strings.NewReplacer("{amount}", amountText(language, l.Amount), "{name}", oneLine(l.CreditorName),
		"{iban}", groups(string(l.CreditorIBAN)), "{reference}", oneLine(l.DebtorRef),
		"{shop}", oneLine(l.Shop.Name), "{domain}", oneLine(l.Shop.Domain)).Replace(text)
	return Display{Template: template, Language: language, Text: filled}, nil
}

// Hash covers template, language and text, each with its boundary.
func (d Display) Hash() string {
	b, err := canonical(map[string]any{"template": d.Template, "language": d.Language, "text": d.Text})
	if err != nil {
		return "" // Render's own output is valid UTF-8
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Lines are the facts of the text.
func (d Display) Lines() []string { return strings.Split(d.Text, "\n") }

// amountText writes the currency's code, which is the same in every language,
// and separators as the language has them: 1.025,00 EUR, EUR 1,025.00.
func amountText(language string, m psd2.Money) string {
	whole, cents, _ := strings.Cut(m.Decimal(), ".")
	thousands, point := ",", "."
	if language == "de" {
		thousands, point = ".", ","
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	if language == "de" {
		return whole + point + cents + " " + m.Currency
	}
	return m.Currency + " " + whole + point + cents
}

// groups writes an account in groups of four.
func groups(iban string) string {
	var b strings.Builder
	for i, c := range iban {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// oneLine shows what would begin a new line, hide or reorder text as a mark
// that can be seen. The hash is over the true text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
