package psd2

// PromptKind is what a bank wants of the payer next.
type PromptKind string

// Kinds of prompt. All but PromptRedirect and PromptApp are answered through
// the hub, which relays the answer and keeps none of it.
const (
	PromptNone     PromptKind = ""         // nothing, or nothing more
	PromptRedirect PromptKind = "redirect" // go to the bank's own page
	PromptApp      PromptKind = "app"      // confirm in the bank's app (decoupled)
	PromptIdentify PromptKind = "identify" // say by which name the bank knows you (PSU-ID)
	PromptPassword PromptKind = "password" // PSU-ID, where AskID says so, and password
	PromptMethod   PromptKind = "method"   // choose one of Methods
	PromptCode     PromptKind = "code"     // the code of the chosen method
)

// Relayed reports whether the payer answers such a prompt through the hub.
func (k PromptKind) Relayed() bool {
	switch k {
	case PromptIdentify, PromptPassword, PromptMethod, PromptCode:
		return true
	}
	return false
}

// Prompt is one request of a bank to its customer. Message, names and data are
// the bank's own words: plain text, shown and never interpreted.
type Prompt struct {
	Kind        PromptKind `json:"kind,omitempty"`
	RedirectURL string     `json:"redirect_url,omitempty"` // with PromptRedirect
	Message     string     `json:"message,omitempty"`      // psuMessage, up to 500 characters
	AskID       bool       `json:"ask_id,omitempty"`       // with PromptPassword: the PSU-ID is not known to the bank yet
	Again       bool       `json:"again,omitempty"`        // the last answer was wrong, another may be given
	Methods     []Method   `json:"methods,omitempty"`      // with PromptMethod
	Method      string     `json:"method,omitempty"`       // with PromptCode: name of the chosen one
	Challenge   Challenge  `json:"challenge,omitzero"`     // with PromptCode
}

// Method is one way in which the bank can authenticate its customer
// (NextGenPSD2 scaMethods).
type Method struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // authenticationType, e.g. SMS_OTP
}

// Challenge is what a code answers (NextGenPSD2 challengeData).
type Challenge struct {
	Data       []string `json:"data,omitempty"`       // text, e.g. a start code
	Image      []byte   `json:"image,omitempty"`      // PNG, e.g. a photo TAN; up to 64 kB
	Format     string   `json:"format,omitempty"`     // "integer" or "characters"
	MaxLength  int      `json:"max_length,omitempty"` // of the code; 0 when not said
	Additional string   `json:"additional,omitempty"` // additionalInformation
}

// PromptAnswer is the payer's answer to a relayed prompt. It passes through
// memory only: it is never stored, logged, queued or put into an error
// (PSD2 Art. 66(3)(b), (e)).
type PromptAnswer struct {
	PSUID    string `json:"-"`
	Password string `json:"-"`
	MethodID string `json:"-"`
	Code     string `json:"-"`
}

// String hides the answer from whoever prints it.
func (PromptAnswer) String() string { return "[not shown]" }

// GoString hides it as well.
func (PromptAnswer) GoString() string { return "[not shown]" }
