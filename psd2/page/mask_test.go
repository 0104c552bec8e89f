package page_test

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

func TestAMaskedNameTellsFirstLettersAndLengthsOnly(t *testing.T) {
	for name, want := range map[string]string{
		"":                        "",
		" - ":                     "",
		"Erika Mustermann":        "E•••• M•••••••••",
		"Özil-Ångström  (2)":      "Ö••• Å••••••• •••",
		strings.Repeat("x", 100):  "x" + strings.Repeat("•", 24),
		strings.Repeat("ab ", 20): strings.TrimSpace(strings.Repeat("a• ", 8)),
	} {
		if got := page.MaskedName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func TestAMaskedIBANStaysOnOneLine(t *testing.T) {
	iban, err := psd2.ParseIBAN("DE89370400440532013000")
	if err != nil {
		t.Fatal(err)
	}
	if got := page.MaskedIBAN(iban); got != "DE••\u00a0••••\u00a03000" {
		t.Errorf("%q", got)
	}
}
