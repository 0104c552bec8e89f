package page

// Provider is the payment initiation service provider that runs the pages:
// the facts PSD2 Art. 45(2) has a payer told before he initiates a payment.
type Provider struct {
	Name       string `yaml:"name"`        // as payers see it: "Rialto"
	LegalName  string `yaml:"legal_name"`  // registered name
	Address    string `yaml:"address"`     // head office, one line
	Email      string `yaml:"email"`       // for questions and complaints
	Phone      string `yaml:"phone"`       // optional
	Authority  string `yaml:"authority"`   // who supervises it
	RegisterNo string `yaml:"register_no"` // in that authority's register
	HelpURL    string `yaml:"help_url"`    // optional; else mailto the e-mail
	PrivacyURL string `yaml:"privacy_url"` // optional
	Sandbox    bool   `yaml:"sandbox"`     // no real money moves: every page says so
}

// SandboxProvider is who the pages name until an operator has entered his own
// facts. It claims no licence.
func SandboxProvider() Provider {
	return Provider{
		Name: "Rialto", LegalName: "Rialto test environment", Address: "no office, this is a test",
		Email: "help@pay.localhost", Authority: "none, this is a test environment", RegisterNo: "none",
		Sandbox: true,
	}
}

// Help is where a payer gets help.
func (p Provider) Help() string {
	if p.HelpURL != "" {
		return p.HelpURL
	}
	return "mailto:" + p.Email
}
