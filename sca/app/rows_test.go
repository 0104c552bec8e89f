package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/sca"
)

// Cookies of the room.
const (
	enrolCookie  = "__Host-rs_enrol"
	deviceCookie = "__Host-rs_device"
	phoneCookie  = "__Host-rs_phone"
)

// holding is a client that holds a cookie, and one that sends another of the same
// name with it.
func (w *world) holding(name, value string) *http.Client {
	w.t.Helper()
	c, u := w.client(), w.address("/")
	c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
	return c
}

func (w *world) address(path string) *url.URL {
	w.t.Helper()
	u, err := url.Parse(w.origin + path)
	must(w.t, err)
	return u
}

// bound is the client of the payment page.
func (w *world) bound() *http.Client { return w.holding(boundCookie, boundSecret) }

func payPath(c sca.Challenge) string { return "/sca/pay/" + paymentID + "/" + c.ID }

// handedOver is a challenge that a phone has taken over, with the phone.
func (w *world) handedOver() (sca.Challenge, *http.Client) {
	w.t.Helper()
	w.clock.Add(time.Second) // the newest challenge is known by its time
	ch := w.begin(sca.Any, "en")
	token, err := w.sca.HandOver(w.t.Context(), ch.ID, sca.SessionHash(boundSecret))
	must(w.t, err)
	phone := w.client()
	if status, _, res := w.post(phone, "/sca/phone/"+token, nil); status != http.StatusSeeOther || res.Header.Get("Location") != payPath(ch) {
		w.t.Fatalf("%d %v", status, res.Header)
	}
	return ch, phone
}

// TestDesktopOnlyWatchesAfterHandOver: no form of the desktop does anything but
// take it back.
func TestDesktopOnlyWatchesAfterHandOver(t *testing.T) { // B26
	w := newWorld(t, false)
	w.withDevice()
	w.clock.Add(31 * time.Second)
	key := w.withMoreTOTP()
	w.pings.Store(0)
	for path, body := range map[string]url.Values{
		"/code": {"code": {w.code(key)}}, "/push": nil, "/phone": nil, "/more": nil, "/cancel": nil, "/passkey": nil,
	} {
		ch, phone := w.handedOver()
		desk := w.bound()
		if path == "/passkey" {
			w.do(desk, http.MethodPost, payPath(ch)+path, `{"response":"{}"}`, "Content-Type", "application/json", "Origin", w.origin)
		} else {
			w.post(desk, payPath(ch)+path, body)
		}
		latest, err := w.sca.Latest(t.Context(), paymentID, sca.SessionHash(boundSecret))
		must(t, err)
		if latest.ID != ch.ID || latest.State != sca.Open || latest.PushSent || !latest.HandedOn {
			t.Errorf("POST %s of the desktop: %+v", path, latest)
		}
		if status, text, _ := w.get(desk, payPath(ch)); status != http.StatusOK || strings.Count(text, "<form") != 1 || !strings.Contains(text, payPath(ch)+"/back") {
			t.Errorf("after POST %s the desktop shows %d %s", path, status, text)
		}
		if status, _, _ := w.post(phone, payPath(ch)+"/cancel", nil); status != http.StatusSeeOther || w.state(ch.ID) != sca.Cancelled {
			t.Errorf("the phone: %d, %s", status, w.state(ch.ID))
		}
	}
	if n := w.pings.Load(); n != 0 {
		t.Errorf("%d devices were asked", n)
	}
	ch, phone := w.handedOver()
	w.post(w.bound(), payPath(ch)+"/back", nil)
	if status, _, _ := w.post(phone, payPath(ch)+"/code", url.Values{"code": {w.code(key)}}); status != http.StatusNotFound {
		t.Errorf("the phone after it was taken back: %d", status)
	}
	w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {w.code(key)}})
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the desktop that took it back: %s", s)
	}
}

