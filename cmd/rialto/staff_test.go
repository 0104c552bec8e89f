package main

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
	"github.com/rialto-hub/rialto/sca"
)

// operator adds an operator to a running hub and signs the client in as him.
func operator(t *testing.T, h *run.Hub, client *http.Client) {
	t.Helper()
	link, err := run.Enrol(t.Context(), h.Staff, h.StaffOrigin, "olga", "Olga Operator", "operator")
	if err != nil {
		t.Fatal(err)
	}
	signIn(t, client, link)
}

// signIn does what somebody new does with the link he was given: he enrols a
// passkey, then signs in with it. The client holds his session afterwards.
func signIn(t *testing.T, client *http.Client, link string) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	origin := u.Scheme + "://" + u.Host
	key, err := passkey.New(origin)
	if err != nil {
		t.Fatal(err)
	}
	post := func(path string, question, answer any) {
		t.Helper()
		body, err := json.Marshal(question)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= http.StatusBadRequest {
			t.Fatalf("%s: %d %s %v", strings.ReplaceAll(path, u.Path, "the link"), res.StatusCode, text, err)
		}
		if answer != nil {
			if err := json.Unmarshal(text, answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	type credential struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Response string `json:"response"`
	}
	var begun struct {
		ID          string
		Create, Get json.RawMessage
	}
	post(u.Path, nil, nil)
	post("/sca/passkey/options", struct{}{}, &begun)
	proof, err := key.Attest(begun.Create)
	if err != nil {
		t.Fatal(err)
	}
	post("/sca/passkey", credential{begun.ID, "Test", string(proof)}, nil)
	post("/staff/login/options", struct{}{}, &begun)
	if proof, err = key.Assert(begun.Get); err != nil {
		t.Fatal(err)
	}
	post("/staff/login/passkey", credential{begun.ID, "/payments", string(proof)}, nil)
}

// TestPagesOfStaffOpenForTheSignedInAlone: the operators' and the officers'
// origins know no other way in than a person's own passkey, and each its own
// people.
func TestPagesOfStaffOpenForTheSignedInAlone(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	get := func(client *http.Client, address string) (status int, to string) {
		t.Helper()
		res, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("Location")
	}
	stranger, olga, anja := payer.NewClient(nil), payer.NewClient(nil), payer.NewClient(nil)
	operator(t, w.Hub, olga)
	link, err := run.Enrol(t.Context(), w.Hub.Officers, w.Hub.OfficersOrigin, "anja", "Anja Analyst", "officer")
	if err != nil {
		t.Fatal(err)
	}
	signIn(t, anja, link)
	for _, c := range []struct {
		who     string
		client  *http.Client
		address string
		status  int
	}{
		{"a stranger", stranger, w.Hub.StaffOrigin + "/payments", http.StatusSeeOther}, {"a stranger", stranger, w.Hub.OfficersOrigin + "/queue", http.StatusSeeOther},
		{"an operator", olga, w.Hub.StaffOrigin + "/payments", http.StatusOK}, {"an officer", anja, w.Hub.OfficersOrigin + "/queue", http.StatusOK},
		{"an operator", olga, w.Hub.OfficersOrigin + "/queue", http.StatusSeeOther}, {"an officer", anja, w.Hub.StaffOrigin + "/payments", http.StatusSeeOther},
	} {
		status, to := get(c.client, c.address)
		if status != c.status || status == http.StatusSeeOther && !strings.HasPrefix(to, "/staff/login") {
			t.Errorf("%s at %s: %d %s", c.who, c.address, status, to)
		}
	}
	for address, title := range map[string]string{
		w.Hub.StaffOrigin + "/staff/login": "Sign in for operators", w.Hub.OfficersOrigin + "/staff/login?lang=de": "Anmelden in der Geldwäscheprüfung",
	} {
		res, err := stranger.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !strings.Contains(string(text), "<h1>"+title+"</h1>") {
			t.Errorf("%s does not say whose it is: %v %s", address, err, text)
		}
	}
	if _, err := w.Hub.Staff.SetRoles(t.Context(), "olga", []string{"auditor"}); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(olga, w.Hub.StaffOrigin+"/payments"); status != http.StatusSeeOther {
		t.Errorf("a session outlived a change of roles: %d", status)
	}
}

// TestRoomsGoByTheConfiguredRights: by whatever name a role goes, at both rooms,
// and under the name and with the codes that are configured.
func TestRoomsGoByTheConfiguredRights(t *testing.T) {
	t.Parallel()
	h := startHub(t, hubConfig(t, nil, `
sca: {name: Lucky Pay, totp: {algorithm: SHA256, digits: 8}}
staff: {roles: {clerk: ["payments:read"], both: ["payments:read", "desk:analyst"], guard: ["audit:read"]}}
`), nil)
	in := func(staff *sca.Staff, origin, login, role string) *http.Client {
		t.Helper()
		link, err := run.Enrol(t.Context(), staff, origin, login, login, role)
		if err != nil {
			t.Fatal(err)
		}
		client := payer.NewClient(nil)
		signIn(t, client, link)
		return client
	}
	for _, c := range []struct {
		role                   string
		payments, queue, audit int // what the page answers
	}{
		{"clerk", http.StatusOK, http.StatusForbidden, http.StatusForbidden},
		{"both", http.StatusOK, http.StatusOK, http.StatusForbidden},
		{"guard", http.StatusForbidden, http.StatusForbidden, http.StatusOK},
	} {
		operator, officer := in(h.Staff, h.StaffOrigin, "o-"+c.role, c.role), in(h.Officers, h.OfficersOrigin, "d-"+c.role, c.role)
		for address, want := range map[string]int{h.StaffOrigin + "/payments": c.payments, h.OfficersOrigin + "/queue": c.queue, h.OfficersOrigin + "/audit": c.audit} {
			client := operator
			if strings.HasPrefix(address, h.OfficersOrigin) {
				client = officer
			}
			res, err := client.Get(address)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s at %s: %d", c.role, address, res.StatusCode)
			}
		}
		for origin, client := range map[string]*http.Client{h.StaffOrigin: operator, h.OfficersOrigin: officer} {
			_, text := send(t, client, origin, "/sca/totp", "", "application/x-www-form-urlencoded")
			if key := regexp.MustCompile(`data-test="key">([A-Z2-7]+)<`).FindStringSubmatch(text); key == nil || len(key[1]) != 52 || !strings.Contains(text, "8 digits") { // 32 bytes: SHA256's
				t.Errorf("an authenticator app of %s gets the key %.60v", origin, key)
			}
			if _, text := send(t, client, origin, "/sca/passkey/options", "{}", "application/json"); !strings.Contains(text, `"name":"Lucky Pay"`) {
				t.Errorf("a passkey of %s gets %.200s", origin, text)
			}
		}
	}
}

// send posts from a page of the origin.
func send(t *testing.T, client *http.Client, origin, path, body, kind string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", origin)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, html.UnescapeString(string(all))
}
