package sca

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
)

// Countries says in which country an address is, as ISO 3166-1 alpha-2; false
// when it does not know.
type Countries interface {
	Country(addr netip.Addr) (country string, known bool)
}

// Where a confirmation came from, against the browser in which it was asked for.
// Whoever makes somebody else scan his QR code is often in another country.
const (
	CountrySame   = "same"
	CountryOther  = "other"
	CountryNoData = "no_data" // nobody can say: no file of addresses, or one that does not know one of them
)

// country is where an address is; "" when nobody can say.
func (s *Service) country(addr netip.Addr) string {
	if s.countries == nil || !addr.IsValid() {
		return ""
	}
	c, known := s.countries.Country(addr.Unmap())
	if !known {
		return ""
	}
	return c
}

// cameFrom compares where an answer came from with where it was asked for.
func (s *Service) cameFrom(asked string, from netip.Addr) string {
	switch answered := s.country(from); {
	case asked == "" || answered == "":
		return CountryNoData
	case asked == answered:
		return CountrySame
	}
	return CountryOther
}

// confirmedFrom is where a payment's last confirmation came from; "" before
// there is one, unless nobody could ever say.
func (s *Service) confirmedFrom(ctx context.Context, paymentID string) (country string, err error) {
	err = s.db.Get(ctx, &country, `SELECT country FROM sca_challenges WHERE payment_id = ? AND purpose = 'payment' AND state = 'approved' ORDER BY id DESC LIMIT 1`, paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if country == "" && s.countries == nil {
		country = CountryNoData
	}
	return country, err
}
