package iso20022_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

const epcLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ "

func text(most int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(epcLetters)), 1, most, -1)
}

func name() *rapid.Generator[string] {
	return text(70).Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
}

func id() *rapid.Generator[string] {
	return text(35).Filter(func(s string) bool { return psd2.CheckReference(s) == nil && s != "NOTPROVIDED" })
}

func optional(g *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), g)
}

func amount() *rapid.Generator[psd2.Money] {
	return rapid.Map(rapid.Int64Range(psd2.MinSCTInstMinor, psd2.MaxSCTInstMinor), psd2.Euro)
}

func moment() *rapid.Generator[time.Time] {
	from := time.Date(2025, 10, 5, 0, 0, 0, 0, time.UTC).UnixMilli()
	return rapid.Map(rapid.Int64Range(from, from+2*365*24*3600*1000), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() })
}

func ibanOf() *rapid.Generator[psd2.IBAN] {
	return rapid.SampledFrom([]psd2.IBAN{payerIBAN, payeeIBAN, "MT84MALT011000012345MTLCAST001S", "FR1420041010050500013M02606", "NO9386011117947"})
}

func bic() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{payerBIC, payeeBIC, "MALTMTMT", "BNPAFRPPXXX"})
}

func partyOf() *rapid.Generator[iso20022.Party] {
	return rapid.Custom(func(t *rapid.T) iso20022.Party {
		p := iso20022.Party{Name: name().Draw(t, "name"), OrganisationID: optional(text(35)).Draw(t, "organisation")}
		if rapid.Bool().Draw(t, "address") {
			p.Address = iso20022.Address{
				Town: text(35).Draw(t, "town"), Country: rapid.SampledFrom([]string{"DE", "MT", "NL"}).Draw(t, "country"),
				Street: optional(text(70)).Draw(t, "street"), PostCode: optional(text(16)).Draw(t, "code"),
			}
			if lines := rapid.SliceOfN(text(70), 0, 2).Draw(t, "lines"); len(lines) > 0 {
				p.Address.Lines = lines
			}
		}
		return p
	})
}

func remittance() *rapid.Generator[iso20022.Remittance] {
	return rapid.Custom(func(t *rapid.T) iso20022.Remittance {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return iso20022.Remittance{Text: text(140).Draw(t, "text")}
		case 1:
			return iso20022.Remittance{Reference: rapid.SampledFrom([]string{"RF18539007547034", "RF741", "INVOICE 7/2026"}).Draw(t, "reference")}
		}
		return iso20022.Remittance{}
	})
}

// Whatever valid content a message has, it is written, our strict judge accepts
// it, and it is read back exactly, to the cent and the millisecond.
func TestValidContentSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &iso20022.InterbankTransfer{
			MessageID: id().Draw(t, "message"), CreatedAt: moment().Draw(t, "created"), SettlementDate: iso20022.Day(moment().Draw(t, "day")).Time,
			EndToEndID: optional(id()).Draw(t, "e2e"), TransactionID: id().Draw(t, "tx"), Amount: amount().Draw(t, "amount"), AcceptedAt: moment().Draw(t, "accepted"),
			Debtor: partyOf().Draw(t, "debtor"), DebtorAccount: ibanOf().Draw(t, "from"), DebtorAgent: bic().Draw(t, "bank"),
			Creditor: partyOf().Draw(t, "creditor"), CreditorAccount: ibanOf().Draw(t, "to"), CreditorAgent: bic().Draw(t, "bank"),
			Purpose: optional(rapid.Just("GAMB")).Draw(t, "purpose"), Remittance: remittance().Draw(t, "remittance"),
		}
		survives(t, m)
		batch := iso20022.Batch{
			ID: id().Draw(t, "batch"), ExecuteAt: iso20022.Moment{Time: moment().Draw(t, "execute")},
			Debtor: m.Creditor, DebtorAccount: m.CreditorAccount, DebtorAgent: optional(bic()).Draw(t, "bank"),
		}
		for range rapid.IntRange(1, 4).Draw(t, "orders") {
			batch.Orders = append(batch.Orders, iso20022.Order{
				EndToEndID: optional(id()).Draw(t, "e2e"), Amount: amount().Draw(t, "amount"),
				Creditor: m.Debtor, CreditorAccount: m.DebtorAccount, Remittance: remittance().Draw(t, "remittance"),
			})
		}
		survives(t, &iso20022.Initiation{MessageID: m.MessageID, CreatedAt: m.CreatedAt, Initiator: partyOf().Draw(t, "initiator"), Batches: []iso20022.Batch{batch, batch}})
		report := iso20022.Report{ID: id().Draw(t, "report"), CreatedAt: m.CreatedAt, Account: iso20022.Account{IBAN: m.CreditorAccount, Currency: "EUR"}}
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			report.Entries = append(report.Entries, iso20022.Entry{
				Amount:    psd2.Euro(rapid.Int64Range(0, math.MaxInt64/1000).Draw(t, "amount")),
				Direction: rapid.SampledFrom([]iso20022.Direction{iso20022.Credit, iso20022.Debit}).Draw(t, "direction"),
				Reversal:  rapid.Bool().Draw(t, "reversal"), Status: "BOOK", BookedAt: iso20022.Moment{Time: m.AcceptedAt}, Info: optional(text(500)).Draw(t, "info"),
				Transactions: []iso20022.Transaction{{EndToEndID: m.EndToEndID, Amount: m.Amount, Debtor: m.Debtor, Remittance: m.Remittance}},
			})
		}
		survives(t, &iso20022.Notification{MessageID: m.MessageID, CreatedAt: m.CreatedAt, Reports: []iso20022.Report{report}})
	})
}

func survives(t *rapid.T, m iso20022.Message) {
	t.Helper()
	out, err := iso20022.Write(m)
	if err != nil {
		t.Fatalf("write %s: %v", m.Name(), err)
	}
	back, err := iso20022.Read(out, iso20022.Strict)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Fatalf("%s (-written +read):\n%s", m.Name(), diff)
	}
}

// FuzzRead: whatever the bytes, no panic, and both modes agree with Check.
func FuzzRead(f *testing.F) {
	for _, m := range examples() {
		out, err := iso20022.Write(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out)
	}
	for _, b := range breaches {
		f.Add([]byte(edit(f, example(f, b.message), b.edits...)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := iso20022.Check(data)
		if v.OK != (len(v.Faults) == 0) || v.String() == "" {
			t.Fatalf("verdict %+v", v)
		}
		strict, err := iso20022.Read(data, iso20022.Strict)
		if (err == nil) != v.OK {
			t.Fatalf("Check says %s, Read %v", v, err)
		}
		if _, err := iso20022.Read(data, iso20022.Lenient); err != nil && v.OK {
			t.Fatalf("lenient reading refuses what strict accepts: %v", err)
		}
		if strict == nil {
			return
		}
		if out, err := iso20022.Write(strict); err == nil {
			back, err := iso20022.Read(out, iso20022.Strict)
			if diff := cmp.Diff(strict, back); err != nil || diff != "" {
				t.Fatalf("not the same after writing: %v\n%s", err, diff)
			}
		}
	})
}
