package sca_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

// receipts makes one of each method.
func receipts(t *testing.T, w *world) map[sca.Method]string {
	t.Helper()
	list := map[sca.Method]string{}
	keep := func(m sca.Method, payment string) {
		jws, err := w.Receipt(t.Context(), payment)
		must(t, err)
		list[m] = jws
	}
	a := w.withTOTP()
	must(t, w.answerCode(w.begin("pay_totp", sca.Any).ID, a.code()))
	keep(sca.TOTP, "pay_totp")
	k := w.withMorePasskeys()
	c := w.begin("pay_passkey", sca.WithPasskey)
	must(t, w.answerKey(c.ID, k.assert(t, c.Options)))
	keep(sca.Passkey, "pay_passkey")
	by := w.enrolment()
	must(t, w.VerifyCode(t.Context(), by, sca.TOTP, a.code()))
	p := w.enrolPhone(w.session2(by))
	pc, q := w.asked(p, "pay_push")
	w.clock.Add(100 * time.Second)
	_, err := p.answer(q, sca.DecideApprove, pc.Number, nil)
	must(t, err)
	keep(sca.Push, "pay_push")
	return list
}

func (w *world) receiptKeys() *jose.PublicKeySet {
	w.t.Helper()
	jwks, err := w.ReceiptKeys(w.t.Context())
	must(w.t, err)
	keys, err := jose.ParseJWKS(jwks)
	must(w.t, err)
	return keys
}

func TestReceiptsVerifyOffline(t *testing.T) {
	w := sqlite(t)
	list := receipts(t, w)
	for method, jws := range list {
		r, err := sca.VerifyReceipt(jws, w.receiptKeys())
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		if r.Method != method || r.Linked.Amount.AmountMinor != 2500 || r.PerformedBy != "hub" {
			t.Errorf("%+v", r)
		}
		for i := 0; i < len(jws); i += 7 { // a change anywhere is seen
			if jws[i] == '.' {
				continue
			}
			c := byte('A')
			if jws[i] == c {
				c = 'B'
			}
			if _, err := sca.VerifyReceipt(jws[:i]+string(c)+jws[i+1:], w.receiptKeys()); err == nil {
				t.Fatalf("%s: a change at %d of %d was not seen", method, i, len(jws))
			}
		}
	}
	// After the key was rotated out they still verify, by the keys we kept.
	must(t, w.keys.Rotate(rand.Reader, w.clock.Now(), 0, time.Hour))
	w.clock.Add(2 * time.Hour)
	must(t, w.keys.Rotate(rand.Reader, w.clock.Now(), 0, time.Hour))
	if _, err := sca.VerifyReceipt(list[sca.Passkey], w.receiptKeys()); err != nil {
		t.Error(err)
	}
	stranger, err := jose.NewKeySet(rand.Reader, w.clock.Now(), jose.ES256)
	must(t, err)
	if _, err := sca.VerifyReceipt(list[sca.Passkey], stranger.Public()); err == nil {
		t.Error("a stranger's key verifies a receipt")
	}
}

// TestSignedNonsenseIsNoReceipt: whoever has the hub's key can still not claim
// that a payer confirmed something else.
func TestSignedNonsenseIsNoReceipt(t *testing.T) {
	w := sqlite(t)
	list := receipts(t, w)
	for name, change := range map[string]func(map[string]any){
		"amount": func(r map[string]any) {
			r["linked"].(map[string]any)["amount"] = map[string]any{"amount_minor": 250000, "currency": "EUR"}
		},
		"expiry":  func(r map[string]any) { r["linked"].(map[string]any)["exp"] = 1.0 },
		"text":    func(r map[string]any) { r["display"].(map[string]any)["text"] = "Pay nothing" },
		"payment": func(r map[string]any) { r["payment_id"] = "pay_other" },
		"evidence": func(r map[string]any) {
			for _, e := range []string{"signature", "device_answer", "step_hash"} {
				if s, ok := r["evidence"].(map[string]any)[e].(string); ok {
					r["evidence"].(map[string]any)[e] = s[:len(s)-6] + "AAAAAA"
				}
			}
			r["evidence"].(map[string]any)["step_hash"] = "no"
		},
		"method": func(r map[string]any) { r["method"] = "password" },
	} {
		for method, jws := range list {
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[1])
			must(t, err)
			var r map[string]any
			must(t, json.Unmarshal(payload, &r))
			change(r)
			payload, err = json.Marshal(r)
			must(t, err)
			var at struct{ At time.Time }
			must(t, json.Unmarshal(payload, &at))
			key, err := w.keys.Signer(jose.ES256, w.clock.Now())
			must(t, err)
			detached, err := jose.SignDetached(key, payload, at.At)
			must(t, err)
			header, signature, _ := strings.Cut(detached, "..")
			forged := header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
			if _, err := sca.VerifyReceipt(forged, w.receiptKeys()); err == nil && !(name == "evidence" && method == sca.TOTP) {
				t.Errorf("%s of %s changed and signed: it verifies", name, method)
			}
		}
	}
}

func TestAnotherJOSEImplementationTakesReceipts(t *testing.T) {
	dir := testkit.Node(t, filepath.Join("testdata", "interop"))
	w := sqlite(t)
	jwks, list := json.RawMessage(nil), []string{}
	for _, jws := range receipts(t, w) {
		parts := strings.Split(jws, ".")
		list = append(list, jws, parts[0]+"."+parts[1][:len(parts[1])-4]+"."+parts[2])
	}
	jwks, err := w.ReceiptKeys(t.Context())
	must(t, err)
	if strings.Contains(string(jwks), `"d"`) {
		t.Fatal("the published keys hold a private half")
	}
	input, err := json.Marshal(map[string]any{"jwks": jwks, "receipts": list})
	must(t, err)
	var output struct {
		Results []*struct{ Payload sca.Receipt }
	}
	testkit.RunNode(t, dir, "receipt.mjs", input, &output)
	if len(output.Results) != len(list) {
		t.Fatalf("%d results of %d", len(output.Results), len(list))
	}
	for i, got := range output.Results {
		if (got != nil) != (i%2 == 0) {
			t.Errorf("receipt %d: %+v", i, got)
		}
		if got != nil && got.Payload.Linked.CreditorName != "Casino Example Ltd" {
			t.Errorf("%+v", got.Payload)
		}
	}
}
