package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
)

// canaries are personal and secret values that may be nowhere but in sealed
// columns, in requests and in answers to those who may read them.
type canaries struct {
	mu     sync.Mutex
	values map[string]string // value → what it is
}

func (c *canaries) add(what string, values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[string]string{}
	}
	for _, v := range values {
		if len(v) >= 6 {
			c.values[v] = what
		}
	}
}

// needle is one canary in all the shapes it may take.
type needle struct {
	what   string
	folded [][]byte // compared without case
	exact  [][]byte
	digits []byte // for short codes: alone, not within a longer number
}

func (c *canaries) needles() []needle {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []needle
	for v, what := range c.values {
		n := needle{what: what}
		if len(v) == 6 && strings.Trim(v, "0123456789") == "" {
			n.digits = []byte(v)
			list = append(list, n)
			continue
		}
		for _, s := range []string{v, hex.EncodeToString([]byte(v)), url.QueryEscape(v), url.PathEscape(v)} {
			n.folded = append(n.folded, bytes.ToLower([]byte(s)))
		}
		for shift := range 3 { // base64 of something longer that holds it
			text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:min(shift, 2)] + v))
			text = text[(shift*8+5)/6 : (shift+len(v))*8/6]
			n.exact = append(n.exact, []byte(text), []byte(strings.NewReplacer("+", "-", "/", "_").Replace(text)))
		}
		list = append(list, n)
	}
	return list
}

// in names the canaries that data holds.
func (n needle) in(data, folded []byte) bool {
	if n.digits != nil {
		return holdsNumber(data, n.digits)
	}
	for _, x := range n.folded {
		if bytes.Contains(folded, x) {
			return true
		}
	}
	for _, x := range n.exact {
		if bytes.Contains(data, x) {
			return true
		}
	}
	return false
}

// holdsNumber reports whether data holds the digits as a number of their own, and
// not in an id or a trace, in which by chance there is any.
func holdsNumber(data, digits []byte) bool {
	digit := func(i int) bool {
		return i >= 0 && i < len(data) && (data[i] >= '0' && data[i] <= '9' || data[i] == '.')
	}
	for at := 0; ; {
		i := bytes.Index(data[at:], digits)
		if i < 0 {
			return false
		}
		if at += i; !digit(at-1) && !digit(at+len(digits)) && hexRun(data, at) < 16 {
			return true
		}
		at++
	}
}

// hexRun is how long the hexadecimal word, with its dashes, at a place is.
func hexRun(data []byte, at int) int {
	other := func(r rune) bool { return !strings.ContainsRune("0123456789abcdef-", r) }
	left := bytes.LastIndexFunc(data[max(at-16, 0):at], other)
	right := bytes.IndexFunc(data[at:min(at+16, len(data))], other)
	if right < 0 {
		right = len(data[at:min(at+16, len(data))])
	}
	return right + len(data[max(at-16, 0):at]) - 1 - left
}

func found(needles []needle, data []byte) (list []string) {
	folded := bytes.ToLower(data)
	for _, n := range needles {
		if n.in(data, folded) {
			list = append(list, n.what)
		}
	}
	return list
}

// wiretap notes what goes between the hub and those who use it: addresses,
// problem answers, cookies, and the secrets that only the wire knows.
type wiretap struct {
	canaries *canaries
	base     http.RoundTripper

	mu       sync.Mutex
	urls     []string
	problems [][]byte
}

func (w *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		_, token, _ := strings.Cut(auth, " ")
		if strings.HasPrefix(token, "Stranger") {
			token = "" // not ours
		}
		w.canaries.add("access token", token, token[strings.LastIndexByte(token, '.')+1:])
	}
	if r.URL.Path == "/oauth/token" && r.GetBody != nil {
		body, _ := r.GetBody()
		text, _ := io.ReadAll(body)
		if form, err := url.ParseQuery(string(text)); err == nil {
			if assertion := form.Get("client_assertion"); strings.Count(assertion, ".") == 2 {
				w.canaries.add("client assertion", assertion, assertion[strings.LastIndexByte(assertion, '.')+1:])
			}
		}
	}
	res, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.URL.Hostname(), "bank.") { // the bank's own business
		return res, nil
	}
	for _, c := range res.Cookies() {
		if strings.Contains(c.Name, "rp_bank") || strings.Contains(c.Name, "lang") { // a preference, no secret
			continue
		}
		w.canaries.add("cookie "+c.Name, c.Value)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.urls = append(w.urls, r.URL.String(), res.Header.Get("Location"))
	if res.StatusCode >= 400 {
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(body))
		w.problems = append(w.problems, body)
	}
	return res, nil
}