// TestAnswersComeFromWhereTheirAddressIs: by code, by passkey, and from a phone
// that was handed the payment; who is asked again for it is told why.
func TestAnswersComeFromWhereTheirAddressIs(t *testing.T) { // B25
	for name, answer := range map[string]func(*world) sca.Challenge{
		"code": func(w *world) sca.Challenge {
			key := w.withTOTP()
			ch := w.begin(sca.Any, "en")
			w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {w.code(key)}})
			return ch
		},
		"passkey": func(w *world) sca.Challenge {
			key := w.withPasskey()
			ch := w.begin(sca.Any, "en")
			response, err := key.Assert(ch.Options)
			must(w.t, err)
			body, err := json.Marshal(map[string]string{"response": string(response)})
			must(w.t, err)
			w.do(w.bound(), http.MethodPost, payPath(ch)+"/passkey", string(body), "Content-Type", "application/json", "Origin", w.origin)
			return ch
		},
		"phone": func(w *world) sca.Challenge {
			key := w.withTOTP()
			ch, phone := w.handedOver()
			w.post(phone, payPath(ch)+"/code", url.Values{"code": {w.code(key)}})
			return ch
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			if ch := answer(w); w.state(ch.ID) != sca.Approved || !w.elsewhere() {
				t.Fatalf("%s, from elsewhere: %t", w.state(ch.ID), w.elsewhere())
			}
			w.clock.Add(31 * time.Second)
			for again, want := range map[bool]int{true: 1, false: 0} {
				c, err := w.sca.Begin(t.Context(), sca.BeginRequest{PersonID: w.person, Level: sca.Any, Session: sca.SessionHash(boundSecret), Language: "en", Linked: linked(), Again: again})
				must(t, err)
				if _, text, _ := w.get(w.bound(), payPath(c)); strings.Count(text, "from another country") != want {
					t.Errorf("again %t: %s", again, text)
				}
			}
		})
	}
}

// TestStreamsOfOneReaderAreFew: a fifth is told to come later, and a place that
// was left is free.
func TestStreamsOfOneReaderAreFew(t *testing.T) {
	w := newWorld(t, false)
	device := w.holding(deviceCookie, w.pairedDevice())
	w.withMoreTOTP()
	pay := payPath(w.begin(sca.Any, "en")) + "/live"
	own := w.enrolled()
	for name, s := range map[string]struct {
		client *http.Client
		path   string
	}{"payment": {w.bound(), pay}, "device": {device, "/sca/device/live"}, "own factors": {own, "/sca/verify/live"}} {
		open := func() (status int, leave func()) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.origin+s.path, nil)
			must(t, err)
			res, err := s.client.Do(r)
			must(t, err)
			if res.StatusCode == http.StatusOK {
				_, err := bufio.NewReader(res.Body).ReadString('\n') // it is being served
				must(t, err)
			}
			return res.StatusCode, func() { cancel(); _ = res.Body.Close() }
		}
		if name == "own factors" { // its stream ends at once when nothing is asked
			must(t, w.sca.AskVerify(t.Context(), w.sessionOf(own), "en"))
		}
		leaves := []func(){}
		for range 4 {
			status, leave := open()
			if leaves = append(leaves, leave); status != http.StatusOK {
				t.Errorf("%s: %d", name, status)
			}
		}
		status, leave := open()
		if leave(); status != http.StatusTooManyRequests {
			t.Errorf("%s, a fifth: %d", name, status)
		}
		leaves[0]()
		for status = 0; status != http.StatusOK && t.Context().Err() == nil; { // the server notices when it does
			w.clock.Add(200 * time.Millisecond) // of the room's limit one request
			<-time.After(5 * time.Millisecond)
			status, leave = open()
			leave()
		}
		for _, leave := range leaves[1:] {
			leave()
		}
	}
}

// sessionOf is the session at one's own factors that a client holds.
func (w *world) sessionOf(c *http.Client) sca.Session {
	w.t.Helper()
	for _, cookie := range c.Jar.Cookies(w.address("/sca/")) {
		if cookie.Name == enrolCookie {
			s, err := w.sca.Session(w.t.Context(), sca.SessionEnrol, cookie.Value, false)
			must(w.t, err)
			return s
		}
	}
	w.t.Fatal("no session")
	return sca.Session{}
}

// TestFourthPushIsRefusedAndNobodyIsAsked: over the wire.
func TestFourthPushIsRefusedAndNobodyIsAsked(t *testing.T) { // A19
	w := newWorld(t, false)
	w.withDevice()
	desk := w.bound()
	w.pings.Store(0)
	for n := range 5 {
		ch := w.begin(sca.Strong, "en")
		status, text, _ := w.post(desk, payPath(ch)+"/push", nil)
		want := http.StatusSeeOther
		if n >= 3 {
			want = http.StatusTooManyRequests
			if !strings.Contains(text, "We cannot ask your phone again just now") {
				t.Errorf("push %d is answered %s", n+1, text)
			}
		}
		if status != want || w.pings.Load() != int64(min(n+1, 3)) {
			t.Errorf("push %d: %d, %d devices were asked", n+1, status, w.pings.Load())
		}
		w.post(desk, payPath(ch)+"/cancel", nil)
		w.clock.Add(time.Second)
	}
}

