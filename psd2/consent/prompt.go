package consent

import (
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// Sealer opens what the page's script encrypted in the browser (a compact JWE
// to PublicKey), so that a password or code is in clear text in no proxy, load
// balancer or request log on the way.
type Sealer interface {
	// PublicKey is a JWK for ECDH-ES with P-256.
	PublicKey() []byte
	// Open decrypts a compact JWE.
	Open(compact string) ([]byte, error)
}

// maxSealed bounds the clear text of an answer.
const maxSealed = 2 << 10

// promptPage asks what the bank asks.
type promptPage struct {
	sums
	BankName string
	Prompt   psd2.Prompt
	Lead     string
	Action   string
	Kind     string
	Ticket   string
	Wrong    string // why it is shown again, or ""
	Image    string // path of the challenge's picture, or ""
	SealKey  string // JWK, or "" when answers travel as they are
	Until    any
}

// asked is the open attempt whose bank asks something through us, or nil.
func asked(p *psd2.Payment) *psd2.Attempt {
	if a := p.Open(); a != nil && a.State == psd2.AttemptAuthorizing && a.Prompt.Relayed() && p.CancelledBy == "" {
		return a
	}
	return nil
}

// prompt shows what the bank asks.
func (v *visit) prompt(status int, notice string) error {
	p, a := v.payment, asked(v.payment)
	what := p.Personal.Attempts[a.ID].Prompt
	ticket, err := newTicket(v.Random, v.secret, p, promptOf(a))
	if err != nil {
		return err
	}
	d := promptPage{sums: v.sums(), Prompt: what, Action: v.to("/answer"), Kind: string(a.Prompt), Ticket: ticket, Until: &p.ExpiresAt,
		BankName: v.say("status.your_bank")}
	if o, ok := v.option(a.BankID); ok {
		d.BankName = o.Name
	}
	d.Lead = v.say("prompt."+d.Kind+".lead", "bank", d.BankName)
	if d.Wrong = notice; what.Again && notice == "" {
		d.Wrong = v.say("prompt.again", "bank", d.BankName)
	}
	if len(what.Challenge.Image) > 0 {
		d.Image = v.to("/challenge")
	}
	if v.Sealer != nil {
		d.SealKey = string(v.Sealer.PublicKey())
	}
	return v.show(page.Page{Name: "prompt", Status: status, Title: d.Lead, Self: &url.URL{Path: v.to("")}, About: v.to("/about"),
		FormAction: v.origins(a.BankID), Scripts: []string{"seal.js"}, Data: d})
}

// promptOf names what a ticket is for: this attempt, this question.
func promptOf(a *psd2.Attempt) string { return a.ID + "/" + string(a.Prompt) }

func (v *visit) origins(bankID string) []string {
	info, _, _ := v.Hub.Bank(bankID)
	return info.RedirectOrigins
}

// challenge is GET /pay/{id}/challenge: the picture the payer's device reads.
func (v *visit) challenge() error {
	if err := v.mine(); err != nil {
		return err
	}
	a := asked(v.payment)
	if a == nil {
		return psd2.NotFound("picture")
	}
	image := v.payment.Personal.Attempts[a.ID].Prompt.Challenge.Image
	if http.DetectContentType(image) != "image/png" { // the bank's bytes: a picture or nothing
		return psd2.NotFound("picture")
	}
	page.Headers(v.Response().Header())
	return v.Blob(http.StatusOK, "image/png", image)
}

// answer is POST /pay/{id}/answer: the payer's answer, passed on and kept
// nowhere.
func (v *visit) answer() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	a := asked(v.payment)
	if a == nil {
		return v.away(v.to(""))
	}
	ticket := form.Get("ticket")
	nonce, ok := openTicket(ticket, v.secret, v.payment, promptOf(a))
	if !ok || form.Get("kind") != string(a.Prompt) {
		return v.state(http.StatusConflict, v.say("prompt.outdated"))
	}
	answer, err := v.unseal(form, ticket)
	if err != nil {
		return err
	}
	p, redirect, err := v.Hub.Answer(v.ctx(), a.ID, nonce, a.Prompt, answer)
	if psd2.CodeOf(err) == psd2.CodeConflict && err != nil {
		if v.payment, err = v.Hub.Payment(v.ctx(), v.payment.ID); err != nil {
			return err
		}
		return v.state(http.StatusConflict, v.say("prompt.outdated"))
	}
	if err != nil {
		return err
	}
	v.payment = p
	return v.toBank(redirect)
}

// sealedAnswer is what the script encrypts. The ticket inside ties it to its
// form: an answer cannot be moved to another.
type sealedAnswer struct {
	Ticket   string `json:"ticket"`
	PSUID    string `json:"psu_id"`
	Password string `json:"password"`
	Method   string `json:"method"`
	Code     string `json:"code"`
}

// unseal reads the answer, encrypted or, without JavaScript, as a form sends
// it.
func (v *visit) unseal(form url.Values, ticket string) (psd2.PromptAnswer, error) {
	s := sealedAnswer{Ticket: ticket, PSUID: form.Get("psu_id"), Password: form.Get("password"), Method: form.Get("method"), Code: form.Get("code")}
	if sealed := form.Get("sealed"); sealed != "" && v.Sealer != nil {
		clear, err := v.Sealer.Open(sealed)
		if err != nil || len(clear) > maxSealed || json.Unmarshal(clear, &s, json.RejectUnknownMembers(true)) != nil || s.Ticket != ticket {
			edge.Annotate(v.ctx(), "problem", "answer_not_opened")
			return psd2.PromptAnswer{}, psd2.Invalid("sealed", "answer_unreadable", "what the browser sent could not be read")
		}
	}
	return psd2.PromptAnswer{PSUID: s.PSUID, Password: s.Password, MethodID: s.Method, Code: s.Code}, nil
}

// notify is POST /notify/{attempt}: a bank says that there is news of an order
// (NextGenPSD2 TPP-Notification-URI). Its words are not read: they are a reason
// to ask the bank ourselves, and whoever sends them learns nothing.
func (v *visit) notify() error {
	attempt := v.Param("attempt")
	if err := v.perLink.Check(attempt); err != nil {
		return err
	}
	if err := v.Hub.Notified(v.ctx(), attempt); err != nil {
		edge.Annotate(v.ctx(), "error", err.Error())
	}
	return v.NoContent(http.StatusNoContent)
}
