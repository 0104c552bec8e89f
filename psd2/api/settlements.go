package api

import (
	"encoding/csv"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// StatementWriter writes one day of an account the way a bank does, as a
// camt.053. The room does not know the format.
type StatementWriter interface {
	WriteStatement(account psd2.PayeeAccount, s psd2.Settlement, entries []psd2.StatementEntry) ([]byte, error)
}

// Forms of a settlement report.
const (
	formJSON = "json"
	formCSV  = "csv"
	formXML  = "camt.053"
)

const (
	maxDays   = 92
	csvBatch  = 1000
	maxReport = 100_000 // entries of one day that are written as one message
)

// settlementView is one day of one account, in cents.
type settlementView struct {
	AccountID  string        `json:"account_id"`
	Day        string        `json:"day"`
	Currency   string        `json:"currency"`
	Opening    *int64        `json:"opening_minor"`
	Closing    *int64        `json:"closing_minor"`
	Initiated  initiatedView `json:"initiated"`
	Entries    classTallies  `json:"entries"`
	Missing    psd2.Tally    `json:"missing"`
	InTransit  psd2.Tally    `json:"in_transit"`
	Difference int64         `json:"difference_minor"`
}

type initiatedView struct {
	Deposits int64 `json:"deposits_minor"`
	Refunds  int64 `json:"refunds_minor"`
	Payouts  int64 `json:"payouts_minor"`
	Returns  int64 `json:"returns_minor"`
}

type settlementList struct {
	Data []settlementView `json:"data"`
}

func viewSettlement(s *psd2.Settlement) settlementView {
	return settlementView{
		AccountID: s.AccountID, Day: s.Day, Currency: psd2.EUR, Opening: s.Opening, Closing: s.Closing,
		Initiated: initiatedView{s.Deposits, s.Refunds, s.Payouts, s.Returns}, Entries: tallies(s.Classes),
		Missing: s.Missing, InTransit: s.InTransit, Difference: s.Difference,
	}
}

// report is a request for settlements.
type report struct {
	accounts []psd2.PayeeAccount
	from, to string
	form     string
}

func (a *room) listSettlements(c echo.Context, who *call) error {
	r, err := a.readReport(c.Request(), who)
	if err != nil {
		return err
	}
	switch r.form {
	case formCSV:
		return a.writeCSV(c, r)
	case formXML:
		return a.writeStatement(c, r)
	}
	list := settlementList{Data: []settlementView{}}
	for _, account := range r.accounts {
		days, err := a.Hub.Settlements(c.Request().Context(), account.ID, r.from, r.to)
		if err != nil {
			return err
		}
		for i := range days {
			list.Data = append(list.Data, viewSettlement(&days[i]))
		}
	}
	return c.JSON(http.StatusOK, list)
}

func (a *room) readReport(req *http.Request, who *call) (r report, err error) {
	q, err := query(req, "account_id", "from", "to", "format")
	if err != nil {
		return r, err
	}
	r.accounts = who.merchant.Accounts
	if id, given := q["account_id"]; given {
		own, ok := who.merchant.Account(id)
		if !ok {
			return r, psd2.Invalid("account_id", "account_unknown", "this is not one of your accounts")
		}
		r.accounts = []psd2.PayeeAccount{own}
	}
	today := a.Now().UTC()
	if r.from, r.to, err = dayRange(q, today.AddDate(0, 0, -30).Format(time.DateOnly), today.Format(time.DateOnly)); err != nil {
		return r, err
	}
	r.form = formOf(q, req)
	switch {
	case r.form == formJSON, r.form == formCSV:
	case r.form != formXML || a.Statements == nil:
		return r, psd2.Invalid("format", "format_not_supported", "the format must be json or csv, or camt.053 where it is offered")
	case r.from != r.to || len(r.accounts) != 1:
		return r, psd2.Invalid("from", "range_invalid", "a camt.053 is about one day of one account")
	}
	return r, nil
}

// formOf is the wanted form: the parameter's, or the first we have of Accept.
func formOf(q map[string]string, req *http.Request) string {
	if form, given := q["format"]; given {
		return form
	}
	for part := range strings.SplitSeq(req.Header.Get("Accept"), ",") {
		switch media, _, _ := mime.ParseMediaType(part); media {
		case "text/csv":
			return formCSV
		case "application/xml":
			return formXML
		case "application/json":
			return formJSON
		}
	}
	return formJSON
}

// dayRange reads from and to, days by UTC, both included.
func dayRange(q map[string]string, from, to string) (string, string, error) {
	for name, day := range map[string]*string{"from": &from, "to": &to} {
		raw, given := q[name]
		if !given {
			continue
		}
		if _, err := time.Parse(time.DateOnly, raw); err != nil {
			return "", "", psd2.Invalid(name, "date_invalid", "the day must be a date like 2026-12-31")
		}
		*day = raw
	}
	if from != "" && to != "" {
		first, _ := time.Parse(time.DateOnly, from)
		last, _ := time.Parse(time.DateOnly, to)
		if last.Before(first) || last.Sub(first) > maxDays*24*time.Hour {
			return "", "", psd2.Invalid("from", "range_invalid", "from must not be after to, nor more than 92 days before it")
		}
	}
	return from, to, nil
}

var csvHeader = []string{"account_id", "booked_at", "bank_reference", "kind", "direction", "amount", "currency", "class", "object_id",
	"end_to_end_id", "return_code", "counterparty", "iban_masked", "remittance"}

// writeCSV streams the entries of the days. What cannot be finished is cut off
// in a way that no client takes for the end.
func (a *room) writeCSV(c echo.Context, r report) error {
	header := c.Response().Header()
	header.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	header.Set("Content-Disposition", `attachment; filename="settlements-`+r.from+`-`+r.to+`.csv"`)
	c.Response().WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Response())
	w.UseCRLF = true // RFC 4180
	_ = w.Write(csvHeader)
	for _, account := range r.accounts {
		f := store.EntryFilter{AccountID: account.ID, From: r.from, To: r.to, Limit: csvBatch}
		for {
			entries, err := a.Store.StatementEntries(c.Request().Context(), f)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			for i := range entries {
				_ = w.Write(csvRow(&entries[i]))
			}
			if w.Flush(); w.Error() != nil || len(entries) < csvBatch {
				break
			}
			f.After = entries[len(entries)-1].Number
		}
	}
	w.Flush()
	return nil // a client who is gone needs no error
}

