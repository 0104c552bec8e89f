package sca

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Cost of argon2id (RFC 9106 §4, second choice scaled to what OWASP asks for at
// least): 19 MiB, two passes, one lane.
const (
	argonMemory = 19 << 10
	argonPasses = 2
	argonLanes  = 1
	argonLength = 32
	argonSalt   = 16
)

// hashPassword gives "salt$hash" in base64.
func (s *Service) hashPassword(secret string) (string, error) {
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(s.random, salt); err != nil {
		return "", fmt.Errorf("sca: %w", err)
	}
	sum := argon2.IDKey([]byte(secret), salt, argonPasses, argonMemory, argonLanes, argonLength)
	return base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(sum), nil
}

// checkPassword costs the same whether the hash is there, damaged or empty, and
// an empty one never matches.
func checkPassword(hash, secret string) bool {
	saltText, sumText, _ := strings.Cut(hash, "$")
	salt, err1 := base64.RawStdEncoding.DecodeString(saltText)
	want, err2 := base64.RawStdEncoding.DecodeString(sumText)
	real := err1 == nil && err2 == nil && len(salt) == argonSalt && len(want) == argonLength
	if !real {
		salt, want = make([]byte, argonSalt), make([]byte, argonLength)
	}
	got := argon2.IDKey([]byte(secret), salt, argonPasses, argonMemory, argonLanes, argonLength)
	return subtle.ConstantTimeCompare(got, want) == 1 && real
}

// Recovery codes: ten, each its number, then 80 random bits in groups of four.
const (
	recoveryCodes = 10
	recoveryBytes = 10
)

// NewRecoveryCodes replaces a person's recovery codes and returns the new ones,
// once. They prove him when he changes factors; they never confirm a payment.
func (s *Service) NewRecoveryCodes(ctx context.Context, by Session) ([]string, error) {
	codes, hashes := make([]string, recoveryCodes), make([]string, recoveryCodes)
	for i := range codes {
		raw := make([]byte, recoveryBytes)
		if _, err := io.ReadFull(s.random, raw); err != nil {
			return nil, fmt.Errorf("sca: %w", err)
		}
		t := base32.StdEncoding.EncodeToString(raw)
		codes[i] = fmt.Sprintf("%d-%s-%s-%s-%s", i, t[0:4], t[4:8], t[8:12], t[12:16])
		hash, err := s.hashPassword(t)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	err := s.replaceFactor(ctx, by, Recovery, factorSecret{Name: "recovery", Recovery: hashes})
	return codes, err
}

// minPassword is the shortest password in characters (ASVS 6.2.1 asks for 8, we
// for what a second factor beside TOTP deserves); maxPassword bounds the work.
const (
	minPassword = 12
	maxPassword = 128
)

// SetPassword gives a member of staff the second element beside TOTP.
func (s *Service) SetPassword(ctx context.Context, by Session, password string) error {
	if n := utf8.RuneCountInString(password); n < minPassword || len(password) > maxPassword || !utf8.ValidString(password) {
		return psd2.Invalid("password", "password_invalid", "the password must have 12 to 128 characters")
	}
	hash, err := s.hashPassword(password)
	if err != nil {
		return err
	}
	return s.replaceFactor(ctx, by, Password, factorSecret{Name: "password", Password: hash})
}

// replaceFactor puts the one factor of its kind in the place of the old one.
func (s *Service) replaceFactor(ctx context.Context, by Session, method Method, secret factorSecret) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM sca_factors WHERE person_id = ? AND kind = ?`, by.PersonID, string(method)); err != nil {
			return err
		}
		f := &factor{PersonID: by.PersonID, Kind: string(method), State: factorActive, secret: secret}
		if err := s.insertFactor(tx, f, ""); err != nil {
			return err
		}
		var err error
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: FactorAdded, Method: method})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

// splitRecovery reads "3-ABCD-…" as people type it: any case, blanks or none.
func splitRecovery(code string) (number int, secret string, ok bool) {
	plain := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.ToUpper(code))
	if len(plain) != 17 {
		return 0, "", false
	}
	number, err := strconv.Atoi(plain[:1])
	return number, plain[1:], err == nil && number < recoveryCodes
}

// checkRecovery finds which unused code this is. It costs the same for every
// code, and for people who have none.
func checkRecovery(f *factor, code string) (number int, ok bool) {
	number, secret, formed := splitRecovery(code)
	hash := ""
	if formed && f != nil && number < len(f.secret.Recovery) {
		hash = f.secret.Recovery[number]
	}
	return number, checkPassword(hash, secret)
}

// useRecovery uses a recovery code up.
func (s *Service) useRecovery(tx *store.Tx, personID, factorID string, number int) error {
	f, err := s.oneFactor(tx, personID, factorID)
	if err != nil {
		return err
	}
	first, err := tx.Consume("sca.recovery", f.ID+"/"+strconv.Itoa(number), tx.Now.Add(100*365*24*time.Hour)) // for good
	if err != nil {
		return err
	}
	if !first || f.State != factorActive || f.secret.Recovery[number] == "" {
		return errRefused
	}
	f.secret.Recovery[number] = ""
	return s.saveFactor(tx, f)
}

// only finds the one factor of its kind among a person's; nil when there is none.
func only(list []factor, method Method) *factor {
	for i := range list {
		if list[i].Kind == string(method) {
			return &list[i]
		}
	}
	return nil
}
