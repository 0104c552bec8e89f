package main

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// testdata/defences.yaml says how each defence is taken away, and which test
// then fails. Listing them is quick and part of every run; proving them builds
// the program once for each: make proofs.

// change takes a piece of code away.
type change struct {
	File   string `yaml:"file"`
	Code   string `yaml:"code"`   // stands there exactly once
	Broken string `yaml:"broken"` // instead; it compiles
}

// defence is a row of the attack catalogue, or one of several of it.
type defence struct {
	Row    string `yaml:"row"`
	What   string `yaml:"what"`
	change `yaml:",inline"`
	And    []change `yaml:"and"`   // the second line, where one covers the other
	In     string   `yaml:"in"`    // the tests' folder, if it is not the file's
	Tests  []string `yaml:"tests"` // each of them must fail
	None   string   `yaml:"none"`  // why the row has no code to take away
}

func (d *defence) folder() string {
	if d.In != "" {
		return d.In
	}
	return filepath.Dir(d.File)
}

func (d *defence) String() string { return d.Row + " " + d.What }

// demandedRows are those that must be there.
func demandedRows() []string {
	rows := strings.Fields("C19 C25 C31 C32 C33 C34 C35 C41 C42 C43 C44")
	for letter, last := range map[string]int{"A": 35, "B": 32, "D": 10} {
		for n := range last {
			rows = append(rows, fmt.Sprintf("%s%02d", letter, n+1))
		}
	}
	return rows
}

func readDefences(t *testing.T) []*defence {
	t.Helper()
	f, err := os.Open("testdata/defences.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []*defence
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

// without gives the texts of the files that a defence is taken away from.
func (d *defence) without(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, c := range append([]change{d.change}, d.And...) {
		text, known := files[c.File]
		if !known {
			raw, err := os.ReadFile(filepath.Join(root, c.File))
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		if n := strings.Count(text, c.Code); c.Code == "" || n != 1 || c.Code == c.Broken {
			return nil, fmt.Errorf("%s: the code to take away stands there %d times, and must once: %q", c.File, n, c.Code)
		}
		files[c.File] = strings.Replace(text, c.Code, c.Broken, 1)
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".go") {
			if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// TestDefencesAreListed: what the list names is there, and every row is listed.
func TestDefencesAreListed(t *testing.T) {
	root, list := testkit.Root(t), readDefences(t)
	missing := map[string]bool{}
	for _, row := range demandedRows() {
		missing[row] = true
	}
	for _, d := range list {
		delete(missing, d.Row)
		if d.None != "" {
			continue
		}
		if _, err := d.without(root); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		have := testsIn(t, filepath.Join(root, d.folder()))
		for _, name := range d.Tests {
			if !have[name] {
				t.Errorf("%s: there is no %s in %s", d, name, d.folder())
			}
		}
		if d.What == "" || len(d.Tests) == 0 {
			t.Errorf("%s: it must say what is defended and by which tests", d.Row)
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing is listed for %v", slices.Sorted(maps.Keys(missing)))
	}
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

var testNames sync.Map // by folder

func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	if names, ok := testNames.Load(folder); ok {
		return names.(map[string]bool)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	names := map[string]bool{}
	for _, f := range files {
		text, err2 := os.ReadFile(f)
		if err2 != nil {
			err = err2
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	testNames.Store(folder, names)
	return names
}

// TestDefencesAreProven takes each defence away and sees its tests fail that
// pass with it. RIALTO_PROOFS is 1, or the rows to prove: A12,B07.
func TestDefencesAreProven(t *testing.T) {
	wanted := os.Getenv("RIALTO_PROOFS")
	if wanted == "" {
		t.Skip("it takes long: make proofs")
	}
	root := testkit.Root(t)
	folders := map[string][]*defence{}
	for _, d := range readDefences(t) {
		if d.None == "" && (wanted == "1" || slices.Contains(strings.Split(wanted, ","), d.Row)) {
			folders[d.folder()] = append(folders[d.folder()], d)
		}
	}
	if len(folders) == 0 {
		t.Fatalf("RIALTO_PROOFS=%s names no row", wanted)
	}
	slots := make(chan struct{}, 2)
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		t.Run(folder, func(t *testing.T) {
			proveFolder(t, root, folder, folders[folder], slots)
		})
	}
}

// proveFolder first sees the tests of a folder pass, and then each defence's
// fail without it. Slots bounds how many are built at once.
func proveFolder(t *testing.T, root, folder string, list []*defence, slots chan struct{}) {
	var names []string
	for _, d := range list {
		names = append(names, d.Tests...)
	}
	slices.Sort(names)
	whole := goTest(t, root, folder, slices.Compact(names), "")
	for _, d := range list {
		t.Run(d.Row, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, name := range d.Tests {
				if whole.ended("SKIP", name) {
					testkit.Missing(t, "RIALTO_REQUIRE_TOOLS", "what "+name+" needs is not installed")
				}
				if !whole.ended("PASS", name) {
					t.Fatalf("%s does not pass as the code stands:\n%s", name, whole.tail())
				}
			}
			broken := goTest(t, root, folder, d.Tests, overlay(t, root, d))
			if strings.Contains(string(broken), "[build failed]") {
				t.Fatalf("%s: the code without it does not compile:\n%s", d, broken.tail())
			}
			for _, name := range d.Tests {
				if !broken.ended("FAIL", name) {
					t.Fatalf("%s: without the defence %s does not fail:\n%s", d, name, broken.tail())
				}
			}
			t.Logf("%s: without it %s fails: %s", d, strings.Join(d.Tests, " and "), broken.complaint())
		})
	}
}

// overlay writes the broken files, and what tells the compiler to take them.
func overlay(t *testing.T, root string, d *defence) string {
	t.Helper()
	files, err := d.without(root)
	if err != nil {
		t.Fatal(err)
	}
	dir, replace := t.TempDir(), map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		replace[filepath.Join(root, name)] = path
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	path := filepath.Join(dir, "overlay.json")
	if err == nil {
		err = os.WriteFile(path, list, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// outcome is what go test -v has said.
type outcome string

// ended reports whether a test ended so: a build that failed ended none.
func (o outcome) ended(how, test string) bool {
	return strings.Contains("\n"+string(o), "\n--- "+how+": "+test+" (")
}

// complaint is the first thing that a test has said of what it saw.
func (o outcome) complaint() string { return strings.TrimSpace(complaint.FindString(string(o))) }

var complaint = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: .*$|^panic: .*$`)

func (o outcome) tail() string { return string(o[max(0, len(o)-3000):]) }

func goTest(t *testing.T, root, folder string, names []string, overlay string) outcome {
	t.Helper()
	args := []string{"test", "-v", "-count=1", "-vet=off", "-timeout=10m", "-run", "^(" + strings.Join(names, "|") + ")$"}
	env := os.Environ()
	if overlay != "" {
		args, env = append(args, "-overlay", overlay), append(env, "RIALTO_BROWSER_PATIENCE=40s")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./"+folder)...)
	cmd.Dir, cmd.Env = root, env
	out, _ := cmd.CombinedOutput() // a failure is what is looked for; the output says of which kind
	return outcome(out)
}
