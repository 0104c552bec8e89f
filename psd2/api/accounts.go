package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// accountView is a payee account and where its books stand. Sums are in cents;
// unlike a Money they may be zero, and a difference negative.
type accountView struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	IBAN         psd2.IBAN       `json:"iban"`
	BIC          string          `json:"bic,omitempty"`
	Currency     string          `json:"currency"`
	Connected    bool            `json:"connected"`
	ReadAt       *psd2.Timestamp `json:"statement_read_at"`
	BalanceMinor *int64          `json:"balance_minor"`
	BalanceAt    *psd2.Timestamp `json:"balance_at"`
	Entries      classTallies    `json:"entries"`
	Missing      psd2.Tally      `json:"missing"`
	InTransit    psd2.Tally      `json:"in_transit"`
	Unexplained  *int64          `json:"unexplained_minor"`
}

// classTallies has every class, also those without entries.
type classTallies struct {
	Matched     psd2.Tally `json:"matched"`
	Late        psd2.Tally `json:"late"`
	Duplicate   psd2.Tally `json:"duplicate"`
	Foreign     psd2.Tally `json:"foreign"`
	WrongAmount psd2.Tally `json:"wrong_amount"`
}

func tallies(m map[psd2.EntryClass]psd2.Tally) classTallies {
	return classTallies{m[psd2.EntryMatched], m[psd2.EntryLate], m[psd2.EntryDuplicate], m[psd2.EntryForeign], m[psd2.EntryWrongAmount]}
}

type accountList struct {
	Data []accountView `json:"data"`
}

func (a *room) viewAccount(c echo.Context, account psd2.PayeeAccount) (accountView, error) {
	b, err := a.Hub.Books(c.Request().Context(), account.ID)
	if err != nil {
		return accountView{}, err
	}
	v := accountView{
		ID: account.ID, Name: account.Name, IBAN: account.IBAN, BIC: account.BIC, Currency: psd2.EUR, Connected: a.Hub.Connected(account.ID),
		Entries: tallies(b.Classes), Missing: b.Missing, InTransit: b.InTransit, Unexplained: b.Unexplained,
		ReadAt: (*psd2.Timestamp)(b.ReadAt), BalanceAt: (*psd2.Timestamp)(b.BalanceAt),
	}
	if b.Balance != nil {
		v.BalanceMinor = &b.Balance.AmountMinor
	}
	return v, nil
}

func (a *room) listAccounts(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	list := accountList{Data: make([]accountView, 0, len(who.merchant.Accounts))}
	for _, account := range who.merchant.Accounts {
		v, err := a.viewAccount(c, account)
		if err != nil {
			return err
		}
		list.Data = append(list.Data, v)
	}
	return c.JSON(http.StatusOK, list)
}

// account is the merchant's own one that the path names.
func account(c echo.Context, who *call) (psd2.PayeeAccount, error) {
	own, ok := who.merchant.Account(c.Param("id"))
	if !ok {
		return own, psd2.NotFound("account")
	}
	return own, nil
}

func (a *room) getAccount(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	own, err := account(c, who)
	if err != nil {
		return err
	}
	v, err := a.viewAccount(c, own)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

// entryView is an entry of the statement and what it is to the hub.
type entryView struct {
	ID           string          `json:"id"` // the bank's reference
	AccountID    string          `json:"account_id"`
	Kind         psd2.EntryKind  `json:"kind"`
	Direction    string          `json:"direction"`
	Amount       psd2.Money      `json:"amount"`
	BookedAt     psd2.Timestamp  `json:"booked_at"`
	Class        psd2.EntryClass `json:"class"`
	ObjectID     string          `json:"object_id,omitempty"`
	EndToEndID   string          `json:"end_to_end_id,omitempty"`
	ReturnCode   string          `json:"return_code,omitempty"`
	Counterparty *payerView      `json:"counterparty,omitempty"`
	Remittance   string          `json:"remittance,omitempty"`
}

type payerView struct {
	Name       string `json:"name,omitempty"`
	IBANMasked string `json:"iban_masked,omitempty"`
}

type entryList struct {
	Data       []entryView `json:"data"`
	NextCursor *string     `json:"next_cursor"` // null on the last page
}

func viewEntry(e *psd2.StatementEntry) entryView {
	v := entryView{ID: e.BankID, AccountID: e.AccountID, Kind: e.Kind, Direction: direction(e.Incoming), Amount: e.Amount,
		BookedAt: psd2.Timestamp(e.BookedAt), Class: e.Class, ObjectID: e.ObjectID, EndToEndID: e.EndToEndID, ReturnCode: e.Reason, Remittance: e.Remittance}
	if e.Counterparty != (psd2.Party{}) {
		v.Counterparty = &payerView{e.Counterparty.Name, e.Counterparty.IBAN.Masked()}
	}
	return v
}

func direction(incoming bool) string {
	if incoming {
		return "in"
	}
	return "out"
}

func (a *room) listEntries(c echo.Context, who *call) error {
	q, err := query(c.Request(), "class", "from", "to", "limit", "cursor")
	if err != nil {
		return err
	}
	own, err := account(c, who)
	if err != nil {
		return err
	}
	f := store.EntryFilter{AccountID: own.ID, Class: psd2.EntryClass(q["class"])}
	if _, given := q["class"]; given && !slices.Contains(psd2.EntryClasses, f.Class) {
		return psd2.Invalid("class", "class_unknown", "there is no such class of entries")
	}
	if f.From, f.To, err = dayRange(q, "", ""); err != nil {
		return err
	}
	if raw, given := q["cursor"]; given {
		if f.After, err = strconv.ParseInt(raw, 10, 64); err != nil || f.After < 1 {
			return psd2.Invalid("cursor", "cursor_invalid", "take the cursor from next_cursor of the page before")
		}
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	f.Limit = limit + 1
	entries, err := a.Store.StatementEntries(c.Request().Context(), f)
	if err != nil {
		return err
	}
	list := entryList{Data: []entryView{}}
	if len(entries) > limit {
		entries = entries[:limit]
		next := strconv.FormatInt(entries[limit-1].Number, 10)
		list.NextCursor = &next
	}
	for i := range entries {
		list.Data = append(list.Data, viewEntry(&entries[i]))
	}
	return c.JSON(http.StatusOK, list)
}

// missingView is an order that no statement shows.
type missingView struct {
	ObjectID   string         `json:"object_id"`
	EndToEndID string         `json:"end_to_end_id"`
	Direction  string         `json:"direction"`
	Amount     psd2.Money     `json:"amount"`
	ExpectedAt psd2.Timestamp `json:"expected_at"`
}

type missingList struct {
	Data []missingView `json:"data"`
}

func (a *room) listMissing(c echo.Context, who *call) error {
	q, err := query(c.Request(), "limit")
	if err != nil {
		return err
	}
	own, err := account(c, who)
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	entries, err := a.Hub.Missing(c.Request().Context(), own.ID, limit)
	if err != nil {
		return err
	}
	list := missingList{Data: make([]missingView, 0, len(entries))}
	for _, e := range entries {
		list.Data = append(list.Data, missingView{e.ObjectID, e.EndToEndID, direction(e.Incoming), e.Amount, psd2.Timestamp(e.ExpectedAt)})
	}
	return c.JSON(http.StatusOK, list)
}
