package browser

import "github.com/chromedp/cdproto/webauthn"

// Authenticator gives the browser a passkey provider of its own, which verifies
// its user or fails to.
func (b *Browser) Authenticator(verifies bool) {
	b.t.Helper()
	Send(b, webauthn.Enable, webauthn.EnableParams{})
	Send(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: verifies, AutomaticPresenceSimulation: true}})
}
