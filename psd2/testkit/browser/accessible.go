package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// looks are the ways in which a page is looked at. 320 px is also what 1280 px
// are at 400 % zoom (WCAG 1.4.10).
var looks = []struct {
	name     string
	width    int64
	features map[string]string
}{
	{"light", 1280, map[string]string{"prefers-color-scheme": "light"}},
	{"dark", 1280, map[string]string{"prefers-color-scheme": "dark"}},
	{"320 px, less motion", 320, map[string]string{"prefers-color-scheme": "light", "prefers-reduced-motion": "reduce"}},
	{"320 px, forced colours", 320, map[string]string{"prefers-color-scheme": "dark", "forced-colors": "active"}},
}

// finding is a rule of axe-core that a page breaks.
type finding struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML   string `json:"html"`
		Target []any  `json:"target"`
	} `json:"nodes"`
}

// Axe loads axe-core, so that Accessible can be asked. Without npm the test is
// skipped.
func (b *Browser) Axe() {
	b.t.Helper()
	dir := testkit.Node(b.t, filepath.Join(testkit.Root(b.t), "psd2", "testkit", "browser", "testdata", "axe"))
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.axe = string(script)
}

// Accessible fails the test for whatever axe-core finds on the present page,
// light and dark, wide and narrow, and with forced colours; when it must be
// scrolled sideways at 320 px, moves although the reader wants less motion, or
// has a button that forced colours make invisible. It leaves the window wide
// and light.
func (b *Browser) Accessible(page string) {
	b.t.Helper()
	for _, look := range looks {
		b.Do("set the window", chromedp.EmulateViewport(look.width, 900))
		var features []*emulation.MediaFeature
		for name, value := range look.features {
			features = append(features, &emulation.MediaFeature{Name: name, Value: value})
		}
		Send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		for _, what := range b.findings() {
			b.t.Errorf("%s, %s, %s: %s", b.name, page, look.name, what)
		}
	}
	b.Look(1280, false)
}

// ownChecks are what axe-core does not look at.
const ownChecks = `(() => {
	const bad = [];
	const root = document.documentElement;
	if (root.scrollWidth > root.clientWidth) {
		const wide = [...document.querySelectorAll("main *, header *, footer *")].find((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(".scroll, .vh"));
		bad.push("it must be scrolled sideways: " + (wide ? wide.outerHTML.slice(0, 200) : "?"));
	}
	for (const e of document.querySelectorAll("*")) {
		const s = getComputedStyle(e);
		if (matchMedia("(prefers-reduced-motion: reduce)").matches && (parseFloat(s.transitionDuration) > 0 || s.animationName !== "none")) bad.push("it moves: " + e.outerHTML.slice(0, 200));
		if (matchMedia("(forced-colors: active)").matches && e.matches("button.button, a.button") && parseFloat(s.borderTopWidth) === 0) bad.push("a button without a border: " + e.outerHTML.slice(0, 200));
	}
	return bad;
})()`

func (b *Browser) findings() (list []string) {
	b.t.Helper()
	list = Value(b, chromedp.Evaluate[[]string](ownChecks))
	loaded := Value(b, chromedp.Evaluate[bool](b.axe+"; true"))
	if !loaded {
		b.t.Fatal("axe-core was not loaded")
	}
	text := Value(b, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	var found []finding
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		var nodes []string
		for _, n := range f.Nodes {
			nodes = append(nodes, n.HTML[:min(len(n.HTML), 200)])
		}
		list = append(list, fmt.Sprintf("%s (%s): %s", f.ID, f.Help, strings.Join(nodes, " | ")))
	}
	return list
}