// TestCookiesSetByASiblingAreNotBelieved: of two of one name somebody else set
// one.
func TestCookiesSetByASiblingAreNotBelieved(t *testing.T) { // B10
	w := newWorld(t, false)
	device := w.pairedDevice()
	w.withMoreTOTP()
	own := w.enrolled()
	enrol := ""
	for _, c := range own.Jar.Cookies(w.address("/")) {
		if c.Name == enrolCookie {
			enrol = c.Value
		}
	}
	ch, phone := w.handedOver()
	handed := ""
	for _, c := range phone.Jar.Cookies(w.address("/")) {
		if c.Name == phoneCookie {
			handed = c.Value
		}
	}
	for _, c := range []struct{ name, value, path string }{
		{enrolCookie, enrol, "/sca/factors"}, {deviceCookie, device, "/sca/device/challenges"}, {phoneCookie, handed, payPath(ch)},
	} {
		bare := w.client()
		if status, _, _ := w.get(bare, c.path, "Cookie", c.name+"="+c.value); status != http.StatusOK {
			t.Fatalf("%s alone: %d", c.name, status)
		}
		for _, both := range []string{c.name + "=" + c.value + "; " + c.name + "=tossed", c.name + "=tossed; " + c.name + "=" + c.value, c.name + "=" + c.value + "; " + c.name + "=" + c.value} {
			if status, _, _ := w.get(bare, c.path, "Cookie", both); status != http.StatusUnauthorized && status != http.StatusNotFound {
				t.Errorf("%s: %d", both, status)
			}
		}
	}
}

// TestNobodyButAPersonSpendsALink: previews, prefetches and scanners fetch every
// link they see.
func TestNobodyButAPersonSpendsALink(t *testing.T) { // B12, R-21
	w := newWorld(t, false)
	w.withTOTP()
	ch := w.begin(sca.Any, "en")
	handover, err := w.sca.HandOver(t.Context(), ch.ID, sca.SessionHash(boundSecret))
	must(t, err)
	for link, want := range map[string]string{"/sca/phone/" + handover: payPath(ch), strings.TrimPrefix(w.enrolLink(), w.origin): "/sca/factors"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for name, header := range map[string][]string{
				"a preview": {"User-Agent", "WhatsApp/2.23"}, "a bot": {"User-Agent", "Slackbot-LinkExpanding 1.0"},
				"a prefetch": {"Sec-Purpose", "prefetch"}, "a prerender": {"Sec-Purpose", "prefetch;prerender"}, "a scanner": {"User-Agent", "SafeLinks"},
			} {
				status, _, res := w.do(w.client(), method, link, "", header...)
				if status != http.StatusOK || len(res.Cookies()) != 0 {
					t.Errorf("%s %s by %s: %d %v", method, link, name, status, res.Cookies())
				}
			}
		}
		if c, err := w.sca.Challenge(t.Context(), ch.ID, sca.SessionHash(boundSecret)); err != nil || c.HandedOn && strings.HasPrefix(link, "/sca/phone") {
			t.Errorf("it was handed over: %v", err)
		}
		if status, _, res := w.post(w.client(), link, nil); status != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("then a person: %d %s", status, res.Header.Get("Location"))
		}
	}
}

// TestOtherMethodsAreRefused: and no header or field makes one of them of a POST.
func TestOtherMethodsAreRefused(t *testing.T) { // B32
	w := newWorld(t, false)
	w.withTOTP()
	ch := w.begin(sca.Any, "en")
	c := w.bound()
	for _, path := range []string{payPath(ch), payPath(ch) + "/cancel", "/sca/factors", "/sca/device", "/sca/device/answer", "/sca/receipt"} {
		for _, method := range []string{http.MethodTrace, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodConnect} {
			if method == http.MethodConnect {
				continue // a client makes a tunnel of it
			}
			if status, text, _ := w.do(c, method, path, "", "Origin", w.origin); status != http.StatusMethodNotAllowed || strings.Contains(text, boundSecret) {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"} {
		w.do(c, http.MethodGet, payPath(ch)+"/cancel?_method=POST", "", header, "POST", "Origin", w.origin)
	}
	if s := w.state(ch.ID); s != sca.Open {
		t.Errorf("the challenge is %s", s)
	}
}

// TestPagesAreInNoFrame: there is no embedded mode, on any page of the room.
func TestPagesAreInNoFrame(t *testing.T) { // B30, B03
	w := newWorld(t, false)
	w.withTOTP()
	ch := w.begin(sca.Any, "en")
	for _, path := range []string{payPath(ch), "/sca/factors", "/sca/verify", "/sca/device", "/sca/receipt", "/sca/enrol/" + strings.Repeat("a", 43), "/sca/nowhere", "/sca/device/sw.js", "/sca/device/manifest.webmanifest"} {
		_, _, res := w.get(w.bound(), path+"?embedded=1")
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || res.Header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, res.Header)
		}
	}
}

