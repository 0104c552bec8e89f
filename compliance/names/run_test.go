package names

import (
	"errors"
	"strings"
	"testing"
)

func TestScreenWritesOneRowPerNameInOrder(t *testing.T) {
	x := NewIndex(listOf("ROSTAMIAN, Kambiz", "VELIKHANOV, Ruslan"))
	var out strings.Builder
	tally, err := RunScreen(&out, strings.NewReader("\ufeffquery\r\nRuslan Velikhanov\r\nXq Zzw\r\n\r\nKambis Rostamyan\r\n"), x, RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "query\tscore\tentry_id\tentry_name" || len(lines) != 6 || lines[5] != "" {
		t.Fatalf("lines %q", lines)
	}
	if !strings.HasPrefix(lines[1], "Ruslan Velikhanov\t0.9") || !strings.HasSuffix(lines[1], "\tt:2\tVELIKHANOV, Ruslan") {
		t.Errorf("first %q", lines[1])
	}
	if lines[2] != "Xq Zzw\t0.000000\t\t" || lines[3] != "\t0.000000\t\t" {
		t.Errorf("without hits %q, %q", lines[2], lines[3])
	}
	if !strings.HasSuffix(lines[4], "\tt:1\tROSTAMIAN, Kambiz") {
		t.Errorf("last %q", lines[4])
	}
	if tally != (Tally{Rows: 4, Findings: 2, Nameless: 1}) {
		t.Errorf("tally %+v", tally)
	}
}

func TestScreenFindsItsColumn(t *testing.T) {
	x := NewIndex(listOf("ROSTAMIAN, Kambiz"))
	for _, c := range []struct {
		column, in string
		rows       int
		wrong      bool
	}{
		{"", "Kambiz Rostamian\n", 1, false},
		{"", "id\tname\n7\tKambiz Rostamian\n", 1, false},
		{"2", "id\tname\n7\tKambiz Rostamian\n", 1, false},
		{"2", "7\tKambiz Rostamian\n8\tKambiz Rostamian\n", 2, false},
		{"who", "id\tWho\n7\tKambiz Rostamian\n", 1, false},
		{"2", "7\tKambiz Rostamian\n8\n", 2, false}, // a short row is a row without a name
		{"2", "entity_id\tbearer\n7\tKambiz Rostamian\n", 1, false},
		{"2", "Alias\tLISTED NAME\tvariant\nx\tKambiz Rostamian\ty\n", 1, false},
		{"", "id\tholder\n7\tKambiz Rostamian\n", 1, false},
		{"9", "id\tname\n7\tKambiz Rostamian\n", 0, true}, // read past its names, everybody would look unlisted
		{"3", "Person,Kambiz Rostamian,Anna Koch\n", 0, true},
		{"0", "a\n", 0, true},
		{"nowhere", "id\tname\n", 0, true},
		{"", "", 0, false},
	} {
		var out strings.Builder
		tally, err := RunScreen(&out, strings.NewReader(c.in), x, RunOptions{Column: c.column})
		if (err != nil) != c.wrong || tally.Rows != c.rows {
			t.Errorf("column %q of %q: %+v, %v", c.column, c.in, tally, err)
		}
		if c.rows > 0 && tally.Findings != 1+strings.Count(c.in, "8\tKambiz") {
			t.Errorf("column %q of %q: %d findings in %q", c.column, c.in, tally.Findings, out.String())
		}
		if c.rows > 0 && !c.wrong && len(strings.Split(out.String(), "\n")) != c.rows+2 {
			t.Errorf("column %q of %q: %q", c.column, c.in, out.String())
		}
	}
}

func TestPairsWriteOneRowPerPairInOrder(t *testing.T) {
	var out strings.Builder
	in := "note,name2,schema,name1\nx,\"ROSTAMIAN, Kambiz\",Person,Kambiz Rostamian\ny,Anna Meyer,Person,Otto Kunz\n"
	tally, err := RunPairs(&out, strings.NewReader(in))
	if err != nil || tally != (Tally{Rows: 2, Findings: 1}) {
		t.Fatalf("%+v %v", tally, err)
	}
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "name1\tname2\tscore" || !strings.HasPrefix(lines[1], "Kambiz Rostamian\tROSTAMIAN, Kambiz\t0.9") || !strings.HasPrefix(lines[2], "Otto Kunz\tAnna Meyer\t0.") {
		t.Errorf("lines %q", lines)
	}
	for _, bad := range []string{"", "name1,other\na,b\n"} {
		if _, err := RunPairs(&out, strings.NewReader(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// A quote that somebody wrote as a letter spoils neither its pair nor another.
func TestPairsWithBareQuotesAreCompared(t *testing.T) {
	var out strings.Builder
	in := "\ufeffschema,name1,name2\r\n" +
		`Person,John "Jack" Smith,Smith John Jack` + "\r\n\r\n" +
		`Person,"Jack" Smith,Jack Smith` + "\r\n" +
		`Person,"Rostamian, Kambiz "Kam"",Kambiz Rostamian` + "\r\n" +
		`Person,"Kambiz` + "\n" + `Rostamian",Kambiz Rostamian` + "\n" +
		`Person,"Anna Koch,Anna Koch` + "\n" +
		`Person,Anna Koch,Otto Kunz`
	tally, err := RunPairs(&out, strings.NewReader(in))
	if err != nil || tally.Rows != 6 || tally.Findings != 5 {
		t.Fatalf("%+v %v\n%s", tally, err, out.String())
	}
	for _, want := range []string{"\nJohn \"Jack\" Smith\tSmith John Jack\t", "\n\"Jack\" Smith\tJack Smith\t", "\nRostamian, Kambiz \"Kam\"\tKambiz Rostamian\t",
		"\nKambiz Rostamian\tKambiz Rostamian\t", "\n\"Anna Koch\tAnna Koch\t", "\nAnna Koch\tOtto Kunz\t"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestRunReportsAFullDisk(t *testing.T) {
	x := NewIndex(listOf("ROSTAMIAN, Kambiz"))
	if _, err := RunScreen(full{}, strings.NewReader("Kambiz Rostamian\n"), x, RunOptions{}); !errors.Is(err, errFull) {
		t.Errorf("screen: %v", err)
	}
	if _, err := RunPairs(full{}, strings.NewReader("name1,name2\na,b\n")); !errors.Is(err, errFull) {
		t.Errorf("pairs: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
