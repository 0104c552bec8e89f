package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/sca"
)

// handset is a person with a browser that keeps a key, and a phone with the
// push app: what a payer has who has set himself up.
type handset struct {
	t       *testing.T
	h       *run.Hub
	s       *shop
	player  string
	key     *jose.Key
	jwk     []byte
	browser *http.Client
	logins  []psu.Credentials // at the bank, one a payment: a code is good once
	phone   string            // secret of the push app's session; "" without one
}

// newHandset makes a player of the shop with an account at the bank.
func newHandset(t *testing.T, h *run.Hub, b *bankServer, s *shop, player string) *handset {
	t.Helper()
	p := &handset{t: t, h: h, s: s, player: player}
	created, err := b.Operator.Create(t.Context(), "sandbank", psu.NewCustomers{Count: 4, User: player, Holder: "Anna Beispiel", BalanceMinor: 10_000_000})
	p.must(err)
	p.logins = created
	key, err := jose.GenerateKey(jose.ES256, rand.Reader, time.Now())
	p.must(err)
	private, err := key.MarshalJWK()
	p.must(err)
	var members map[string]any
	p.must(json.Unmarshal(private, &members))
	members["kid"] = "device"
	private, err = json.Marshal(members)
	p.must(err)
	p.key, err = jose.ParseKey(private)
	p.must(err)
	p.jwk, err = json.Marshal(map[string]any{"kty": "EC", "crv": "P-256", "x": members["x"], "y": members["y"]})
	p.must(err)
	p.browser = payer.NewClient(knownBrowser{p, &http.Transport{DialContext: payer.DialLoopback}})
	return p
}

func (p *handset) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// sign makes a compact JWS as WebCrypto does in browser and app.
func (p *handset) sign(payload []byte, at time.Time) string {
	p.t.Helper()
	detached, err := jose.SignDetached(p.key, payload, at)
	p.must(err)
	header, signature, _ := strings.Cut(detached, "..")
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
}

// knownBrowser does what known.js does: it signs for its cookie when a consent
// is sent.
type knownBrowser struct {
	p    *handset
	base http.RoundTripper
}

func (k knownBrowser) RoundTrip(r *http.Request) (*http.Response, error) {
	if secret, err := r.Cookie(sca.KnownCookie); err == nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/confirm") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		proof := k.p.sign([]byte("rialto-known:"+sca.SessionHash(secret.Value)), time.Now())
		form.Set("device_proof", base64.RawURLEncoding.EncodeToString(k.p.jwk)+"."+proof)
		sent := form.Encode()
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(sent)), int64(len(sent))
	}
	return k.base.RoundTrip(r)
}

// authentication is the hub's own, beside its process: on the same database.
func authentication(t *testing.T, h *run.Hub) *sca.Service {
	t.Helper()
	s, err := sca.New(sca.Config{Origin: strings.Replace(h.PublicURL, "127.0.0.1", "localhost", 1)}, sca.Deps{Store: h.Store})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *handset) person() string { return p.h.Store.PersonID(p.s.ID, p.player) }

// enrol sets an app for codes and the push app up.
func (p *handset) enrol() {
	p.t.Helper()
	ctx, service := p.t.Context(), authentication(p.t, p.h)
	token, err := service.EnrolPayer(ctx, p.person())
	p.must(err)
	secret, err := service.OpenEnrolment(ctx, token)
	p.must(err)
	by, err := service.Session(ctx, sca.SessionEnrol, secret, true)
	p.must(err)
	pair, err := service.PairDevice(ctx, by)
	p.must(err)
	var number string
	p.phone, number, err = service.RegisterDevice(ctx, pair, "Phone", p.jwk, p.sign([]byte("rialto-device:"+pair), time.Now()))
	p.must(err)
	id, err := service.Pairing(ctx, by)
	p.must(err)
	p.must(service.ConfirmDevice(ctx, by, id, number))
	by, err = service.Refreshed(ctx, by)
	p.must(err)
	setup, err := service.BeginTOTP(ctx, by, "anna")
	p.must(err)
	code, err := psu.TOTP(setup.Key, time.Now())
	p.must(err)
	p.must(service.ConfirmTOTP(ctx, by, setup.FactorID, code, "App"))
}

