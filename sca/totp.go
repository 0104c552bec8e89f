package sca

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TOTPParams are the parameters of RFC 6238 beside the secret. The zero value
// is what every authenticator app understands.
type TOTPParams struct {
	Algorithm string `yaml:"algorithm" json:"algorithm"` // SHA1 (default), SHA256 or SHA512
	Digits    int    `yaml:"digits" json:"digits"`       // 6 (default) or 8
}

var totpAlgorithms = map[string]struct {
	algorithm otp.Algorithm
	secret    int // bytes: the hash's own length (RFC 6238 §5.1, RFC 4226 R6 asks for 20)
}{"SHA1": {otp.AlgorithmSHA1, 20}, "SHA256": {otp.AlgorithmSHA256, 32}, "SHA512": {otp.AlgorithmSHA512, 64}}

func (p *TOTPParams) setDefaults(issuer string) error {
	if p.Algorithm == "" {
		p.Algorithm = "SHA1"
	}
	if p.Digits == 0 {
		p.Digits = 6
	}
	if _, ok := totpAlgorithms[p.Algorithm]; !ok || p.Digits != 6 && p.Digits != 8 {
		return errors.New("sca: totp must be SHA1, SHA256 or SHA512 with 6 or 8 digits")
	}
	if strings.ContainsAny(issuer, ":\r\n") || issuer == "" {
		return errors.New("sca: the name must not contain a colon, which ends the issuer in an otpauth URL")
	}
	return nil
}

// totpStep is the length of a time step (RFC 6238 §5.2).
const totpStep = 30

// keepDigits is how long used digits are refused although another step may
// give the same ones by chance: three times in a hundred days two steps that
// are close together do.
const keepDigits = 10 * time.Minute

// totpSecret is what is sealed of an authenticator app.
type totpSecret struct {
	TOTPParams
	Secret string `json:"secret"` // base32 without padding
}

// minSecret is the shortest secret in bytes that is ever compared against: a
// blank one has a code that everybody can compute.
const minSecret = 20

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// code gives the digits of a step.
func (t totpSecret) code(step int64) (string, error) {
	raw, err := base32NoPadding.DecodeString(t.Secret)
	if err != nil || len(raw) < minSecret {
		return "", errors.New("sca: the TOTP secret is too short or damaged")
	}
	alg, ok := totpAlgorithms[t.Algorithm]
	if !ok || t.Digits != 6 && t.Digits != 8 || step < 0 {
		return "", errors.New("sca: the TOTP parameters are damaged")
	}
	return hotp.GenerateCodeCustom(t.Secret, uint64(step), hotp.ValidateOpts{Digits: otp.Digits(t.Digits), Algorithm: alg.algorithm})
}