func csvRow(e *psd2.StatementEntry) []string {
	row := []string{e.AccountID, e.BookedAt.UTC().Format("2006-01-02T15:04:05.000Z"), e.BankID, string(e.Kind), direction(e.Incoming), e.Amount.Decimal(),
		e.Amount.Currency, string(e.Class), e.ObjectID, e.EndToEndID, e.Reason, e.Counterparty.Name, e.Counterparty.IBAN.Masked(), e.Remittance}
	for i := range row {
		row[i] = harmless(row[i])
	}
	return row
}

// harmless keeps a spreadsheet from taking a text for a formula: names and
// remittances are written by strangers (OWASP ASVS 5.0 1.2.10).
func harmless(cell string) string {
	cell = strings.ReplaceAll(cell, "\x00", "")
	if strings.IndexAny(cell, "=+-@\t\r\n") == 0 {
		return "'" + cell
	}
	return cell
}

func (a *room) writeStatement(c echo.Context, r report) error {
	ctx, account := c.Request().Context(), r.accounts[0]
	days, err := a.Hub.Settlements(ctx, account.ID, r.from, r.to)
	if err != nil {
		return err
	}
	if len(days) == 0 || days[0].Opening == nil {
		return psd2.Fail(psd2.CodeNotFound, "statement_not_found", "there is no statement of this day")
	}
	var all []psd2.StatementEntry
	for f := (store.EntryFilter{AccountID: account.ID, From: r.from, To: r.to, Limit: csvBatch}); len(all) < maxReport; {
		entries, err := a.Store.StatementEntries(ctx, f)
		if err != nil {
			return err
		}
		if all = append(all, entries...); len(entries) < csvBatch {
			break
		}
		f.After = entries[len(entries)-1].Number
	}
	if len(all) >= maxReport {
		return psd2.Invalid("format", "report_too_large", "the day has too many entries for one message; take csv")
	}
	message, err := a.Statements.WriteStatement(account, days[0], all)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/xml", message)
}
