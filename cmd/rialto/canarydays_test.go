package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// goodAndBadDays lets everything happen that leaves traces, and returns the
// ids of the payments.
func goodAndBadDays(t *testing.T, w *demo.World, s *shop, c *canaries, tap *wiretap) (ids []string) {
	operator := psu.Operator{Client: payer.NewClient(nil), Origin: w.BankURL}
	customer := func(user string, balance int64, behaviour string) psu.Credentials {
		list, err := operator.Create(t.Context(), "sandbank", psu.NewCustomers{
			Count: 1, User: user, Password: "Pass-Canary-" + user, Holder: "Quetzalia Xylophanes", BalanceMinor: balance, Behaviour: behaviour,
		})
		if err != nil {
			t.Fatal(err)
		}
		x := list[0]
		c.add("bank user", x.User)
		c.add("bank password", x.Password)
		c.add("phone's secret", x.TOTPSecret)
		for _, a := range x.Accounts {
			c.add("payer's IBAN", a.IBAN, a.IBAN[4:], psd2.IBAN(a.IBAN).Grouped())
		}
		for step := -1; step <= 2; step++ {
			code, err := psu.TOTP(x.TOTPSecret, time.Now().Add(time.Duration(step)*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			c.add("bank code", code)
		}
		return x
	}
	create := func(name string) *apiclient.Payment {
		p := s.create(t, canaryDeposit(s, name))
		u, err := url.Parse(p.HostedPage.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.add("link token", strings.TrimPrefix(u.Path, "/p/"))
		ids = append(ids, p.ID)
		return p
	}
	c.add("player's name", "Quetzalia", "Xylophanes")
	c.add("player's reference", "player-canary-1")
	c.add("birth date", "1931-07-29")
	c.add("reference", "Refcanary 0815")
	c.add("state", "State-Canary-22")
	c.add("metadata", "meta-canary-33", "Meta Value Canary 44")
	c.add("device id", "device-canary-55")
	c.add("browser", "Canarybrowser")
	c.add("stranger's words", "Stranger-Canary-66")
	c.add("receiver's answer", "answer-canary-88")
	tapped := browserNamed{tap, "Mozilla/5.0 Canarybrowser/1.0"}

	paid := create("Quetzalia Xylophanes")
	payAt(t, paid.HostedPage.URL, customer("usercanary1", 1_000_000, ""), psu.Wish{}, tapped)
	s.await(t, paid.ID, psd2.EventCreditable)
	if _, err := s.Client.PaymentEvents(t.Context(), paid.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.List(t.Context(), url.Values{"player_reference": {"player-canary-1"}}); err != nil {
		t.Fatal(err)
	}

	declined := create("Quetzalia Xylophanes")
	payAt(t, declined.HostedPage.URL, customer("usercanary2", 1_000_000, ""), psu.Wish{Decline: true}, tapped)
	s.await(t, declined.ID, psd2.EventAttemptFailed)
	if _, err := s.Client.Cancel(t.Context(), declined.ID, rand.Text()); err != nil {
		t.Fatal(err)
	}
	s.await(t, declined.ID, psd2.EventFailed)

	for user, behaviour := range map[string]string{"usercanary3": "", "usercanary4": "blocked"} {
		refused := create("Quetzalia Xylophanes")
		payAt(t, refused.HostedPage.URL, customer(user, 1, behaviour), psu.Wish{}, tapped)
		s.await(t, refused.ID, psd2.EventAttemptFailed)
	}

	stranger := create("Somebody Else") // the account's holder is not the player
	payAt(t, stranger.HostedPage.URL, customer("usercanary5", 1_000_000, ""), psu.Wish{}, tapped)
	s.await(t, stranger.ID, psd2.EventSettled)

	for _, fault := range []string{"lose_before", "lose_after", "down"} {
		p := create("Quetzalia Xylophanes")
		change := map[string]any{fault: 1}
		if fault == "down" {
			change = map[string]any{"down": true}
		}
		if err := operator.Switch(t.Context(), "sandbank", change); err != nil {
			t.Fatal(err)
		}
		person := payer.Payer{Client: payer.NewClient(tapped), Bank: "sandbank", Now: time.Now}
		_, _ = person.Pay(t.Context(), p.HostedPage.URL) // it can't work
		if err := operator.Switch(t.Context(), "sandbank", map[string]any{"down": false}); err != nil {
			t.Fatal(err)
		}
	}
	receiverFails(t, s, create("Quetzalia Xylophanes"))
	if paid, err := s.Client.Get(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	} else {
		badRequests(t, s, tap, paid)
	}
	operatorLooks(t, w, c, tap)
	return ids
}

// receiverFails refuses one delivery with words of the receiver's own.
func receiverFails(t *testing.T, s *shop, p *apiclient.Payment) {
	failed := make(chan struct{})
	s.mu.Lock()
	s.answer = func(w http.ResponseWriter) {
		s.answer = nil
		http.Error(w, "answer-canary-88", http.StatusInternalServerError)
		close(failed)
	}
	s.mu.Unlock()
	if _, err := s.Client.Cancel(t.Context(), p.ID, rand.Text()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-failed:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was delivered")
	}
}

func canaryDeposit(s *shop, name string) apiclient.Deposit {
	d := s.deposit(name)
	d.Player.Reference, d.Player.DateOfBirth = "player-canary-1", "1931-07-29"
	d.Reference, d.State, d.DeviceID = "Refcanary 0815", "State-Canary-22", "device-canary-55"
	d.Metadata = map[string]string{"meta-canary-33": "Meta Value Canary 44"}
	return d
}

// browserNamed sends a User-Agent, as payers' browsers do.
type browserNamed struct {
	http.RoundTripper
	name string
}

func (b browserNamed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", b.name)
	return b.RoundTripper.RoundTrip(r)
}

// badRequests sends what a confused or hostile client sends, full of canaries.
func badRequests(t *testing.T, s *shop, tap *wiretap, paid *apiclient.Payment) {
	token, err := s.Client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(canaryDeposit(s, "Quetzalia Xylophanes"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := jose.GenerateKey(jose.ES256, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	for i, bad := range []struct {
		method, target string
		body           []byte
		key            *jose.Key
		token          string
	}{
		{"POST", "/v1/payments", good, other, token},                                                                   // wrong signature
		{"POST", "/v1/payments", good, nil, token},                                                                     // none
		{"POST", "/v1/payments", good, s.Key, "Stranger-Canary-66"},                                                    // no token of ours
		{"POST", "/v1/payments", good, s.Key, token[:len(token)-9]},                                                    // a broken one
		{"POST", "/v1/payments", replace(`"state":"`, `"status":"Stranger-Canary-66`), s.Key, token},                   // unknown key
		{"POST", "/v1/payments", replace(`"amount_minor":2500`, `"amount_minor":"Stranger-Canary-66"`), s.Key, token},  // wrong type
		{"POST", "/v1/payments", replace(`"EUR"`, `"Stranger-Canary-66"`), s.Key, token},                               // no such currency
		{"POST", "/v1/payments", replace("shop.localhost/back", "shop.localhost/Stranger-Canary-66"), s.Key, token},    // unregistered
		{"POST", "/v1/payments", replace(s.AccountID, "Stranger-Canary-66"), s.Key, token},                             // no such account
		{"POST", "/v1/payments", replace("Refcanary 0815", "Refcanary 0815 Stranger-Canary-66 <>&%$§"), s.Key, token},  // not EPC
		{"POST", "/v1/payments", append(good, good...), s.Key, token},                                                  // trailing data
		{"GET", "/v1/payments?Stranger-Canary-66=Refcanary", nil, nil, token},                                          // unknown filter
		{"GET", "/v1/payments/Stranger-Canary-66", nil, nil, token},                                                    // no such payment
		{"GET", "/v1/events?after=Stranger-Canary-66", nil, nil, token},                                                // no such event
		{"GET", "/p/Stranger-Canary-66", nil, nil, ""},                                                                 // no such link
		{"GET", "/pay/" + paid.ID, nil, nil, ""},                                                                       // not his browser
		{"GET", "/return/" + paid.Attempts[0].ID + "?state=Stranger-Canary-66&code=Stranger-Canary-66", nil, nil, ""},  // forged callback
		{"POST", "/oauth/token", []byte("grant_type=client_credentials&client_assertion=Stranger-Canary-66"), nil, ""}, // no assertion
		{"GET", "/Stranger-Canary-66", nil, nil, ""},                                                                   // nowhere
		{"Stranger-Canary-66", "/v1/payments", nil, nil, token},                                                        // no method
	} {
		req, err := http.NewRequestWithContext(t.Context(), bad.method, s.URL+bad.target, bytes.NewReader(bad.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(bad.target, "/oauth/") {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if bad.token != "" {
			req.Header.Set("Authorization", "Bearer "+bad.token)
		}
		key := fmt.Sprintf("bad-%d", i)
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set("X-Forwarded-For", "Stranger-Canary-66")
		if bad.key != nil {
			signature, err := jose.SignRequest(bad.key, bad.method, bad.target, []jose.Header{{Name: "Idempotency-Key", Value: key}}, bad.body, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(jose.HeaderSignature, signature)
		}
		res, err := (&http.Client{Transport: tap, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode < 300 {
			t.Errorf("bad request %d got %d", i, res.StatusCode)
		}
	}
}

// operatorLooks signs an operator in, rightly and wrongly, and searches for
// people.
func operatorLooks(t *testing.T, w *demo.World, c *canaries, tap *wiretap) {
	client := payer.NewClient(tap)
	post := func(path string, form url.Values) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.Hub.StaffOrigin+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", w.Hub.StaffOrigin)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	post("/staff/login", url.Values{"login": {"Stranger-Canary-66"}, "password": {"Stranger-Canary-66"}, "code": {"Stranger-Canary-66"}})
	link, err := run.Enrol(t.Context(), w.Hub.Staff, w.Hub.StaffOrigin, "olga", "Olga Operator", "operator")
	if err != nil {
		t.Fatal(err)
	}
	c.add("enrolment token", link[strings.LastIndex(link, "/")+1:])
	signIn(t, client, link)
	origin, err := url.Parse(w.Hub.StaffOrigin)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range client.Jar.Cookies(origin) {
		c.add("operator's session", cookie.Value)
	}
	for _, q := range []string{"Refcanary 0815", string(shopIBAN), "Stranger-Canary-66"} {
		if status := post("/search", url.Values{"q": {q}}); status >= 500 {
			t.Errorf("search: %d", status)
		}
	}
}