// start asks for a deposit and lets him go as far as he gets: asked is the page
// on which he has to confirm first, "" when he has paid.
func (p *handset) start(minor int64) (paymentID, asked string) {
	p.t.Helper()
	d := p.s.deposit("Anna Beispiel")
	d.Amount, d.Player.Reference = psd2.Euro(minor), p.player
	created := p.s.create(p.t, d)
	login := p.logins[0]
	p.logins = p.logins[1:]
	walk := payer.Payer{Client: p.browser, Bank: "sandbank", Credentials: login, Now: time.Now, Stays: true}
	r, err := walk.Pay(p.t.Context(), created.HostedPage.URL)
	if errors.Is(err, payer.ErrNotPossible) {
		_, page := p.ask(http.MethodGet, "/pay/"+created.ID, "", "")
		if link := regexp.MustCompile(`href="(/sca/pay/[^"]+)"`).FindStringSubmatch(page); link != nil {
			return created.ID, link[1]
		}
		p.t.Fatalf("no way on: %s", page)
	}
	p.must(err)
	if r.Situation == "failed" {
		return created.ID, "failed"
	}
	p.s.await(p.t, created.ID, psd2.EventSettled, psd2.EventExecuted)
	until(p.t, func() bool { // the history follows the journal
		var n int
		return p.h.Store.Get(p.t.Context(), &n, `SELECT COUNT(*) FROM sca_transfers WHERE payment_id = ?`, created.ID) == nil && n == 1
	})
	return created.ID, ""
}

// ask sends a request to the hub with this browser's cookies.
func (p *handset) ask(method, path, body, contentType string, cookies ...*http.Cookie) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.h.PublicURL+path, bytes.NewReader([]byte(body)))
	p.must(err)
	req.Header.Set("Origin", p.h.PublicURL)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := p.browser.Do(req)
	p.must(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	p.must(err)
	return res.StatusCode, string(text)
}

// device is the push app's cookie.
func (p *handset) device() *http.Cookie {
	return &http.Cookie{Name: "__Host-rs_device", Value: p.phone}
}

// live opens the push app's stream; next waits for an event of that name.
func (p *handset) live() (next func(event string)) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.h.PublicURL+"/sca/device/live", nil)
	p.must(err)
	req.AddCookie(p.device())
	res, err := p.browser.Transport.RoundTrip(req)
	p.must(err)
	p.t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	return func(event string) {
		p.t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+event {
				return
			}
		}
		p.t.Fatalf("the stream ended before %q: %v", event, lines.Err())
	}
}

// answer has the push app decide what waits for it.
func (p *handset) answer(decision string) {
	p.t.Helper()
	cookie := p.device()
	_, body := p.ask(http.MethodGet, "/sca/device/challenges", "", "", cookie)
	var waiting struct {
		Challenges []sca.PushChallenge `json:"challenges"`
	}
	p.must(json.Unmarshal([]byte(body), &waiting))
	if len(waiting.Challenges) != 1 {
		p.t.Fatalf("%d challenges wait: %s", len(waiting.Challenges), body)
	}
	c := waiting.Challenges[0]
	payload, err := json.Marshal(map[string]string{"challenge": c.ID, "decision": decision, "link_hash": c.LinkHash, "number": "",
		"text": c.Display.Text, "text_hash": c.Display.Hash()})
	p.must(err)
	sent, err := json.Marshal(map[string]string{"jws": p.sign(payload, time.Unix(c.IssuedAt, 0))})
	p.must(err)
	if status, text := p.ask(http.MethodPost, "/sca/device/answer", string(sent), "application/json", cookie); status != http.StatusOK {
		p.t.Fatalf("the app's answer: %d %s", status, text)
	}
}

// decision is the policy's last one about a payment.
func (p *handset) decision(paymentID string) sca.Kept {
	p.t.Helper()
	list, err := authentication(p.t, p.h).Decisions(p.t.Context(), paymentID)
	p.must(err)
	if len(list) == 0 {
		p.t.Fatal("nothing was decided")
	}
	return list[len(list)-1]
}

// unmonitored keeps the rules of monitoring out of tests of the policy's own.
const unmonitored = "compliance: {disabled: true}\n"

// shopAt is a hub on a bank, and a shop.
func shopAt(t *testing.T, config string) (*bankServer, *run.Hub, *shop) {
	t.Helper()
	b := startBank(t)
	h := startHub(t, hubConfig(t, b, config), nil)
	return b, h, openShop(t, h, h.PublicURL, "hook", nil)
}

