package app_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/sca"
)

// client is a browser without a screen: it keeps cookies and follows nothing.
func (w *world) client() *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	dial := &net.Dialer{}
	return &http.Client{Jar: secureJar{jar}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, network, w.server.Listener.Addr().String())
		}}}
}

// secureJar treats the loopback as trustworthy, as browsers do.
type secureJar struct{ *cookiejar.Jar }

func (j secureJar) SetCookies(u *url.URL, list []*http.Cookie) { j.Jar.SetCookies(secure(u), list) }
func (j secureJar) Cookies(u *url.URL) []*http.Cookie          { return j.Jar.Cookies(secure(u)) }

func secure(u *url.URL) *url.URL {
	s := *u
	s.Scheme = "https"
	return &s
}

func (w *world) get(c *http.Client, path string, header ...string) (int, string, *http.Response) {
	w.t.Helper()
	return w.do(c, http.MethodGet, path, "", header...)
}

// post sends a form as our own page does.
func (w *world) post(c *http.Client, path string, form url.Values, header ...string) (int, string, *http.Response) {
	w.t.Helper()
	if len(header) == 0 {
		header = []string{"Origin", w.origin, "Sec-Fetch-Site", "same-origin"}
	}
	return w.do(c, http.MethodPost, path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (w *world) do(c *http.Client, method, path, body string, header ...string) (int, string, *http.Response) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.origin+path, strings.NewReader(body))
	must(w.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	must(w.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(w.t, err)
	return res.StatusCode, string(text), res
}

// enrolled is a client at its own factors.
func (w *world) enrolled() *http.Client {
	w.t.Helper()
	c := w.client()
	link := strings.TrimPrefix(w.enrolLink(), w.origin)
	if status, text, _ := w.post(c, link, nil); status != http.StatusSeeOther {
		w.t.Fatalf("the link: %d %s", status, text)
	}
	return c
}

// What pages show once.
var (
	keyShown    = regexp.MustCompile(`data-test="key">([A-Z2-7]+)<`)
	factorShown = regexp.MustCompile(`name="factor" value="([a-z0-9_]+)"`)
	codeShown   = regexp.MustCompile(`<li>([0-9](?:-[A-Z2-7]{4}){4})</li>`)
)

func TestLinksAreSpentByAPressOnly(t *testing.T) { // B12, A15
	w := newWorld(t, false)
	link := strings.TrimPrefix(w.enrolLink(), w.origin)
	for range 3 {
		if status, _, _ := w.get(w.client(), link, "Sec-Purpose", "prefetch"); status != http.StatusOK {
			t.Fatalf("GET: %d", status)
		}
	}
	c := w.client()
	status, _, res := w.post(c, link, nil)
	if status != http.StatusSeeOther || res.Header.Get("Location") != "/sca/factors" {
		t.Fatalf("%d %v", status, res.Header)
	}
	for _, cookie := range res.Cookies() {
		if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
			t.Errorf("%+v", cookie)
		}
	}
	if status, text, _ := w.get(c, "/sca/factors"); status != http.StatusOK || !strings.Contains(text, "Your ways to confirm") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := w.post(w.client(), link, nil); status != http.StatusGone {
		t.Errorf("the link works twice: %d", status)
	}
}

func TestSecretsAreShownOnceAndNeverStored(t *testing.T) { // A16
	w := newWorld(t, false)
	c := w.enrolled()
	status, text, res := w.post(c, "/sca/totp", nil)
	key := keyShown.FindStringSubmatch(text)
	if status != http.StatusOK || key == nil || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", status, res.Header)
	}
	if strings.Contains(text, "otpauth://") {
		t.Error("the page holds the secret in an address")
	}
	for _, path := range []string{"/sca/totp", "/sca/recovery", "/sca/pair"} {
		if status, _, _ := w.get(c, path); status != http.StatusGone {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	factor := factorShown.FindStringSubmatch(text)
	if status, text, _ := w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor[1]}, "code": {"000000"}, "name": {"App"}}); status != http.StatusUnauthorized || strings.Contains(text, key[1]) {
		t.Errorf("after a wrong code: %d, and the secret is shown again: %t", status, strings.Contains(text, key[1]))
	}
	if status, _, _ := w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor[1]}, "code": {w.code(key[1])}, "name": {"App"}}); status != http.StatusSeeOther {
		t.Errorf("the right code: %d", status)
	}
	// Another session, no proof: nothing is added or shown.
	other := w.enrolled()
	for _, path := range []string{"/sca/totp", "/sca/recovery", "/sca/pair"} {
		if status, _, res := w.post(other, path, nil); status != http.StatusSeeOther || res.Header.Get("Location") != "/sca/verify" {
			t.Errorf("POST %s without proof: %d %s", path, status, res.Header.Get("Location"))
		}
	}
	w.clock.Add(31 * time.Second)
	if status, _, res := w.post(other, "/sca/verify", url.Values{"code": {w.code(key[1])}}); status != http.StatusSeeOther || res.Header.Get("Location") != "/sca/factors" {
		t.Errorf("the proof: %d", status)
	}
	if status, text, _ := w.post(other, "/sca/recovery", nil); status != http.StatusOK || strings.Count(text, "<li>") < 10 {
		t.Errorf("recovery codes: %d", status)
	}
}

