package names

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// perturb writes the name of a person in ways that are not those of the
// labelled files: other letters are hit, other romanisations chosen.
var perturb = map[string]func(r *rand.Rand, given, family []string) string{
	"order":     func(_ *rand.Rand, g, f []string) string { return words(f) + " " + words(g) },
	"comma":     func(_ *rand.Rand, g, f []string) string { return strings.ToUpper(words(f)) + "," + words(g) },
	"field":     func(_ *rand.Rand, g, f []string) string { return field(words(g) + "/" + words(f)) },
	"swap":      func(r *rand.Rand, g, f []string) string { return damage(r, g, f, swapped) },
	"drop":      func(r *rand.Rand, g, f []string) string { return damage(r, g, f, dropped) },
	"double":    func(r *rand.Rand, g, f []string) string { return damage(r, g, f, doubled) },
	"vowel":     func(r *rand.Rand, g, f []string) string { return damage(r, g, f, otherVowel) },
	"joined":    func(_ *rand.Rand, g, f []string) string { return strings.Join(g, "") + " " + strings.Join(f, "") },
	"hyphen":    func(_ *rand.Rand, g, f []string) string { return strings.Join(g, "-") + " " + strings.Join(f, "-") },
	"title":     func(_ *rand.Rand, g, f []string) string { return "Herrn Dipl.-Ing. " + words(g) + " " + words(f) },
	"more":      func(_ *rand.Rand, g, f []string) string { return words(g) + " Theodor " + words(f) },
	"one given": func(_ *rand.Rand, g, f []string) string { return g[0] + " " + words(f) },
	"german":    func(_ *rand.Rand, g, f []string) string { return german.Replace(words(g) + " " + words(f)) },
	"french":    func(_ *rand.Rand, g, f []string) string { return french.Replace(words(g) + " " + words(f)) },
}

var (
	german = strings.NewReplacer("Sh", "Sch", "sh", "sch", "Ch", "Tsch", "ch", "tsch", "V", "W", "v", "w", "Y", "J", "y", "j", "Zh", "Sch", "zh", "sch")
	french = strings.NewReplacer("Sh", "Ch", "sh", "ch", "u", "ou", "U", "Ou", "Kh", "Kh", "j", "dj", "J", "Dj")
)

func words(w []string) string { return strings.Join(w, " ") }

// field is how a payment message carries it: capitals of the EPC set, 35 long.
func field(name string) string {
	name = strings.ToUpper(strings.ReplaceAll(Fold(strings.ReplaceAll(name, "/", " ")), "  ", " "))
	return name[:min(len(name), 35)]
}

// damage changes one letter inside the longest word.
func damage(r *rand.Rand, given, family []string, how func(*rand.Rand, []rune, int) []rune) string {
	all := append(append([]string{}, given...), family...)
	longest := 0
	for i, w := range all {
		if len(w) > len(all[longest]) {
			longest = i
		}
	}
	letters := []rune(all[longest])
	all[longest] = string(how(r, letters, 1+r.IntN(len(letters)-2)))
	return words(all)
}

func swapped(_ *rand.Rand, l []rune, i int) []rune {
	l[i], l[i+1] = l[i+1], l[i]
	return l
}

func dropped(_ *rand.Rand, l []rune, i int) []rune { return append(l[:i:i], l[i+1:]...) }

func doubled(_ *rand.Rand, l []rune, i int) []rune {
	return append(append(l[:i+1:i+1], l[i]), l[i+1:]...)
}

func otherVowel(r *rand.Rand, l []rune, _ int) []rune {
	for i := range l {
		if i > 0 && strings.ContainsRune("aeiou", l[i]) {
			l[i] = []rune("aeiou")[r.IntN(5)]
			break
		}
	}
	return l
}

// persons picks listed persons with a given and a family name, long enough to
// be damaged.
func persons(r *rand.Rand, l *List, n int) (ids []string, given, family [][]string) {
	for _, i := range r.Perm(len(l.Entries)) {
		e := &l.Entries[i]
		last, first, ok := strings.Cut(e.Name(), ", ")
		if e.Kind != KindPerson || !ok || len(e.Name()) < 12 || strings.ContainsFunc(e.Name(), func(c rune) bool { return unicode.IsDigit(c) || c == '(' }) {
			continue
		}
		ids, given = append(ids, e.ID), append(given, strings.Fields(first))
		var capital []string
		for _, w := range strings.Fields(last) {
			capital = append(capital, w[:1]+strings.ToLower(w[1:]))
		}
		family = append(family, capital)
		if len(ids) == n {
			break
		}
	}
	return ids, given, family
}