// TestPushServicesAreKnownOnes: a paired device cannot make us call any address.
func TestPushServicesAreKnownOnes(t *testing.T) { // C31
	w := newWorld(t, false)
	device := w.holding(deviceCookie, w.pairedDevice())
	subscribe := func(c *http.Client, endpoint string) int {
		t.Helper()
		status, _, _ := w.do(c, http.MethodPost, "/sca/device/subscribe", `{"endpoint":"`+endpoint+`","auth":"AAAA","p256dh":"AAAA"}`, "Content-Type", "application/json", "Origin", w.origin)
		return status
	}
	good := "https://fcm.googleapis.com/fcm/send/abc"
	if status := subscribe(w.client(), good); status != http.StatusUnauthorized {
		t.Errorf("a device that is not paired: %d", status)
	}
	for _, endpoint := range []string{good, "https://updates.push.services.mozilla.com/wpush/v2/x", "https://web.push.apple.com/x", "https://db5.notify.windows.com/w/?token=x"} {
		if status := subscribe(device, endpoint); status != http.StatusNoContent {
			t.Errorf("%s: %d", endpoint, status)
		}
	}
	for _, endpoint := range []string{
		"http://fcm.googleapis.com/x", "https://fcm.googleapis.com:22/x", "https://fcm.googleapis.com:443/x", "https://user@fcm.googleapis.com/x", "https://fcm.googleapis.com@evil.example/x",
		"https://127.0.0.1/x", "https://2130706433/x", "https://0177.0.0.1/x", "https://0x7f000001/x", "https://[::1]/x", "https://[::ffff:127.0.0.1]/x", "https://[64:ff9b::7f00:1]/x",
		"https://[2002:7f00:1::]/x", "https://100.64.0.1/x", "https://169.254.169.254/latest/meta-data", "https://localhost/x", "https://pay.localhost/x",
		"https://evilfcm.googleapis.com/x", "https://fcm.googleapis.com.evil.example/x", "https://push.services.mozilla.com.evil.example/x", "https://evilpush.services.mozilla.com.example/x",
		"https://push.apple.com/x", "https://evilpush.apple.com/x", "https://fcm.googleapis.com./x", "ftp://fcm.googleapis.com/x", "//fcm.googleapis.com/x", "fcm.googleapis.com", "", "https:///x",
	} {
		if status := subscribe(device, endpoint); status != http.StatusBadRequest {
			t.Errorf("%q: %d", endpoint, status)
		}
	}
	sub, err := w.sca.SubscriptionOf(t.Context(), w.deviceID())
	must(t, err)
	if sub == nil || sub.Endpoint != "https://db5.notify.windows.com/w/?token=x" {
		t.Errorf("kept: %+v", sub)
	}
}

func (w *world) deviceID() (id string) {
	w.t.Helper()
	must(w.t, w.db.Get(w.t.Context(), &id, `SELECT id FROM sca_factors WHERE kind = 'push' AND state = 'active'`))
	return id
}

// TestLongCodesAndOtherHashesAreEnrolledAndUsed: over the pages, which say how
// many digits to type.
func TestLongCodesAndOtherHashesAreEnrolledAndUsed(t *testing.T) {
	for _, alg := range []string{"SHA1", "SHA256", "SHA512"} {
		w := newWorld(t, false, func(c *sca.Config) { c.TOTP = sca.TOTPParams{Algorithm: alg, Digits: 8} })
		c := w.enrolled()
		_, text, _ := w.post(c, "/sca/totp", nil)
		key := keyShown.FindStringSubmatch(text)[1]
		if !strings.Contains(text, "8 digits.") {
			t.Errorf("%s: the page asks for another length", alg)
		}
		factor := factorShown.FindStringSubmatch(text)[1]
		short := w.codeOf(key, alg, 8)[2:]
		if status, text, _ := w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor}, "code": {short}, "name": {"App"}}); status != http.StatusUnauthorized || !strings.Contains(text, "8 digits.") {
			t.Errorf("%s, six digits: %d", alg, status)
		}
		if status, _, _ := w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor}, "code": {w.codeOf(key, alg, 8)}, "name": {"App"}}); status != http.StatusSeeOther {
			t.Errorf("%s, eight digits: %d", alg, status)
		}
		w.clock.Add(31 * time.Second)
		ch := w.begin(sca.Any, "en")
		if _, text, _ := w.get(w.bound(), payPath(ch)); !strings.Contains(text, "8 digits.") {
			t.Errorf("%s: the payment page asks for another length", alg)
		}
		w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {w.codeOf(key, alg, 8)}})
		if s := w.state(ch.ID); s != sca.Approved {
			t.Errorf("%s: the challenge is %s", alg, s)
		}
	}
}

