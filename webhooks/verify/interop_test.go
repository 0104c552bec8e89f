package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

type wireDelivery struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Signature string `json:"signature"`
	JWS       string `json:"jws"`
	Body      []byte `json:"body"`
}

// TestOtherPeoplesReceiversAgree gives our deliveries, whole and altered, to
// the npm packages standardwebhooks and jose, and theirs to our Verifier.
func TestOtherPeoplesReceiversAgree(t *testing.T) {
	dir := testkit.Node(t, "testdata/interop")
	hub, now := newSender(t), time.Now().Truncate(time.Second) // standardwebhooks takes no clock
	seed := ed25519Key(t)
	deliver := func(alter func(*wireDelivery)) wireDelivery {
		header := hub.deliver(t, "evt_1", now, []byte(eventBody))
		d := wireDelivery{
			ID: "evt_1", Timestamp: header.Get(verify.HeaderTimestamp), Signature: header.Get(verify.HeaderSignature),
			JWS: header.Get(verify.HeaderJWS), Body: []byte(eventBody),
		}
		if alter != nil {
			alter(&d)
		}
		return d
	}
	deliveries := []wireDelivery{
		deliver(nil),
		deliver(func(d *wireDelivery) { d.Body = bytes.Replace(d.Body, []byte("pay_1"), []byte("pay_2"), 1) }),
		deliver(func(d *wireDelivery) { d.ID = "evt_2" }),
		deliver(func(d *wireDelivery) { d.Timestamp = fmt.Sprint(now.Unix() - 1) }),
		deliver(func(d *wireDelivery) { d.Body = append(d.Body, '\n') }),
	}
	input, err := json.Marshal(map[string]any{
		"secret": hub.secret.Reveal(), "publicKey": hub.signing.Public().String(), "jwks": json.RawMessage(hub.jwks(t)), "deliveries": deliveries,
		"theirs": map[string]string{"d": base64.RawURLEncoding.EncodeToString(seed[:32]), "x": base64.RawURLEncoding.EncodeToString(seed[32:])},
	})
	if err != nil {
		t.Fatal(err)
	}
	var output struct {
		Results []struct{ V1, V1a, JWS bool }
		Ours    struct {
			V1, V1a, JWS string
			JWKS         json.RawMessage
		}
	}
	testkit.RunNode(t, dir, "receiver.mjs", input, &output)

	if len(output.Results) != len(deliveries) {
		t.Fatalf("%d results", len(output.Results))
	}
	for i, got := range output.Results {
		if want := i == 0; got.V1 != want || got.V1a != want || got.JWS != want {
			t.Errorf("delivery %d: %+v, want all %v", i, got, want)
		}
	}
	for scheme, c := range map[string]struct {
		header, value string
		config        verify.Config
	}{
		"v1":  {verify.HeaderSignature, output.Ours.V1, verify.Config{Secrets: []string{hub.secret.Reveal()}}},
		"v1a": {verify.HeaderSignature, output.Ours.V1a, verify.Config{PublicKeys: []string{"whpk_" + base64.StdEncoding.EncodeToString(seed[32:])}}},
		"jws": {verify.HeaderJWS, output.Ours.JWS, verify.Config{JWKS: output.Ours.JWKS}},
	} {
		header := http.Header{}
		header.Set(verify.HeaderID, "evt_1")
		header.Set(verify.HeaderTimestamp, fmt.Sprint(now.Unix()))
		header.Set(c.header, c.value)
		receiver := verifier(t, c.config)
		if _, err := receiver.Verify(header, []byte(eventBody), now); err != nil {
			t.Errorf("%s signed on Node: %v", scheme, err)
		}
		_, err := receiver.Verify(header, []byte(strings.Replace(eventBody, "pay_1", "pay_2", 1)), now)
		wantReason(t, err, verify.ReasonSignature)
	}
}
