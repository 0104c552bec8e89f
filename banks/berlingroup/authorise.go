package berlingroup

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// maxSteps bounds how often an answer may lead to a request of our own: start
// the authorisation, name the payer.
const maxSteps = 2

// relayed lists the links by which a bank asks its customer through us, in the
// order in which they count where an answer has several: the step that is
// furthest on first.
var relayed = []struct {
	link   string
	kind   psd2.PromptKind
	method string
}{
	{"authoriseTransaction", psd2.PromptCode, http.MethodPut},
	{"startAuthorisationWithTransactionAuthorisation", psd2.PromptCode, http.MethodPost},
	{"selectAuthenticationMethod", psd2.PromptMethod, http.MethodPut},
	{"startAuthorisationWithAuthenticationMethodSelection", psd2.PromptMethod, http.MethodPost},
	{"updatePsuAuthentication", psd2.PromptPassword, http.MethodPut},
	{"startAuthorisationWithPsuAuthentication", psd2.PromptPassword, http.MethodPost},
	{"updatePsuIdentification", psd2.PromptIdentify, http.MethodPut},
	{"startAuthorisationWithPsuIdentification", psd2.PromptIdentify, http.MethodPost},
}

// proceed reads what an answer wants next, to the initiation or to any step of
// the authorisation, and does what we can do without the payer. It writes what
// must be remembered into st.
func (b *Bank) proceed(ctx context.Context, st *state, rep *reply, v visit) (banks.Initiation, *banks.Error) {
	for step := 0; ; step++ {
		a, ok := parse(rep.json)
		if !ok {
			return banks.Initiation{}, oddly(rep, "ANSWER_UNREADABLE")
		}
		if u, ok := b.resolve(a.link("scaStatus")); ok {
			st.SCA = u.String()
		}
		method, href, body := b.ourTurn(st, a, v)
		if href == "" {
			return b.asks(ctx, st, rep, a, v)
		}
		if step == maxSteps {
			return banks.Initiation{}, oddly(rep, "AUTHORISATION_ENDLESS")
		}
		u, ok := b.resolve(href)
		if !ok {
			return banks.Initiation{}, oddly(rep, "LINK_NOT_ALLOWED")
		}
		header := psuHeaders(v.psu, "")
		b.identify(header, v.psu.ID)
		if method == http.MethodPost {
			b.wishes(header, v)
		}
		next, failure := b.client.do(ctx, request{what: "authorise", method: method, url: u, header: header, body: body,
			token: v.token, requestID: v.id("authorise " + string(rune('0'+step))), traceID: v.traceID})
		if failure != nil {
			return banks.Initiation{}, failure
		}
		if !success(next) {
			return banks.Initiation{}, failed(next, false, b.client.now())
		}
		st.Known = st.Known || v.psu.ID != ""
		rep = next
	}
}

func success(rep *reply) bool {
	return rep.status == http.StatusOK || rep.status == http.StatusCreated || rep.status == http.StatusAccepted
}

// ourTurn gives the request that an answer asks of us and not of the payer: to
// start the authorisation, or to name him when we know his name already.
func (b *Bank) ourTurn(st *state, a answer, v visit) (method, href string, body []byte) {
	empty := []byte("{}")
	if a.link("scaRedirect") != "" || a.link("scaOAuth") != "" {
		return "", "", nil
	}
	if href = a.link("startAuthorisation"); href != "" {
		return http.MethodPost, href, empty
	}
	if v.psu.ID == "" || st.Known && a.code("scaStatus") != "" {
		return "", "", nil
	}
	for _, r := range relayed {
		if href = a.link(r.link); href == "" {
			continue
		}
		if r.kind == psd2.PromptIdentify {
			return r.method, href, empty
		}
		return "", "", nil
	}
	return "", "", nil
}

func oddly(rep *reply, code string) *banks.Error {
	return &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, Code: code}
}

// asks says what the bank wants of the payer.
func (b *Bank) asks(ctx context.Context, st *state, rep *reply, a answer, v visit) (banks.Initiation, *banks.Error) {
	in := banks.Initiation{Status: b.status(a), SCA: a.code("scaStatus")}
	st.Prompt, st.Method, st.Next, st.Confirm = psd2.Prompt{}, "", "", ""
	prompt, failure := b.prompt(ctx, st, rep, a, v)
	if failure != nil {
		return banks.Initiation{}, failure
	}
	in.Prompt, in.Approach = prompt, b.approach(rep, prompt.Kind)
	in.State = st.opaque()
	return in, nil
}

