package monitor

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Screened answers what the last screening run found about a person. It reads
// a stored result: nothing is compared with a list while money moves (Reg.
// 260/2012 Art. 5d). A nil result means never screened. screening.Service is
// one.
type Screened interface {
	Screened(ctx context.Context, personID string) (*rules.Screening, *rules.PEP, error)
}

// Limits answers what monthly limit a person has himself, nil when it is that of
// everybody or nobody has told. limits.Keeper is one.
type Limits interface {
	Limit(ctx context.Context, personKey string) (minor *int64, err error)
}

// deriver turns payments and transfers into facts.
type deriver struct {
	store    *store.DB
	sources  *rules.Sources
	lists    *rules.Lists
	screened Screened // nil: no result is known
	limits   Limits   // nil: everybody has the same
	reports  Reports  // nil: none is known
}

// key is the keyed hash of something that identifies; "" stays unknown.
func (d *deriver) key(kind, value string) string {
	if value == "" {
		return ""
	}
	return d.store.Lookup("monitor/"+kind, value)
}

// player fills in who plays.
func (d *deriver) player(f *rules.Fact, personID string, p psd2.Player) {
	f.Player, f.Person = personID, personID
	if identity, known := rules.Identity(p.Name, p.DateOfBirth); known {
		f.Person, f.PersonLinked = d.store.Lookup(rules.IdentityLookup, identity), true
	}
	f.KYC, f.Residence, f.Stake = p.KYCStatus, p.Residence, p.StakeMinorSinceLastPayout
	if at, err := time.Parse(time.RFC3339, p.RegisteredAt); err == nil {
		f.RegisteredAt = &at
	}
	if born, err := time.Parse(time.DateOnly, p.DateOfBirth); err == nil {
		age := years(born, f.At)
		f.HolderAge = &age
	}
}

// stored fills in what others keep about a person.
func (d *deriver) stored(ctx context.Context, f *rules.Fact, personID string) (err error) {
	if d.limits != nil && f.Gambling && f.Kind == rules.Deposit {
		if f.MonthLimit, err = d.limits.Limit(ctx, f.Person); err != nil {
			return err
		}
	}
	if d.screened != nil && personID != "" {
		if f.Screening, f.PEP, err = d.screened.Screened(ctx, personID); err != nil {
			return err
		}
	}
	return d.reported(ctx, f, personID)
}

func years(born, now time.Time) int {
	n := now.Year() - born.Year()
	if now.YearDay() < born.AddDate(n, 0, 0).YearDay() {
		n--
	}
	return n
}

// account fills in the player's account and what lists say of it.
func (d *deriver) account(f *rules.Fact, party psd2.Party) {
	f.IBAN, f.IBANCountry, f.BIC = d.key("iban", string(party.IBAN)), party.IBAN.Country(), party.BIC
	f.MuleListed = d.sources.Mule(string(party.IBAN))
	f.VASPListed = d.sources.VASP(party.IBAN, party.BIC)
}

// holder fills in whose account it is. The hub has compared the names; here is
// no second opinion.
func (d *deriver) holder(f *rules.Fact, check psd2.PayerCheck, name string) {
	match := 1.0
	switch check {
	case psd2.PayerMatched:
		f.Holder, f.HolderMatch = rules.HolderSelf, &match
	case psd2.PayerMismatched:
		match = 0
		f.Holder, f.HolderMatch = d.key("holder", names.Fold(name)), &match
	case psd2.PayerUnknown, psd2.PayerWaived:
	}
}

// address fills in where the payer's browser is.
func (d *deriver) address(f *rules.Fact, ip string) {
	f.IP, f.Network = d.key("ip", ip), d.key("network", rules.Network(ip))
	d.sources.Locate(f, ip)
}

// payment is the fact of a deposit as it stands.
func (d *deriver) payment(p *psd2.Payment, m *psd2.Merchant) *rules.Fact {
	f := &rules.Fact{
		ID: p.ID, Revision: p.Sequence, At: p.CreatedAt, Kind: rules.Deposit, Status: statusOf(p.State, p.AuthorizedAt != nil),
		Amount: p.Amount.AmountMinor, Currency: p.Amount.Currency, Merchant: p.MerchantID, Gambling: m != nil && m.Gambling,
		Device: d.key("device", p.Personal.DeviceID),
	}
	d.player(f, p.PersonID, p.Personal.Player)
	d.account(f, p.Personal.Source)
	d.holder(f, p.PayerCheck, p.Personal.Source.Name)
	if a := p.Last(); a != nil {
		d.address(f, p.Personal.Attempts[a.ID].PSU.IP)
	}
	d.lists.Purpose(f, p.Personal.Reference, p.Personal.Player.Name)
	return f
}

func statusOf(s psd2.State, authorized bool) rules.Status {
	switch {
	case s == psd2.StateSettled:
		return rules.Settled
	case s == psd2.StateFailed:
		return rules.Failed
	case s.MoneyMoved(), s == psd2.StateAuthorized, authorized:
		return rules.Accepted
	}
	return rules.Pending
}

// transfer is the fact of a payout or refund as it stands, with the deposit it
// follows, if that is known. The hub sees no browser for money out: the
// deposit's device and address stand for it, and what was found about the
// account's holder holds for the same account.
func (d *deriver) transfer(t *psd2.Transfer, m *psd2.Merchant, deposit *psd2.Payment) *rules.Fact {
	f := &rules.Fact{
		ID: t.ID, Revision: t.Sequence, At: t.CreatedAt, Kind: rules.Payout, Status: transferStatus(t.State),
		Amount: t.Amount.AmountMinor, Currency: t.Amount.Currency, Merchant: t.MerchantID, Gambling: m != nil && m.Gambling,
	}
	if t.Kind == psd2.KindRefund {
		f.Kind = rules.Refund
	}
	d.player(f, t.PersonID, t.Personal.Player)
	d.account(f, t.Personal.Payee)
	if deposit != nil {
		d.following(f, t, deposit)
	}
	if t.Personal.VoP != nil {
		f.VoP = string(t.Personal.VoP.Match)
	}
	d.lists.Purpose(f, t.Personal.Reference, t.Personal.Player.Name)
	return f
}

func (d *deriver) following(f *rules.Fact, t *psd2.Transfer, deposit *psd2.Payment) {
	source := deposit.Personal.Source
	f.SourceIBAN, f.Device = d.key("iban", string(source.IBAN)), d.key("device", deposit.Personal.DeviceID)
	if a := deposit.Last(); a != nil {
		d.address(f, deposit.Personal.Attempts[a.ID].PSU.IP)
	}
	if source.IBAN != "" && source.IBAN == t.Personal.Payee.IBAN {
		d.holder(f, deposit.PayerCheck, source.Name)
	}
}

func transferStatus(s psd2.TransferState) rules.Status {
	switch s {
	case psd2.TransferExecuted:
		return rules.Settled
	case psd2.TransferFailed, psd2.TransferReturned:
		return rules.Failed
	case psd2.TransferAuthorized, psd2.TransferUnknown:
		return rules.Accepted
	case psd2.TransferPending:
	}
	return rules.Pending
}
