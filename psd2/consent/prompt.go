package consent

import (
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/page"
)

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
	if key, err := v.sealKey(ticket); err != nil {
		return err
	} else if key != nil {
		d.SealKey = string(key.PublicJWK())
	}
	return v.show(page.Page{Name: "prompt", Status: status, Title: d.Lead, Self: &url.URL{Path: v.to("")}, About: v.to("/about"),
		FormAction: v.origins(a.BankID), Scripts: []string{"seal.js", "answer.js", "limit.js"}, Data: d})
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

// sealKey is the key to which the page's script encrypts an answer, so that a
// password or code is in clear text in no proxy, load balancer or buffer on the
// way. Each form has its own, the same in every process: an answer cannot be
// moved to another form. Nil when the deployment has no secret for it.
func (v *visit) sealKey(ticket string) (*jose.SealKey, error) {
	if v.SealSecret == nil {
		return nil, nil
	}
	return jose.DeriveSealKey(v.SealSecret, "answer/"+ticket, v.payment.ExpiresAt)
}

// sealedAnswer is what the script encrypts.
type sealedAnswer struct {
	PSUID    string `json:"psu_id"`
	Password string `json:"password"`
	Method   string `json:"method"`
	Code     string `json:"code"`
}

// unseal reads the answer, encrypted or, without JavaScript, as a form sends
// it.
func (v *visit) unseal(form url.Values, ticket string) (psd2.PromptAnswer, error) {
	s := sealedAnswer{PSUID: form.Get("psu_id"), Password: form.Get("password"), Method: form.Get("method"), Code: form.Get("code")}
	if sealed := form.Get("sealed"); sealed != "" {
		key, err := v.sealKey(ticket)
		if err != nil {
			return psd2.PromptAnswer{}, err
		}
		var clear []byte
		if key != nil {
			clear, err = key.Open(sealed, ticket, v.Now())
		}
		if key == nil || err != nil || json.Unmarshal(clear, &s, json.RejectUnknownMembers(true)) != nil {
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
