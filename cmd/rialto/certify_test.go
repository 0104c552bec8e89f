package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// certificate is the document as promised, read strictly.
type certificate struct {
	Banks []struct {
		ID      string `json:"id"`
		Passed  int    `json:"passed"`
		Failed  int    `json:"failed"`
		Skipped int    `json:"skipped"`
		Checks  []struct {
			ID      string `json:"id"`
			Title   string `json:"title"`
			Outcome string `json:"outcome"`
			Detail  string `json:"detail"`
			Took    int64  `json:"took_ns"`
		} `json:"checks"`
	} `json:"banks"`
}

// TestEveryOpenSandboxBankIsCertified: each bank that takes orders, every check
// of the suite, none of them failed.
func TestEveryOpenSandboxBankIsCertified(t *testing.T) {
	t.Parallel()
	var c certificate
	oneDocument(t, must(t, "certify", "--bank", "all", "--json"), &c)
	var ids []string
	for _, b := range c.Banks {
		ids = append(ids, b.ID)
		if b.Failed != 0 || b.Passed < 20 || b.Passed+b.Failed+b.Skipped != len(bankstest.Checks()) || len(b.Checks) != len(bankstest.Checks()) {
			t.Errorf("%s: %d passed, %d failed, %d skipped, %d checks", b.ID, b.Passed, b.Failed, b.Skipped, len(b.Checks))
		}
		for i, want := range bankstest.Checks() {
			if got := b.Checks[i]; got.ID != want.ID || got.Title != want.Title || got.Outcome == bankstest.Failed || got.Took <= 0 {
				t.Errorf("%s: %+v", b.ID, got)
			}
		}
	}
	if got := strings.Join(ids, " "); got != "sandbank deichbank heidebank kranichbank muehlenbank hafenbank lindenbank moorbank inselbank foerdebank sturmbank" { // ebbebank is closed
		t.Errorf("certified were %q", got)
	}
}

// TestCertifyReadsTheSandboxsConfiguration: somebody else's banks, in words.
func TestCertifyReadsTheSandboxsConfiguration(t *testing.T) {
	t.Parallel()
	config := write(t, t.TempDir(), "banks.yaml", "url: https://bank.localhost:1\nbanks:\n  - {id: testbank, final: ACSC, holder: never}\n  - {id: shut, down: true}\n")
	out := must(t, "certify", "--bank", "all", "--config", config)
	if !strings.Contains(out, fmt.Sprintf("testbank: %d passed, 0 failed, 8 skipped\n", len(bankstest.Checks())-8)) || strings.Contains(out, "shut") ||
		strings.Count(out, "\n") != len(bankstest.Checks())+1 {
		t.Errorf("%s", out)
	}
}

// twice is a transport that sends every order again, which no adapter may.
type twice struct{ next http.RoundTripper }

func (w twice) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return w.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	r.Body, again.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	if res, err := w.next.RoundTrip(again); err == nil {
		_ = res.Body.Close()
	}
	return w.next.RoundTrip(r)
}

// TestAdapterThatSendsTwiceIsNotCertified: the command says so and exits 1.
func TestAdapterThatSendsTwiceIsNotCertified(t *testing.T) {
	t.Parallel()
	adapters := map[string]banks.Factory{"berlingroup": func(e banks.Entry, d banks.Deps) (banks.Bank, error) {
		d.Wrap = func(_ string, rt http.RoundTripper) http.RoundTripper { return twice{rt} }
		return berlingroup.Open(e, d)
	}}
	var out bytes.Buffer
	err := certifyAdapters(env{t.Context(), &out, io.Discard}, []string{"--bank", "heidebank", "--json"}, adapters)
	if !errors.Is(err, errFinding) {
		t.Fatalf("%v: %s", err, out.String())
	}
	var c certificate
	oneDocument(t, out.String(), &c)
	failed := map[string]string{}
	for _, check := range c.Banks[0].Checks {
		if check.Outcome == bankstest.Failed {
			failed[check.ID] = check.Detail
		}
	}
	if len(failed) != c.Banks[0].Failed {
		t.Errorf("%d failed, the document counts %d", len(failed), c.Banks[0].Failed)
	}
	for _, id := range []string{"one-request", "lost-request", "lost-answer"} {
		if !strings.Contains(failed[id], "2 requests") {
			t.Errorf("%s: %q", id, failed[id])
		}
	}
}

func TestCertifyRefusesWhatItCannotCertify(t *testing.T) {
	t.Parallel()
	_, hub := site(t, "")
	shut := write(t, t.TempDir(), "banks.yaml", "banks: [{id: shut, down: true}]")
	for _, c := range []struct{ args, says string }{
		{"", "which bank?"},
		{"--bank", "usage"},
		{"--bank sandbank extra", "0 arguments"},
		{"--bank nowhere", "Certify needs a bank whose books"},
		{"--bank ebbebank", "closed"},
		{"--bank all --config " + shut, "every bank of this sandbox is closed"},
		{"--bank testbank --config " + hub, "bankstest.Target"},
	} {
		code, out, errs := rialto(t, append([]string{"certify"}, strings.Fields(c.args)...)...)
		if code != 2 || out != "" || !strings.Contains(errs, c.says) || !strings.Contains(errs, "usage") || strings.Count(errs, "\n") > 12 {
			t.Errorf("certify %s: exit %d, stdout %q, stderr %q", c.args, code, out, errs)
		}
	}
	if code, _, errs := rialto(t, "certify", "--bank", "all", "--config", "/nowhere/banks.yaml"); code != 1 || errs == "" {
		t.Errorf("a file that is not there: exit %d, %q", code, errs)
	}
}

// TestInterruptedCertifyBlamesNoAdapter: what ends with the command is not a
// failed check.
func TestInterruptedCertifyBlamesNoAdapter(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := dispatch(env{ctx, &out, &errs}, []string{"certify", "--bank", "sandbank", "--json"})
	if code != 1 || out.Len() != 0 || !strings.Contains(errs.String(), "stopped during") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}

// TestCertifyHasNoTestFlags: the suite is part of the program, the flags of go
// test are not. Only a program that was built without them can tell.
func TestCertifyHasNoTestFlags(t *testing.T) {
	t.Parallel()
	if flag.CommandLine.Lookup("test.run") == nil {
		t.Fatal("this binary has no test flags: what is looked for has another name")
	}
	program := t.TempDir() + "/flags"
	source := write(t, t.TempDir(), "main.go", `package main

import (
	"flag"
	"fmt"

	_ "github.com/rialto-hub/rialto/banks/bankstest"
)

func main() { flag.VisitAll(func(f *flag.Flag) { fmt.Println(f.Name) }) }
`)
	if out, err := exec.CommandContext(t.Context(), testkit.Tool(t, "go"), "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	if err != nil || len(out) != 0 {
		t.Errorf("flags of a program that holds the suite: %s %v", out, err)
	}
	code, _, errs := rialto(t, "certify", "-h")
	if code != 0 || strings.Contains(errs, "test.") || !strings.Contains(errs, "-bank") {
		t.Errorf("certify -h: exit %d, %s", code, errs)
	}
}