// TestNothingPersonalOrSecretIsKeptInTheOpen: C39. A world in which every
// personal or secret value is a canary goes through good and bad days; then
// logs, metrics, problem answers, addresses and every file of the data
// directory are searched for each canary in several encodings.
func TestNothingPersonalOrSecretIsKeptInTheOpen(t *testing.T) {
	t.Parallel()
	log, dir := &buffer{}, t.TempDir()
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir, Log: newLog(log, -8)})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = w.Close() // the test has failed already
		}
	}()
	c := &canaries{}
	tap := &wiretap{canaries: c, base: &http.Transport{DialContext: payer.DialLoopback}}
	s := openShop(t, w.Hub, w.HubURL, "hook-canary-77", tap)
	secret, private, _ := s.secrets(t)
	c.add("webhook secret", secret, strings.TrimPrefix(secret, "whsec_"))
	c.add("webhook signing key", private, strings.TrimPrefix(private, "whsk_"))
	c.add("webhook address", "hook-canary-77")
	c.add("payee IBAN", string(shopIBAN))

	ids := goodAndBadDays(t, w, s, c, tap)

	needles := c.needles()
	if len(needles) < 30 {
		t.Fatalf("only %d canaries: the test proves little", len(needles))
	}
	search := func(where string, data []byte) {
		for _, what := range found(needles, data) {
			t.Errorf("%s holds the %s", where, what)
		}
	}
	res, err := http.Get(w.AdminURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || !bytes.Contains(metrics, []byte("rialto_db_commits_total")) {
		t.Fatalf("no metrics: %v", err)
	}
	search("/metrics", metrics)
	searchFiles(t, needles, dir, ids) // with the write-ahead log
	closed = true
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	searchFiles(t, needles, dir, ids)
	search("the log", []byte(log.String()))
	if n := strings.Count(log.String(), `"msg":"request"`); n < 30 || !strings.Contains(log.String(), ids[0]) {
		t.Errorf("the log has only %d requests: it was not what was searched", n)
	}
	for _, p := range tap.problems {
		search("a problem answer", p)
	}
	if len(tap.problems) < 12 {
		t.Errorf("only %d problem answers were seen", len(tap.problems))
	}
	searchAddresses(t, needles, tap.urls)
}

// searchAddresses allows the link token where it has its place, the merchant's
// own state on the way back to him, and what the test itself put into
// addresses.
func searchAddresses(t *testing.T, needles []needle, urls []string) {
	t.Helper()
	for _, u := range urls {
		for _, what := range found(needles, []byte(u)) {
			ok := what == "link token" && strings.Contains(u, "/p/") || what == "enrolment token" && strings.Contains(u, "/sca/enrol/") || what == "state" && strings.HasPrefix(u, "https://shop.localhost/back?") ||
				what == "stranger's words"
			if !ok && !strings.Contains(u, "player_reference=") {
				t.Errorf("an address holds the %s: %s", what, u)
			}
		}
	}
}

// searchFiles looks into every file but keys, the casino's books and the
// bank's ledger. That ledger and the ids prove that the search finds things.
func searchFiles(t *testing.T, needles []needle, dir string, ids []string) {
	t.Helper()
	own := map[string]bool{"casino.json": true, "casino-key.json": true, "hub/deployment.key": true, "hub/signing-keys.json": true}
	held := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // files come and go while the hub runs
		}
		name, _ := filepath.Rel(dir, path)
		for _, id := range ids {
			if bytes.Contains(data, []byte(id)) {
				top, _, _ := strings.Cut(strings.TrimPrefix(name, "hub/"), "/")
				held[strings.TrimSuffix(top, "-wal")] = true
			}
		}
		got := found(needles, data)
		switch {
		case strings.HasPrefix(name, "bank.db"):
			for _, what := range got {
				held["bank: "+what] = true
			}
		case own[name]:
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s can be read by others", name)
			}
		default:
			for _, what := range got {
				t.Errorf("%s holds the %s", name, what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"rialto.db", "jetstream", "bank: player's name", "bank: payer's IBAN"} {
		if !held[must] {
			t.Errorf("the search found nothing in %q, where something must be: %v", must, held)
		}
	}
}
