package hub

import "testing"

func TestSameHolder(t *testing.T) {
	for _, c := range []struct {
		holder, player string
		want           bool
	}{
		{"MR JONATHAN ROBERT SANDBRIDGE", "Jonathan Sandbridge", true},
		{"SANDBRIDGE J R", "Jonathan Robert Sandbridge", true},
		{"Müller, Jörg", "Joerg Mueller", true},
		{"MULLER JORG", "Jörg Müller", true},
		{"Dr. Erika Mustermann", "Erika Mustermann", true},
		{"Erika und Max Mustermann", "Erika Mustermann", true}, // a joint account is also his own
		{"Weiß, Anna-Lena", "Anna Lena Weiss", true},
		{"O'Neill Sean", "Seán ONeill", true},
		{"Max Mustermann", "Erika Mustermann", false},
		{"M. Mustermann", "Erika Mustermann", false},
		{"Mustermann", "Erika Mustermann", false},
		{"E M", "Erika Mustermann", false}, // initials alone prove nothing
		{"Mustermann Bau GmbH", "Erika Mustermann", false},
		{"", "Erika Mustermann", false},
		{"Erika Mustermann", "", false},
		{"Herr", "Herr", false},
	} {
		if got := SameHolder(c.holder, c.player); got != c.want {
			t.Errorf("SameHolder(%q, %q) = %v", c.holder, c.player, got)
		}
		if SameHolder(c.player, c.holder) != SameHolder(c.holder, c.player) {
			t.Errorf("not symmetric: %q, %q", c.holder, c.player)
		}
	}
}
