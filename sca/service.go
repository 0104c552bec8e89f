package sca

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config says who the service is to browsers and authenticator apps. Payers and
// staff are reached under different hosts, so each has a Service of its own on
// the same database.
type Config struct {
	// Origin is scheme://host[:port] of the pages; passkeys belong to its host.
	Origin string `yaml:"origin"`
	// Name is what authenticator apps and passkey dialogs call us. Default
	// "Rialto". A colon would be read as the end of the issuer and is refused.
	Name string `yaml:"name"`
	// Regime names the rule set of the policy. Default "psd2".
	Regime string `yaml:"regime"`
	// RulesFile is a YAML file with the policy's rules, in the form of those that
	// come with the program (rialto sca rules), which count when it is "".
	RulesFile string `yaml:"rules_file"`
	// ChallengeLife is how long a payer has to answer; default 5 minutes.
	ChallengeLife time.Duration `yaml:"challenge_life"`
	// TOTP is what new authenticator apps get: SHA1, SHA256 or SHA512 and 6 or 8
	// digits. Default SHA1 and 6, which every app understands.
	TOTP TOTPParams `yaml:"totp"`
}

// Deps is what the service needs from others.
type Deps struct {
	Store *store.DB
	// Signer gives the key that signs receipts at that time. Nil: no receipts.
	Signer func(now time.Time) (*jose.Key, error)
	// Notices tells people what changed about their factors; nil: they only see
	// it on their own page.
	Notices Notices
	// Monitoring watches for fraud; nil: nobody does.
	Monitoring Monitoring
	// SignedIn is told, in its transaction, of every sign-in of a member of staff;
	// an error refuses it. Nil: nobody is.
	SignedIn func(tx *store.Tx, u User) error
	// Countries knows where addresses are; nil: nobody does.
	Countries Countries
	// Ping tells a push device that something waits for it; nil: it looks by
	// itself. An error is not a failure of the challenge.
	Ping   func(ctx context.Context, deviceID string) error
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Service is the domain. It is safe for concurrent use by many processes.
type Service struct {
	cfg        Config
	db         *store.DB
	signer     func(time.Time) (*jose.Key, error)
	notices    Notices
	monitoring Monitoring
	countries  Countries
	signedIn   func(*store.Tx, User) error
	ping       func(context.Context, string) error
	now        func() time.Time
	random     io.Reader
	log        *slog.Logger
	webauthn   *webauthn.WebAuthn
	rules      Rules
	rulesText  []byte // as kept with what they decide
	rulesHash  string
	rates      rates
}

// New makes a service. It fails when the configuration is wrong.
func New(c Config, d Deps) (*Service, error) {
	s := &Service{cfg: c, db: d.Store, signer: d.Signer, notices: d.Notices, monitoring: d.Monitoring, countries: d.Countries, signedIn: d.SignedIn, ping: d.Ping, now: d.Now, random: d.Random, log: d.Log}
	if err := s.setDefaults(); err != nil {
		return nil, err
	}
	origin, err := url.Parse(c.Origin)
	if err != nil || origin.Host == "" || origin.Scheme+"://"+origin.Host != c.Origin {
		return nil, errors.New("sca: origin must be scheme://host[:port]")
	}
	required := true
	s.webauthn, err = webauthn.New(&webauthn.Config{
		RPID: origin.Hostname(), RPDisplayName: s.cfg.Name, RPOrigins: []string{c.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired, // the library's default asks for none
		},
		// Extensions nobody asked for say nothing we act on.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("sca: %w", err)
	}
	if s.rules, err = readRules(s.cfg.RulesFile, s.cfg.Regime); err != nil {
		return nil, err
	}
	s.rulesText, s.rulesHash, err = s.rules.document()
	return s, err
}

func (s *Service) setDefaults() error {
	if s.db == nil {
		return errors.New("sca: a store is needed")
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Name == "" {
		s.cfg.Name = "Rialto"
	}
	if s.cfg.Regime == "" {
		s.cfg.Regime = "psd2"
	}
	if s.cfg.ChallengeLife == 0 {
		s.cfg.ChallengeLife = 5 * time.Minute
	}
	return s.cfg.TOTP.setDefaults(s.cfg.Name)
}

// errRefused is the one answer to every failed try: wrong code, wrong factor,
// no such person, locked, too late (RTS Art. 4(3)(a)).
var errRefused = psd2.Fail(psd2.CodeUnauthorized, "sca_refused", "this did not work; please try again or use another way")

// Refused reports whether err is the answer to a failed try.
func Refused(err error) bool {
	var e *psd2.Error
	return errors.As(err, &e) && e.Reason == errRefused.Reason
}

// errGone says that a challenge can no longer be answered.
var errGone = psd2.Fail(psd2.CodeConflict, "sca_challenge_ended", "this confirmation has ended; nothing was changed")

// secret is 256 random bits in base64url.
func (s *Service) secret() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return "", fmt.Errorf("sca: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// hashOf is how a secret is kept: who reads the database cannot use it.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// SessionHash is how a caller names the browser a challenge is bound to: the
// hash of the secret in that browser's cookie.
func SessionHash(secret string) string { return hashOf(secret) }

// below gives a uniformly random number in [0, limit), limit ≤ 65536: what
// would favour some numbers is thrown away.
func (s *Service) below(limit int) (int, error) {
	var b [2]byte
	for {
		if _, err := io.ReadFull(s.random, b[:]); err != nil {
			return 0, fmt.Errorf("sca: %w", err)
		}
		if n := int(b[0])<<8 | int(b[1]); n < 65536/limit*limit {
			return n % limit, nil
		}
	}
}
