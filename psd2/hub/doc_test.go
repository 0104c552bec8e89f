package hub_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/bankstest"
)

// TestDocNamesTestsThatExist: a rule is held only by tests that are there.
func TestDocNamesTestsThatExist(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, dir := range []string{".", "..", "../sim", "../../banks", "../../cmd/rialto"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(doc), -1)
	if len(names) < 15 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(code.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
	checks := map[string]bool{}
	for _, c := range bankstest.Checks() {
		checks[c.ID] = true
	}
	_, list, _ := strings.Cut(string(doc), "banks/bankstest: the checks ")
	list, _, _ = strings.Cut(list, "\n")
	for _, id := range strings.Split(list, ", ") {
		if !checks[id] {
			t.Errorf("there is no check %q", id)
		}
	}
}