// match finds the step that a code is of: the present or the previous one (90
// seconds of tolerance would be a third more to guess), and none up to
// lastStep. Both are always computed and compared.
func (t totpSecret) match(code string, now time.Time, lastStep int64) (step int64, ok bool) {
	if len(code) != t.Digits || strings.Trim(code, "0123456789") != "" {
		return 0, false
	}
	current := now.Unix() / totpStep
	for _, s := range []int64{current, current - 1} {
		want, err := t.code(s)
		same := subtle.ConstantTimeCompare([]byte(code), []byte(want))
		if err == nil && same == 1 && s > lastStep && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// nobodysApp is compared with where there is no app; nothing is done with what it
// says.
var nobodysApp = totpSecret{TOTPParams: TOTPParams{Algorithm: "SHA1", Digits: 6}, Secret: strings.Repeat("A", 32)}

// TOTPSetup is what a person needs to set his authenticator app up. It is given
// once: the secret cannot be read again.
type TOTPSetup struct {
	FactorID string
	URL      string // otpauth://…, for the QR code; secret
	Key      string // the secret in base32, to type
	Params   TOTPParams
}

// BeginTOTP enrols an authenticator app, which counts once ConfirmTOTP has seen
// a code of it. account is what the app shows under our name.
func (s *Service) BeginTOTP(ctx context.Context, by Session, account string) (TOTPSetup, error) {
	raw := make([]byte, totpAlgorithms[s.cfg.TOTP.Algorithm].secret)
	if _, err := io.ReadFull(s.random, raw); err != nil {
		return TOTPSetup{}, fmt.Errorf("sca: %w", err)
	}
	setup := TOTPSetup{Key: base32NoPadding.EncodeToString(raw), Params: s.cfg.TOTP}
	setup.URL = otpauthURL(s.cfg.Name, account, setup.Key, s.cfg.TOTP)
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM sca_factors WHERE person_id = ? AND kind = 'totp' AND state = 'pending'`, by.PersonID); err != nil {
			return err
		}
		f := &factor{PersonID: by.PersonID, Kind: string(TOTP), State: factorPending,
			secret: factorSecret{TOTP: &totpSecret{TOTPParams: s.cfg.TOTP, Secret: setup.Key}}}
		err := s.insertFactor(tx, f, "")
		setup.FactorID = f.ID
		return err
	})
	return setup, err
}

// NewDigits is how many digits the codes of new authenticator apps have.
func (s *Service) NewDigits() int { return s.cfg.TOTP.Digits }

// otpauthURL writes the key for an app. What is not a letter or digit in
// issuer and account is escaped, a colon too: it would end the issuer.
func otpauthURL(issuer, account, key string, p TOTPParams) string {
	escape := func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") }
	return "otpauth://totp/" + escape(issuer) + ":" + escape(strings.ReplaceAll(account, ":", " ")) +
		"?secret=" + key + "&issuer=" + escape(issuer) + "&algorithm=" + p.Algorithm + "&digits=" + strconv.Itoa(p.Digits) + "&period=" + strconv.Itoa(totpStep)
}

// ConfirmTOTP makes an authenticator app count after one right code, which is
// thereby used.
func (s *Service) ConfirmTOTP(ctx context.Context, by Session, factorID, code, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	ticket, err := s.raise(ctx, by.PersonID, TOTP)
	if err != nil {
		return err
	}
	var notice Notice
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		f, err := s.oneFactor(tx, by.PersonID, factorID)
		if err != nil {
			return err
		}
		if f.State != factorPending || f.secret.TOTP == nil {
			return psd2.NotFound("factor")
		}
		step, ok := f.secret.TOTP.match(code, tx.Now, f.LastStep)
		if !ok {
			return errRefused
		}
		if err := s.useCode(tx, f, step, code); err != nil {
			return err
		}
		f.secret.Name = name
		if err := s.saveFactor(tx, f); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE sca_factors SET state = 'active' WHERE id = ?`, f.ID); err != nil {
			return err
		}
		if err := ticket.settle(tx); err != nil {
			return err
		}
		if err := s.verified(tx, by, f.ID); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: FactorAdded, Method: TOTP})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

// useCode uses a step and its digits up, for whatever process asks first.
func (s *Service) useCode(tx *store.Tx, f *factor, step int64, code string) error {
	n, err := tx.Exec(`UPDATE sca_factors SET last_step = ?, used_at = ? WHERE id = ? AND state IN ('active', 'pending') AND last_step < ?`,
		step, tx.Now.UnixMicro(), f.ID, step)
	if err != nil {
		return err
	}
	if n != 1 {
		return errRefused
	}
	for _, use := range []struct{ kind, key string }{
		{"sca.totp.step", f.ID + "/" + strconv.FormatInt(step, 10)},
		{"sca.totp.digits", f.ID + "/" + code},
	} {
		first, err := tx.Consume(use.kind, use.key, tx.Now.Add(keepDigits))
		if err != nil {
			return err
		}
		if !first {
			return errRefused
		}
	}
	return nil
}