func (b *Bank) prompt(ctx context.Context, st *state, rep *reply, a answer, v visit) (psd2.Prompt, *banks.Error) {
	message := plain(a.text("psuMessage"), 500)
	if link := a.link("scaRedirect"); link != "" {
		where, ok := b.redirect(link)
		if !ok {
			return psd2.Prompt{}, oddly(rep, "REDIRECT_NOT_ALLOWED")
		}
		if u, ok := b.resolve(a.link("confirmation")); ok {
			st.Confirm = u.String()
		}
		return psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: where, Message: message}, nil
	}
	if link := a.link("scaOAuth"); link != "" {
		return b.integrated(ctx, st, link, v)
	}
	for _, r := range relayed {
		link := a.link(r.link)
		if link == "" {
			continue
		}
		u, ok := b.resolve(link)
		if !ok {
			return psd2.Prompt{}, oddly(rep, "LINK_NOT_ALLOWED")
		}
		st.Method, st.Next = r.method, u.String()
		st.Prompt = psd2.Prompt{Kind: r.kind, Message: message, AskID: r.kind == psd2.PromptPassword && !st.Known}
		switch r.kind {
		case psd2.PromptMethod:
			if st.Prompt.Methods = a.methods(); len(st.Prompt.Methods) == 0 {
				return psd2.Prompt{}, oddly(rep, "SCA_METHODS_MISSING")
			}
		case psd2.PromptCode:
			st.Prompt.Method, st.Prompt.Challenge = a.chosen(), a.challenge()
		}
		return st.Prompt, nil
	}
	standing, sca := psd2.StandingOf(b.status(a)), a.code("scaStatus")
	switch {
	case sca == psd2.SCAExempted || sca == psd2.SCAFinalised || sca == psd2.SCAFailed || standing >= psd2.StandingAuthorized && standing <= psd2.StandingCanceled:
		return psd2.Prompt{}, nil // the bank wants nothing more of the payer
	case b.decoupled(rep, a):
		return psd2.Prompt{Kind: psd2.PromptApp, Message: message}, nil
	}
	return psd2.Prompt{}, oddly(rep, "SCA_APPROACH_NOT_SUPPORTED")
}

// decoupled reports whether the bank asks its customer in its own app: it says
// so, or it is known to and asks nothing through us.
func (b *Bank) decoupled(rep *reply, a answer) bool {
	if strings.EqualFold(rep.header.Get("ASPSP-SCA-Approach"), string(banks.Decoupled)) {
		return true
	}
	return b.p.offers(banks.Decoupled) && (a.text("psuMessage") != "" || a.code("scaStatus") != "")
}

// approach is what the bank says it chose, else what its question shows.
func (b *Bank) approach(rep *reply, kind psd2.PromptKind) banks.Approach {
	for _, known := range []banks.Approach{banks.Redirect, banks.Decoupled, banks.Embedded} {
		if strings.EqualFold(rep.header.Get("ASPSP-SCA-Approach"), string(known)) {
			return known
		}
	}
	switch {
	case kind == psd2.PromptRedirect:
		return banks.Redirect
	case kind == psd2.PromptApp, kind == psd2.PromptIdentify && b.p.Approaches[0] == banks.Decoupled:
		return banks.Decoupled
	case kind.Relayed():
		return banks.Embedded
	}
	return b.p.Approaches[0]
}

// Bounds of what a bank may have us show to the payer.
const (
	maxMethods = 20
	maxImage   = 64 << 10
	maxLines   = 10
)

// methods reads scaMethods. A method without an id cannot be chosen.
func (a answer) methods() []psd2.Method {
	var list []scaMethod
	if v, ok := a["scaMethods"]; !ok || json.Unmarshal(v, &list) != nil {
		return nil
	}
	var out []psd2.Method
	for _, m := range list {
		if m.ID != "" && len(m.ID) <= 128 && plain(m.ID, 128) == m.ID && len(out) < maxMethods {
			out = append(out, m.shown())
		}
	}
	return out
}

type scaMethod struct {
	ID          string `json:"authenticationMethodId"`
	Type        string `json:"authenticationType"`
	Name        string `json:"name"`
	Explanation string `json:"explanation"`
}

func (m scaMethod) shown() psd2.Method {
	out := psd2.Method{ID: m.ID, Name: plain(m.Name, 140), Type: codeText(m.Type)}
	if out.Name == "" {
		out.Name = plain(m.Explanation, 140)
	}
	if out.Name == "" {
		out.Name = out.Type
	}
	return out
}

// chosen names the method that the bank uses.
func (a answer) chosen() string {
	var m scaMethod
	if v, ok := a["chosenScaMethod"]; !ok || json.Unmarshal(v, &m) != nil {
		return ""
	}
	return m.shown().Name
}

// challenge reads challengeData. An image link is not followed: the hub fetches
// nothing that a bank names.
func (a answer) challenge() psd2.Challenge {
	var c struct {
		Image      string   `json:"image"`
		Data       []string `json:"data"`
		Format     string   `json:"otpFormat"`
		MaxLength  int      `json:"otpMaxLength"`
		Additional string   `json:"additionalInformation"`
	}
	if v, ok := a["challengeData"]; !ok || json.Unmarshal(v, &c) != nil {
		return psd2.Challenge{}
	}
	out := psd2.Challenge{Additional: plain(c.Additional, 500)}
	for _, line := range c.Data[:min(len(c.Data), maxLines)] {
		if line = plain(line, 200); line != "" {
			out.Data = append(out.Data, line)
		}
	}
	if image, err := base64.StdEncoding.DecodeString(c.Image); err == nil && len(image) <= maxImage && bytes.HasPrefix(image, []byte("\x89PNG\r\n\x1a\n")) {
		out.Image = image
	}
	if c.Format == "integer" || c.Format == "characters" {
		out.Format = c.Format
	}
	if c.MaxLength > 0 && c.MaxLength <= 64 {
		out.MaxLength = c.MaxLength
	}
	return out
}

// plain makes a bank's words plain text of at most limit characters: no line
// breaks, no control characters, nothing that turns the reading direction.
func plain(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	runes := []rune(strings.TrimSpace(s))
	return string(runes[:min(len(runes), limit)])
}