func TestForeignPagesPostNothing(t *testing.T) { // B01
	w := newWorld(t, false)
	key := w.withTOTP()
	ch := w.begin(sca.Any, "en")
	c := w.client()
	w.get(c, "/start?id="+ch.ID)
	path := "/sca/pay/" + paymentID + "/" + ch.ID
	for name, header := range map[string][]string{
		"another origin":          {"Origin", "http://evil.localhost", "Sec-Fetch-Site", "cross-site"},
		"a sibling":               {"Origin", "http://x.pay.localhost", "Sec-Fetch-Site", "same-site"},
		"only the cookie":         {"X-Nothing", "1"},
		"a null origin":           {"Origin", "null"},
		"an origin, but not ours": {"Origin", w.origin + "0"},
	} {
		if status, _, _ := w.post(c, path+"/code", url.Values{"code": {w.code(key)}}, header...); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := w.post(c, path+"/code", url.Values{"code": {w.code(key)}}); status != http.StatusSeeOther {
		t.Errorf("our own page: %d", status)
	}
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the challenge is %s", s)
	}
}

func TestStrangersSeeNoChallenge(t *testing.T) { // A10, B11, B31
	w := newWorld(t, false)
	w.withTOTP()
	ch := w.begin(sca.Any, "en")
	path := "/sca/pay/" + paymentID + "/" + ch.ID
	_, none, _ := w.get(w.client(), "/sca/pay/"+paymentID+"/chl_01m7w6c478e4r9w60vqcy4mvph")
	for _, sub := range []string{"", "/live"} {
		status, text, res := w.get(w.client(), path+sub)
		if status != http.StatusNotFound || text != none && sub == "" {
			t.Errorf("%s: %d", sub, status)
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s may be framed", sub)
		}
	}
	for range 10 {
		if status, _, _ := w.post(w.client(), path+"/code", url.Values{"code": {"000000"}}); status != http.StatusNotFound {
			t.Errorf("%d", status)
		}
	}
	var tries int
	must(t, w.db.Get(t.Context(), &tries, `SELECT COALESCE(SUM(failures), 0) FROM sca_attempts WHERE method = 'totp'`))
	if tries != 0 {
		t.Errorf("strangers' tries count: %d", tries)
	}
	c := w.client()
	w.get(c, "/start?id="+ch.ID)
	if status, _, _ := w.get(c, path+"/live", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a foreign page listens: %d", status)
	}
}

// TestEveryFailedConfirmationLooksTheSameAndCostsTheSame: over the wire, a wrong
// code, a right one while the method is locked, and none at all give the same
// bytes for the same number of transactions.
func TestEveryFailedConfirmationLooksTheSameAndCostsTheSame(t *testing.T) { // A12
	w := newWorld(t, false)
	key := w.withTOTP()
	ch := w.begin(sca.Any, "en")
	c := w.client()
	w.get(c, "/start?id="+ch.ID)
	path := "/sca/pay/" + paymentID + "/" + ch.ID + "/code"
	wrong := "000000"
	if w.code(key) == wrong {
		wrong = "000001"
	}
	try := func(code string) (status int, text string, committed uint64) {
		t.Helper()
		before, _ := w.db.Stats()
		status, text, _ = w.post(c, path, url.Values{"code": {code}})
		after, _ := w.db.Stats()
		return status, text, after - before
	}
	status, text, committed := try(wrong)
	for range 4 {
		try(wrong)
	}
	for name, code := range map[string]string{"locked, wrong": wrong, "locked, right": w.code(key), "no code": ""} {
		s, b, n := try(code)
		if s != status || b != text || n != committed {
			t.Errorf("%s: %d after %d transactions, a wrong code %d after %d; same page: %t", name, s, n, status, committed, b == text)
		}
	}
	if w.state(ch.ID) != sca.Open {
		t.Error("one of them confirmed it")
	}
}

func TestEveryFailedSignInLooksTheSame(t *testing.T) { // A12
	w := newWorld(t, true)
	_, _, err := w.staff.Add(t.Context(), "olga", "Olga Operator", []string{"operator"})
	must(t, err)
	var first string
	for _, login := range []string{"olga", "nobody", "x y", ""} {
		status, text, _ := w.post(w.client(), "/staff/login", url.Values{"login": {login}, "password": {"guess guess guess"}, "code": {"123456"}, "next": {"//evil.example"}})
		if first == "" {
			first = text
		}
		if status != http.StatusUnauthorized || text != first || strings.Contains(text, "evil") {
			t.Errorf("%q: %d, told apart: %t", login, status, text != first)
		}
	}
	if status, _, _ := w.get(w.client(), "/sca/device"); status != http.StatusNotFound {
		t.Errorf("the consoles' origin has the payers' pages: %d", status)
	}
}
