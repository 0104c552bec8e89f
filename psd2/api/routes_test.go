package api

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// unlisted are routes that people read and programs do not call.
var unlisted = []string{"GET /docs", "GET /docs/style.css", "GET /static/*"}

func loadContract(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(Contract())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestRoutesAndContractAreTheSame(t *testing.T) {
	var served, promised []string
	param := regexp.MustCompile(`:([a-z]+)`)
	room := &room{docs: &docs{assets: http.NotFoundHandler()}}
	for _, r := range room.router().Routes() {
		served = append(served, r.Method+" "+param.ReplaceAllString(r.Path, "{$1}"))
	}
	for path, item := range loadContract(t).Paths.Map() {
		for method := range item.Operations() {
			promised = append(promised, method+" "+path)
		}
	}
	promised = append(promised, unlisted...)
	slices.Sort(served)
	slices.Sort(promised)
	if !slices.Equal(served, promised) {
		t.Errorf("served:\n%s\npromised:\n%s", strings.Join(served, "\n"), strings.Join(promised, "\n"))
	}
}

func TestContractSpeaksTheVocabulary(t *testing.T) {
	doc := loadContract(t)
	enum := func(name string) (out []string) {
		for _, v := range doc.Components.Schemas[name].Value.Enum {
			out = append(out, v.(string))
		}
		return out
	}
	var states []string
	for _, s := range psd2.States {
		states = append(states, string(s))
	}
	if got := enum("PaymentStatus"); !slices.Equal(got, states) {
		t.Errorf("statuses %v, want %v", got, states)
	}
	var transfers []string
	for _, s := range psd2.TransferStates {
		transfers = append(transfers, string(s))
	}
	if got := enum("TransferStatus"); !slices.Equal(got, transfers) {
		t.Errorf("transfers' statuses %v, want %v", got, transfers)
	}
	var hooks []string
	for name := range doc.Webhooks {
		hooks = append(hooks, name)
	}
	slices.Sort(hooks)
	events := slices.Sorted(slices.Values(psd2.MerchantEvents))
	if !slices.Equal(hooks, events) {
		t.Errorf("webhooks %v, want %v", hooks, events)
	}
	scopes := doc.Components.SecuritySchemes["token"].Value.Flows.ClientCredentials.Scopes
	for _, s := range Scopes {
		if scopes[s] == "" {
			t.Errorf("scope %s is not in the contract", s)
		}
	}
	if len(scopes) != len(Scopes) {
		t.Errorf("the contract knows %d scopes, we %d", len(scopes), len(Scopes))
	}
}

// members lists the JSON names of a struct's fields.
func members(v reflect.Type) (names []string) {
	for _, field := range reflect.VisibleFields(v) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && !field.Anonymous {
			names = append(names, name)
		}
	}
	return names
}

func TestContractHasEveryMember(t *testing.T) {
	doc := loadContract(t)
	for name, v := range map[string]any{
		"Payment": createdPayment{}, "PaymentSource": psd2.SourceView{}, "Attempt": psd2.AttemptView{}, "Money": psd2.Money{},
		"PaymentRequest": createRequest{}, "PlayerRequest": createRequest{}.Player, "PaymentList": paymentList{}, "Event": eventView{},
		"EventList": eventList{}, "WebhookEndpoint": endpointView{}, "KeyedWebhookEndpoint": keyedEndpoint{}, "WebhookKey": keyView{},
		"WebhookEndpointRequest": endpointRequest{}, "WebhookEndpointChange": endpointRequest{}, "WebhookEndpointList": endpointList{},
		"WebhookRotation": rotation{}, "WebhookDelivery": deliveryView{}, "WebhookAttempt": tryView{}, "WebhookDeliveryList": deliveryList{},
		"WebhookReplayRequest": replayRequest{}, "WebhookReplay": replayView{},
		"PayeeVerification": verificationView{}, "PayeeVerificationRequest": verificationRequest{}, "SignatureReport": signatureReport{}, "Bank": bankView{}, "Token": tokenAnswer{}, "OAuthError": oauthError{},
		"Refund": psd2.TransferView{}, "Payout": psd2.TransferView{}, "Recall": psd2.RecallView{}, "RefundRequest": refundRequest{},
		"PayoutRequest": payoutRequest{}, "RecallRequest": recallRequest{}, "RefundList": transferList{}, "PayoutList": transferList{},
		"Account": accountView{}, "AccountList": accountList{}, "EntryTallies": classTallies{}, "Tally": psd2.Tally{}, "Entry": entryView{},
		"EntryList": entryList{}, "Missing": missingView{}, "MissingList": missingList{}, "Settlement": settlementView{},
		"SettlementList": settlementList{}, "SigningKey": signingKeyView{}, "SigningKeyList": signingKeyList{}, "SigningKeyRollover": rollover{},
	} {
		var promised []string
		for property := range doc.Components.Schemas[name].Value.Properties {
			promised = append(promised, property)
		}
		served := members(reflect.TypeOf(v))
		slices.Sort(served)
		slices.Sort(promised)
		if !slices.Equal(served, promised) {
			t.Errorf("%s has %v, the contract says %v", name, served, promised)
		}
	}
}

func TestTokenCacheIsBounded(t *testing.T) {
	c := newTokenCache()
	for i := range 3 * tokenCacheSize {
		c.put(strconv.Itoa(i), &jose.AccessToken{})
	}
	if n := len(c.young) + len(c.old); n > 2*tokenCacheSize {
		t.Errorf("%d tokens are kept", n)
	}
}
