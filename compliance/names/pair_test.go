package names

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPairsThatAreOneName(t *testing.T) {
	for _, c := range [][3]string{
		{"Person", "Anna Lindqvist", "LINDQVIST, Anna"},
		{"Person", "Anna Lindqvist", "Anna Karolina Lindqvist"},
		{"Person", "A. Lindqvist", "Anna Lindqvist"},
		{"Person", "J.-P. Morel", "Jean-Pierre Morel"},
		{"Person", "JP Morel", "Jean-Pierre Morel"},
		{"Person", "AnnaLindqvist", "Anna Lindqvist"},
		{"Person", "Anna Lind qvist", "Anna Lindqvist"},
		{"Person", "Anna Lindkvist", "Anna Lindqvist"},
		{"Person", "Wladimir Schukow", "Vladimir Zhukov"},
		{"Person", "Владимир Жуков", "Vladimir Zhukov"},
		{"Person", "Sheikh Abdul Karim Hamdan", "Abd al-Karim Hamdan"},
		{"Person", "Jürgen Groß", "Juergen Gross"},
		{"Person", "Jürgen Groß", "JURGEN GROSS"},
		{"Company", "Lindqvist Aktiengesellschaft", "Lindqvist AG"},
		{"Company", "OOO Lindqvist", "Lindqvist Limited Liability Company"},
		{"Company", "The Lindqvist & Sons Co.", "Lindqvist and Sons Company"},
		{"Company", "L.I.N. Werke", "LIN Werke"},
		{"Organization", "NAO", "National Astronomers Order"},
		{"LegalEntity", "Lindqvist G.m.b.H.", "LINDQVIST GMBH"},
		{"Company", "ACME GmbH", "Acme Gesellschaft mit beschraenkter Haftung"},
		{"Company", "Lindqvist OHG", "Lindqvist Offene Handelsgesellschaft"},
		{"LegalEntity", "Lindqvist UG (haftungsbeschränkt)", "Lindqvist Unternehmergesellschaft (haftungsbeschränkt)"},
		{"Organization", "Lindqvist e.V.", "Lindqvist eingetragener Verein"},
		{"Company", "Lindqvist S.p.A.", "Lindqvist Società per Azioni"},
		{"", "Anna Lindqvist", "Lindqvist Anna"},
	} {
		if s := Pair(c[0], c[1], c[2]); s < PairThreshold {
			t.Errorf("%s: %q and %q: %.3f", c[0], c[1], c[2], s)
		}
	}
}

func TestPairsThatAreTwoNames(t *testing.T) {
	for _, c := range [][3]string{
		{"Person", "Anna Lindqvist", "Berta Lindqvist"},
		{"Person", "Anna Lindqvist", "Anna Hofstetter"},
		{"Person", "B. Lindqvist", "Anna Lindqvist"},
		{"Person", "William G. Lindqvist", "William W. Lindqvist"},
		{"Person", "Omar al-Tikriti", "Omar al-Mosuli"},
		{"Person", "Ahmed Lindqvist", "Mohamed Lindqvist"},
		{"Person", "习近朋", "习近平"},
		{"Company", "Lindqvist Shipping AG", "Lindqvist AG"},
		{"Company", "Lindqvist of Boston Inc.", "Lindqvist of Dallas Inc."},
		{"Person", "", "Anna"}, {"Person", "", ""},
	} {
		if s := Pair(c[0], c[1], c[2]); s >= PairThreshold {
			t.Errorf("%s: %q and %q: %.3f", c[0], c[1], c[2], s)
		}
	}
}

func TestPairIsSymmetricAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := strings.Join(drawName(t), " "), strings.Join(drawName(t), " ")
		schema := rapid.SampledFrom([]string{"Person", "Company", "LegalEntity"}).Draw(t, "schema")
		one, two := Pair(schema, a, b), Pair(schema, b, a)
		if d := one - two; d > 1e-9 || d < -1e-9 {
			t.Fatalf("%q and %q: %v and %v", a, b, one, two)
		}
		if one < 0 || one >= 1 {
			t.Fatalf("%q and %q: %v", a, b, one)
		}
		if same := Pair(schema, a, a); same < ExactFloor || same < one && a != b {
			t.Fatalf("%q: itself %v, another %v", a, same, one)
		}
	})
}
