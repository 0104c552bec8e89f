package webhooks

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Mail is a Notifier that hands each notice as a letter (RFC 5322) to a
// program's standard input, as every mail transfer agent's sendmail takes it.
type Mail struct {
	// Command is the program with its arguments, such as
	// ["/usr/sbin/sendmail", "-t", "-i"]. Empty: no mail is sent.
	Command []string `yaml:"command"`
	From    string   `yaml:"from"`
	To      []string `yaml:"to"`
	// Contacts are the merchants' own people, by merchant (mer_…): they are told
	// of their endpoints.
	Contacts map[string][]string `yaml:"contacts"`
}

// mailTimeout bounds the program.
const mailTimeout = 30 * time.Second

// check refuses what would make another header of an address.
func (m *Mail) check() error {
	if len(m.Command) == 0 {
		return nil
	}
	if m.From == "" || len(m.To) == 0 {
		return fmt.Errorf("webhooks: mail: from and to are needed")
	}
	all := append([]string{m.From}, m.To...)
	for _, contacts := range m.Contacts {
		all = append(all, contacts...)
	}
	for _, address := range all {
		if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) || !strings.Contains(address, "@") {
			return fmt.Errorf("webhooks: mail: an address is not like name@example.com")
		}
	}
	return nil
}

// Notify implements Notifier.
func (m Mail) Notify(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	program := exec.CommandContext(ctx, m.Command[0], m.Command[1:]...) //nolint:gosec // the operator's own program
	program.Stdin = bytes.NewReader(m.letter(n))
	if err := program.Run(); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// letter holds ids only; who reads it looks the rest up. Where the merchant has
// people of his own it goes to them, and unseen by them to the operator's.
func (m Mail) letter(n Notice) []byte {
	about := "Endpoint: " + n.ObjectID + "\r\n"
	subject := fmt.Sprintf("Webhook endpoint %s fails: %d %% of its budget is used", n.ObjectID, n.Percent)
	advice := "It is disabled when nothing has got there for 120 hours."
	switch n.Type {
	case psd2.EventEndpointDisabled:
		subject = fmt.Sprintf("Webhook endpoint %s is disabled: %s", n.ObjectID, n.Reason)
		advice = "Nothing is delivered there any more. Make it active again, then replay what it has missed."
	case psd2.EventEndpointChanged:
		subject = fmt.Sprintf("Webhook endpoint %s has changed: %s", n.ObjectID, strings.Join(n.Changed, ", "))
		advice = "If that was not you, disable the endpoint, exchange the API keys it was changed with, and tell us."
	case psd2.EventSigningKeyReplaced:
		about = ""
		subject = "Signing key replaced: " + strings.Join(n.Changed, " is now used instead of ")
		advice = "If that was not you, somebody has your old key and can order in your name: tell us at once, we take the new one out."
	}
	to := "To: " + strings.Join(m.To, ", ")
	if contacts := m.Contacts[n.MerchantID]; len(contacts) > 0 {
		to = "To: " + strings.Join(contacts, ", ") + "\r\nBcc: " + strings.Join(m.To, ", ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\n%s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@webhooks.rialto.invalid>\r\n", m.From, to, subject, n.CreatedAt.Format(time.RFC1123Z), n.ID)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nAuto-Submitted: auto-generated\r\n\r\n")
	fmt.Fprintf(&b, "Merchant: %s\r\n%s", n.MerchantID, about)
	if n.FailingSince != nil {
		fmt.Fprintf(&b, "Failing since: %s\r\n", n.FailingSince.Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "\r\n%s\r\n", advice)
	return []byte(b.String())
}
