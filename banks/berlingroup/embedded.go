package berlingroup

import (
	"context"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// badCredentials is the standard's code for a name, password or code that is
// wrong; it does not say which (RTS Art. 4(3)(a)).
const badCredentials = "PSU_CREDENTIALS_INVALID"

// Answer implements banks.Prompter: it relays what the payer says to the place
// where the bank asked for it. What he says is in the request and nowhere else.
func (b *Bank) Answer(ctx context.Context, r banks.Ref, said psd2.PromptAnswer) (banks.Initiation, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Initiation{}, err
	}
	u, ok := b.resolve(st.Next)
	if !ok || !st.Prompt.Kind.Relayed() || st.Method != http.MethodPost && st.Method != http.MethodPut {
		return banks.Initiation{}, unsendable("NOTHING_ASKED")
	}
	body, psuID, fault := saying(st.Prompt, said)
	if fault != "" {
		return banks.Initiation{}, unsendable(fault)
	}
	v := b.visit(ctx, r, st)
	v.psu.ID = "" // named below, and once
	header := psuHeaders(r.PSU, "")
	b.identify(header, psuID)
	if st.Method == http.MethodPost {
		b.wishes(header, v)
	}
	rep, failure := b.client.do(ctx, request{what: "answer " + string(st.Prompt.Kind), method: st.Method, url: u, header: header, body: body,
		token: v.token, requestID: v.id(""), traceID: v.traceID})
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if !success(rep) {
		return b.unaccepted(ctx, &st, rep, v)
	}
	asked := st.Prompt
	st.Known = st.Known || psuID != ""
	in, failure := b.proceed(ctx, &st, rep, v)
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if in.Prompt.Kind == asked.Kind && asked.Kind == psd2.PromptCode && in.SCA != psd2.SCAFailed {
		in.Prompt.Again = true // a second code for the same transaction: the first was wrong
	}
	return in, nil
}

// saying writes the body for what was asked, and the PSU-ID where that is part
// of the answer. fault names what is missing.
func saying(p psd2.Prompt, said psd2.PromptAnswer) (body []byte, psuID, fault string) {
	var content any = struct{}{}
	switch p.Kind {
	case psd2.PromptIdentify:
		psuID = said.PSUID
		if psuID == "" || !sendable(psuID) {
			return nil, "", "PSU_ID_MISSING"
		}
	case psd2.PromptPassword:
		if p.AskID {
			psuID = said.PSUID
		}
		if said.Password == "" || p.AskID && psuID == "" || !sendable(psuID) {
			return nil, "", "PASSWORD_MISSING"
		}
		content = struct {
			Data map[string]string `json:"psuData"`
		}{map[string]string{"password": said.Password}}
	case psd2.PromptMethod:
		if !slices.ContainsFunc(p.Methods, func(m psd2.Method) bool { return m.ID == said.MethodID }) {
			return nil, "", "METHOD_UNKNOWN"
		}
		content = map[string]string{"authenticationMethodId": said.MethodID}
	case psd2.PromptCode:
		if said.Code == "" {
			return nil, "", "CODE_MISSING"
		}
		content = map[string]string{"scaAuthenticationData": said.Code}
	}
	body, err := json.Marshal(content)
	if err != nil { // not UTF-8; the error would quote it
		return nil, "", "ANSWER_INVALID"
	}
	return body, psuID, ""
}

// unaccepted reads a bank's no to an answer. Wrong credentials may be given
// again unless the authorisation has failed with them, which the bank is asked.
func (b *Bank) unaccepted(ctx context.Context, st *state, rep *reply, v visit) (banks.Initiation, error) {
	failure := failed(rep, false, b.client.now())
	if failure.Code != badCredentials {
		return banks.Initiation{}, failure
	}
	a, _ := parse(rep.json)
	sca := a.code("scaStatus")
	if sca == "" && st.SCA != "" {
		if a, problem := b.get(ctx, "sca status", st.SCA, v, "sca"); problem == nil {
			sca = a.code("scaStatus")
		}
	}
	if sca == psd2.SCAFailed {
		return banks.Initiation{}, failure
	}
	again := st.Prompt
	again.Again = true
	return banks.Initiation{State: st.opaque(), Approach: banks.Embedded, Prompt: again, SCA: sca}, nil
}
