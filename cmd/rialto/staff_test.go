package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
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
	if _, err := w.Hub.Staff.SetRoles(t.Context(), "olga", []string{"auditor"}); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(olga, w.Hub.StaffOrigin+"/payments"); status != http.StatusSeeOther {
		t.Errorf("a session outlived a change of roles: %d", status)
	}
}