// TestBlockedWayIsUnblockedOnThePage: after a proof in another way.
func TestBlockedWayIsUnblockedOnThePage(t *testing.T) {
	w := newWorld(t, false)
	c := w.enrolled()
	_, text, _ := w.post(c, "/sca/totp", nil)
	key, factor := keyShown.FindStringSubmatch(text)[1], factorShown.FindStringSubmatch(text)[1]
	w.post(c, "/sca/totp/confirm", url.Values{"factor": {factor}, "code": {w.code(key)}, "name": {"App"}})
	if _, text, _ := w.get(c, "/sca/factors"); !strings.Contains(text, `data-test="fallback"`) {
		t.Error("with one factor and nothing to fall back on, recovery codes are not offered")
	}
	_, codes, _ := w.post(c, "/sca/recovery", nil)
	code := codeShown.FindStringSubmatch(codes)[1]
	if _, text, _ := w.get(c, "/sca/factors"); strings.Contains(text, `data-test="fallback"`) {
		t.Error("they are offered again")
	}
	ch := w.begin(sca.Any, "en")
	for range 5 {
		w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {"000000"}})
	}
	other := w.enrolled()
	if _, text, _ := w.get(other, "/sca/factors"); !strings.Contains(text, `data-test="blocked-totp"`) || strings.Contains(text, `data-test="unblock"`) {
		t.Errorf("before a proof: %s", text)
	}
	if status, _, res := w.post(other, "/sca/unblock", url.Values{"method": {"totp"}}); status != http.StatusSeeOther || res.Header.Get("Location") != "/sca/verify" {
		t.Errorf("without a proof: %d %s", status, res.Header.Get("Location"))
	}
	w.post(other, "/sca/verify", url.Values{"method": {"recovery"}, "code": {code}})
	if status, _, res := w.post(other, "/sca/unblock", url.Values{"method": {"totp"}}); status != http.StatusSeeOther || res.Header.Get("Location") != "/sca/factors?done=1" {
		t.Errorf("after a proof: %d %s", status, res.Header.Get("Location"))
	}
	if _, text, _ := w.get(other, "/sca/factors"); strings.Contains(text, `data-test="blocked-totp"`) || !strings.Contains(text, "A way was unblocked.") {
		t.Errorf("afterwards: %s", text)
	}
	w.clock.Add(31 * time.Second)
	w.post(w.bound(), payPath(ch)+"/code", url.Values{"code": {w.code(key)}})
	if s := w.state(ch.ID); s != sca.Approved {
		t.Errorf("the challenge is %s", s)
	}
}

// TestWhatThePageDoesByItselfProlongsNothing: only what a person does counts as
// use of his session.
func TestWhatThePageDoesByItselfProlongsNothing(t *testing.T) {
	w := newWorld(t, false)
	w.withTOTP()
	c := w.enrolled()
	for range 4 {
		w.clock.Add(time.Minute)
		w.get(c, "/sca/verify/live")
	}
	w.clock.Add(time.Minute)
	if status, _, _ := w.get(c, "/sca/factors"); status != http.StatusUnauthorized {
		t.Errorf("five minutes without use: %d", status)
	}
	c = w.enrolled()
	for range 4 {
		w.clock.Add(4 * time.Minute)
		if status, text, _ := w.do(c, http.MethodPost, "/sca/stay", `{}`, "Content-Type", "application/json", "Origin", w.origin); status != http.StatusOK || strings.TrimSpace(text) != `{"seconds":300}` {
			t.Errorf("somebody is there: %d %s", status, text)
		}
	}
	if status, _, _ := w.get(c, "/sca/factors"); status != http.StatusOK {
		t.Errorf("he was: %d", status)
	}
	if psd2.CodeOf(w.sca.MoreVerify(t.Context(), w.sessionOf(c))) != psd2.CodeConflict {
		t.Error("there is a question nobody asked")
	}
}