// The threshold that ships fits names that were not used to find it: other
// persons of the lists, written otherwise, and other people who are on none.
func TestTheThresholdFitsOtherNames(t *testing.T) {
	l, x := realIndex(t)
	r := rand.New(rand.NewPCG(6, 20261122))
	ids, given, family := persons(r, l, 60)
	found, all := 0, 0
	for _, how := range slices.Sorted(maps.Keys(perturb)) {
		n := 0
		for i, id := range ids {
			query := perturb[how](r, given[i], family[i])
			h := x.Screen(Query{Name: query}, 1)
			if len(h) > 0 && h[0].Score >= ScreenThreshold && sameEntry(x, h[0], id, words(given[i])+" "+words(family[i])) {
				n++
			} else if testing.Verbose() {
				t.Logf("%s: %q not found", how, query)
			}
		}
		t.Logf("%-10s %.3f", how, float64(n)/float64(len(ids)))
		if n*100 < len(ids)*85 {
			t.Errorf("%s: %d of %d", how, n, len(ids))
		}
		found, all = found+n, all+len(ids)
	}
	t.Logf("recall %.4f of %d", float64(found)/float64(all), all)
	if float64(found) < 0.95*float64(all) {
		t.Errorf("%d of %d found", found, all)
	}

	wrong, people := 0, 0
	for _, g := range strings.Fields("Agathe Benedikt Cosima Dagmar Ewald Friederike Gökhan Heike Irmgard Jolanta Korbinian Ludmilla Magdalena Norbert Ottilie Pasquale Roswitha Sławomir Tamara Ursula Valentina Wolfgang Zoltán Thị") {
		for _, f := range strings.Fields("Achterberg Brandstetter Cieślak Demirtaş Engelbrecht Fiedler Grünwald Hollenbach Iacob Jabłoński Kirchhoff Lombardi Meierhofer Nguyen Obermüller Papadakis Rautenberg Şimşek Thiessen Ullmann Vogelsang Wawrzyniak Yıldırım Zimmermann") {
			for _, name := range []string{g + " " + f, g + " Ali " + f, g + " Maria " + f, "Hassan " + g + " " + f} {
				people++
				if h := x.Screen(Query{Name: name}, 1); len(h) > 0 && h[0].Score >= ScreenThreshold {
					wrong++
					t.Logf("%s: %s %.3f", name, h[0].MatchedName, h[0].Score)
				}
			}
		}
	}
	t.Logf("false positives %d of %d", wrong, people)
	if wrong*100 > people {
		t.Errorf("%d of %d strangers are hits", wrong, people)
	}
}

// A name in another spelling is the name; a brother or
// a namesake is not.
func TestThePairThresholdFitsOtherNames(t *testing.T) {
	l, _ := realIndex(t)
	r := rand.New(rand.NewPCG(7, 20261122))
	_, given, family := persons(r, l, 200)
	right, extra, missed := 0, 0, 0
	for i := range given {
		name := words(given[i]) + " " + words(family[i])
		for _, how := range slices.Sorted(maps.Keys(perturb)) {
			if other := perturb[how](r, given[i], family[i]); Pair("Person", name, other) >= PairThreshold {
				right++
			} else {
				missed++
			}
		}
		j := (i + 1) % len(given)
		for _, other := range []string{words(given[j]) + " " + words(family[i]), words(given[i]) + " " + words(family[j]), words(given[j]) + " " + words(family[j])} {
			if Fold(other) != Fold(name) && Pair("Person", name, other) >= PairThreshold {
				extra++
				t.Logf("%q and %q", name, other)
			}
		}
	}
	f1 := 2 * float64(right) / float64(2*right+extra+missed)
	t.Logf("F1 %.3f (right %d, extra %d, missed %d)", f1, right, extra, missed)
	if f1 < 0.9 || extra*50 > 3*len(given) {
		t.Errorf("F1 %.3f, %d of %d strangers taken for one", f1, extra, 3*len(given))
	}
}

// sameEntry accepts another entry that carries the very name: a person may be
// on several lists.
func sameEntry(x *Index, h Hit, id, name string) bool {
	return h.EntryID == id || Pair("Person", h.MatchedName, name) >= ExactFloor
}