// TestPaymentIsJudgedByTheOnesBefore: what a payer has paid decides what his
// next payment asks of him, and fraud takes the exemption for transaction risk
// away (RTS Art. 18, 19).
func TestPaymentIsJudgedByTheOnesBefore(t *testing.T) {
	t.Parallel()
	b, h, s := shopAt(t, unmonitored)
	anna, bert := newHandset(t, h, b, s, "player-anna"), newHandset(t, h, b, s, "player-bert")
	anna.enrol()
	bert.enrol()

	first, asked := anna.start(2000)
	if k := anna.decision(first); asked != "" || k.Facts.History != (sca.History{}) || slices.Contains(k.Decision.Exemptions, sca.TRA) {
		t.Errorf("the first payment: asked %q, %+v", asked, k)
	}
	second, asked := anna.start(2000)
	k := anna.decision(second)
	if h := k.Facts.History; asked != "" || h.Usual != 2000 || h.Count != 1 || h.Sum != 2000 || !slices.Contains(k.Decision.Exemptions, sca.TRA) {
		t.Errorf("the second payment: asked %q, %+v", asked, k)
	}

	// The same amount, of which only Anna's is ten times what is usual for her:
	// the other may confirm with any factor, she with a strong one.
	_, annas := anna.start(25000)
	_, berts := bert.start(25000)
	_, annasPage := anna.ask(http.MethodGet, annas, "", "")
	_, bertsPage := bert.ask(http.MethodGet, berts, "", "")
	if strings.Contains(annasPage, `data-test="pay-code"`) || !strings.Contains(annasPage, `data-test="pay-push"`) {
		t.Errorf("Anna may confirm an unusual amount with a code:\n%s", annasPage)
	}
	if !strings.Contains(bertsPage, `data-test="pay-code"`) {
		t.Errorf("Bert is asked for more than the rules do:\n%s", bertsPage)
	}

	// Her bank calls the first one back as fraud: 2000 of 4000 is far above every
	// band's reference rate.
	if _, err := h.Store.UpdatePayment(t.Context(), first, func(p *psd2.Payment) error { p.RecallRequested("FRAD", time.Now()); return nil }); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		var n int
		return h.Store.Get(t.Context(), &n, `SELECT COUNT(*) FROM sca_transfers WHERE fraud = 1`) == nil && n == 1
	})
	third, _ := anna.start(2000)
	if k := anna.decision(third); slices.Contains(k.Decision.Exemptions, sca.TRA) || k.Facts.Fraud.Fraudulent != 2000 || !k.Facts.Device.Known {
		t.Errorf("after fraud: %+v", k)
	}
}

// TestPaymentThatIsNotHisEndsAndIsLookedInto: "this wasn't me", in the app, ends
// the payment, raises an alert, and weighs on the payments that follow.
func TestPaymentThatIsNotHisEndsAndIsLookedInto(t *testing.T) {
	t.Parallel()
	b, h, s := shopAt(t, "")
	anna := newHandset(t, h, b, s, "player-anna")
	anna.enrol()
	id, asked := anna.start(150000) // a large one has to be confirmed
	if status, page := anna.ask(http.MethodPost, asked+"/push", "", "application/x-www-form-urlencoded"); status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, page)
	}
	orders := len(b.initiations())
	anna.answer(sca.DecideNotMe)
	s.await(t, id, psd2.EventFailed)
	p, err := s.Client.Get(t.Context(), id)
	if err != nil || p.FailureReason != psd2.ReasonAuthenticationFailed || len(b.initiations()) != orders {
		t.Errorf("%+v %v", p, err)
	}
	if _, page := anna.ask(http.MethodGet, "/pay/"+id, "", ""); !strings.Contains(page, `data-situation="confirm_reported"`) {
		t.Errorf("the page says:\n%s", page)
	}
	var alert struct {
		Rule   string `db:"rule"`
		Person string `db:"entity_key"`
		Object string `db:"object_id"`
	}
	err = h.Store.Get(t.Context(), &alert, `SELECT rule, entity_key, object_id FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id WHERE family = 'authentication'`)
	if err != nil || alert.Rule != "SCA_NOT_ME" || alert.Person != anna.person() || alert.Object != id {
		t.Errorf("%+v %v", alert, err)
	}
	next, asked := anna.start(500)
	if k := anna.decision(next); asked == "" || k.Decision.Level != sca.Strong || k.Facts.Risk.Score < 40 || !slices.Contains(k.Facts.Risk.Reasons, sca.NotMe) {
		t.Errorf("a small payment afterwards: asked %q, %+v", asked, k)
	}
}

// TestMerchantMayAskForMore: his wish stands beside the policy's; the stricter
// one counts.
func TestMerchantMayAskForMore(t *testing.T) {
	t.Parallel()
	b, h, s := shopAt(t, unmonitored)
	anna := newHandset(t, h, b, s, "player-anna")
	anna.enrol()
	for _, c := range []struct {
		wish  psd2.MerchantSCA
		minor int64
		code  bool // may be confirmed with a code
		asked bool
	}{
		{psd2.SCAByPolicy, 2000, false, false},
		{psd2.SCAAlways, 2000, true, true},
		{psd2.SCAStrong, 2000, false, true},
		{psd2.SCAAlways, 150000, false, true}, // the policy wants more than he does
	} {
		s.SCA = c.wish
		anna.must(run.PutMerchant(t.Context(), h.Store, &s.Merchant))
		_, asked := anna.start(c.minor)
		if (asked != "") != c.asked {
			t.Errorf("%s, %d: asked %q", c.wish, c.minor, asked)
		}
		if !c.asked || asked == "" {
			continue
		}
		_, page := anna.ask(http.MethodGet, asked, "", "")
		if strings.Contains(page, `data-test="pay-code"`) != c.code {
			t.Errorf("%s, %d:\n%s", c.wish, c.minor, page)
		}
	}
}
