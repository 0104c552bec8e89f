package psd2

import (
	"fmt"
	"math"
	"strings"
)

// Limits of one SEPA Instant credit transfer (SCT Inst rulebook: EUR 0.01 to
// 999,999,999.99; the old cap of EUR 100,000 ended on 2025-10-05). A merchant's
// own limit is configuration and lies below.
const (
	MinSCTInstMinor int64 = 1
	MaxSCTInstMinor int64 = 99_999_999_999
)

// EUR is the only currency of the SEPA schemes.
const EUR = "EUR"

// Money is an exact amount: minor units (cents) and an ISO 4217 code. It is
// never a float and never rounded.
type Money struct {
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
}

// Euro returns minor cents as euro.
func Euro(minor int64) Money { return Money{AmountMinor: minor, Currency: EUR} }

// CheckSCTInst reports whether m can be sent by SCT Inst: EUR, within the
// scheme's limits. The error is an *Error with code CodeInvalid.
func (m Money) CheckSCTInst() error {
	if m.Currency != EUR {
		return Invalid("amount.currency", "currency_not_supported", "the currency must be EUR")
	}
	if m.AmountMinor < MinSCTInstMinor || m.AmountMinor > MaxSCTInstMinor {
		return Invalid("amount.amount_minor", "amount_out_of_range", "the amount must be between 1 and 99999999999 cents")
	}
	return nil
}

// Decimal gives the amount with two decimals and a point, as NextGenPSD2 and
// ISO 20022 write it: 2500 → "25.00".
func (m Money) Decimal() string {
	sign, v := "", uint64(m.AmountMinor)
	if m.AmountMinor < 0 {
		sign, v = "-", uint64(-(m.AmountMinor+1))+1
	}
	return fmt.Sprintf("%s%d.%02d", sign, v/100, v%100)
}

// ParseDecimal reads what Decimal writes, and what banks write: digits, and at
// most two decimals after a point. Signs, exponents, separators, blanks and a
// third decimal (unless it is 0) are refused, so that no amount is ever guessed.
func ParseDecimal(s, currency string) (Money, error) {
	whole, frac, hasPoint := strings.Cut(s, ".")
	if whole == "" || (hasPoint && frac == "") || len(whole) > 16 {
		return Money{}, badDecimal(s)
	}
	for len(frac) > 2 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(frac) > 2 {
		return Money{}, badDecimal(s)
	}
	frac += "00"[:2-len(frac)]
	var v int64
	for _, c := range []byte(whole + frac) {
		if c < '0' || c > '9' {
			return Money{}, badDecimal(s)
		}
		if v > (math.MaxInt64-int64(c-'0'))/10 {
			return Money{}, badDecimal(s)
		}
		v = v*10 + int64(c-'0')
	}
	if len(currency) != 3 || strings.ToUpper(currency) != currency {
		return Money{}, Invalid("currency", "currency_invalid", "the currency must be three capital letters")
	}
	return Money{AmountMinor: v, Currency: currency}, nil
}

func badDecimal(string) error {
	return Invalid("amount", "amount_invalid", "the amount must be a decimal number with at most two decimals")
}

// Add returns m+n; it refuses another currency and an overflow.
func (m Money) Add(n Money) (Money, error) {
	if m.Currency != n.Currency {
		return Money{}, Invalid("currency", "currency_mismatch", "the currencies differ")
	}
	s := m.AmountMinor + n.AmountMinor
	if (s > m.AmountMinor) != (n.AmountMinor > 0) {
		return Money{}, Invalid("amount", "amount_out_of_range", "the sum is too large")
	}
	return Money{AmountMinor: s, Currency: m.Currency}, nil
}
