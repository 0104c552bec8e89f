package iso20022_test

import (
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// The cast of all tests: Jonas pays the casino on a November evening.
const (
	payerIBAN = psd2.IBAN("DE89370400440532013000")
	payeeIBAN = psd2.IBAN("NL91ABNA0417164300")
	payerBIC  = "COBADEFFXXX"
	payeeBIC  = "ABNANL2AXXX"
	uetr      = "0d7a9c1e-54c2-4b8e-9f30-2b7c51d2a944"
)

var (
	evening  = time.Date(2026, 11, 20, 19, 4, 5, 678e6, time.UTC)
	zeroTime time.Time
	today    = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

	payer = iso20022.Party{Name: "Jonas Kruger", Address: iso20022.Address{
		Street: "Lange Gasse", Building: "12a", PostCode: "10115", Town: "Berlin", Country: "DE"}}
	payee = iso20022.Party{Name: "Golden Dice B.V.", Address: iso20022.Address{
		Town: "Utrecht", Country: "NL", Lines: []string{"Oudegracht 7"}}}
	original = iso20022.Original{MessageID: "COBA20261120-77", Message: "pacs.008.001.08"}
)

// examples holds one message of each kind, as rich as the codec writes them.
func examples() []iso20022.Message {
	return []iso20022.Message{
		exampleInitiation(), exampleInitiationStatus(), exampleTransfer(), exampleTransferStatus(), exampleReturn(),
		&iso20022.StatusRequest{
			MessageID: "COBA20261120-78", CreatedAt: evening.Add(15 * time.Second),
			Inquiries: []iso20022.Inquiry{{ID: "INQ-1", Original: original, EndToEndID: "DEP-4711", TransactionID: "TX-9001", UETR: uetr, AcceptedAt: evening}},
		},
		&iso20022.Recall{
			ID: "RECALL-1", CreatedAt: evening.Add(time.Hour), From: payerBIC, To: payeeBIC,
			Transfers: []iso20022.RecalledTransfer{{
				ID: "RC-1", Original: original, EndToEndID: "DEP-4711", TransactionID: "TX-9001", Amount: psd2.Euro(2500), SettlementDate: today,
				Reasons: []iso20022.Reason{{Code: "FRAD", OriginBIC: payerBIC, Info: []string{"police report 12/26"}}},
			}},
		},
		&iso20022.RecallAnswer{
			ID: "ANSWER-1", CreatedAt: evening.AddDate(0, 0, 3), From: payeeBIC, To: payerBIC, Status: "RJCR",
			Decisions: []iso20022.RecallDecision{{
				ID: "AN-1", Original: original, EndToEndID: "DEP-4711", TransactionID: "TX-9001", Status: "RJCR",
				Reasons: []iso20022.Reason{{Code: "LEGL", OriginBIC: payeeBIC, Info: []string{"ATR053 ATR057"}}},
			}},
		},
		&iso20022.Statement{MessageID: "STM-20261120", CreatedAt: evening.Add(5 * time.Hour), Reports: []iso20022.Report{exampleReport(true)}},
		&iso20022.Notification{MessageID: "NTF-20261120-1", CreatedAt: evening, Reports: []iso20022.Report{exampleReport(false)}},
	}
}

func exampleInitiation() *iso20022.Initiation {
	return &iso20022.Initiation{
		MessageID: "RIALTO-20261120-1", CreatedAt: evening,
		Initiator: iso20022.Party{Name: "Rialto Hub", OrganisationID: "PSDDE-BAFIN-654321"},
		Batches: []iso20022.Batch{{
			ID: "RIALTO-B1", ExecuteAt: iso20022.Day(today), CategoryPurpose: "CASH",
			Debtor: payee, DebtorAccount: payeeIBAN, DebtorAgent: payeeBIC,
			Orders: []iso20022.Order{{
				InstructionID: "POT-1", EndToEndID: "PAYOUT-1", UETR: uetr, Amount: psd2.Euro(12345),
				Creditor: payer, CreditorAccount: payerIBAN, CreditorAgent: payerBIC,
				Purpose: "OTHR", Remittance: iso20022.Remittance{Text: "Your winnings, player 8841"},
			}, {
				EndToEndID: "PAYOUT-2", Amount: psd2.Euro(1), Creditor: payer, CreditorAccount: payerIBAN,
				Remittance: iso20022.Remittance{Reference: "RF18539007547034"},
			}},
		}},
	}
}

func exampleInitiationStatus() *iso20022.InitiationStatus {
	return &iso20022.InitiationStatus{
		MessageID: "ABNA-STS-1", CreatedAt: evening.Add(3 * time.Second), DebtorAgent: payeeBIC,
		Group: iso20022.GroupStatus{Original: iso20022.Original{MessageID: "RIALTO-20261120-1", Message: "pain.001.001.09"}, Status: "PART"},
		Batches: []iso20022.BatchStatus{{
			OriginalID: "RIALTO-B1",
			Transactions: []iso20022.TransactionStatus{
				{ID: "S1", InstructionID: "POT-1", EndToEndID: "PAYOUT-1", UETR: uetr, Status: "ACCC", AcceptedAt: evening},
				{ID: "S2", EndToEndID: "PAYOUT-2", Status: "RJCT", Reasons: []iso20022.Reason{{Code: "AC04", OriginBIC: payerBIC, Info: []string{"account closed"}}}},
			},
		}},
	}
}

func exampleTransfer() *iso20022.InterbankTransfer {
	return &iso20022.InterbankTransfer{
		MessageID: "COBA20261120-77", CreatedAt: evening, SettlementDate: today,
		EndToEndID: "DEP-4711", TransactionID: "TX-9001", UETR: uetr, Amount: psd2.Euro(2500), AcceptedAt: evening.Add(-120 * time.Millisecond),
		Debtor: payer, DebtorAccount: payerIBAN, DebtorAgent: payerBIC,
		Creditor: payee, CreditorAccount: payeeIBAN, CreditorAgent: payeeBIC,
		UltimateCreditor: iso20022.Party{Name: "Golden Dice Wallets"},
		Remittance:       iso20022.Remittance{Text: "DEP-4711 (player 8841)"},
	}
}

func exampleTransferStatus() *iso20022.TransferStatus {
	return &iso20022.TransferStatus{
		MessageID: "ABNA20261120-5", CreatedAt: evening.Add(time.Second),
		Groups: []iso20022.GroupStatus{{Original: original, Status: "RJCT",
			Reasons: []iso20022.Reason{{Code: "AC01", OriginBIC: payeeBIC}}}},
		Transactions: []iso20022.TransactionStatus{{ID: "ST-1", EndToEndID: "DEP-4711", TransactionID: "TX-9001", AcceptedAt: evening, DebtorAgent: payerBIC}},
	}
}

func exampleReturn() *iso20022.Return {
	return &iso20022.Return{
		MessageID: "ABNA20261123-2", CreatedAt: evening.AddDate(0, 0, 3), SettlementDate: today.AddDate(0, 0, 3),
		Transfers: []iso20022.ReturnedTransfer{{
			ID: "RET-1", Original: original, EndToEndID: "DEP-4711", TransactionID: "TX-9001",
			OriginalAmount: psd2.Euro(2500), Amount: psd2.Euro(2500),
			Reasons: []iso20022.Reason{{Code: "FOCR", OriginBIC: payeeBIC}},
		}},
	}
}

func exampleReport(statement bool) iso20022.Report {
	r := iso20022.Report{
		ID: "R-1", CreatedAt: evening, Account: iso20022.Account{IBAN: payeeIBAN, Currency: psd2.EUR, Owner: "Golden Dice B.V."},
		Entries: []iso20022.Entry{{
			Reference: "1", Amount: psd2.Euro(2500), Direction: iso20022.Credit, Status: "BOOK",
			BookedAt: iso20022.Moment{Time: evening}, ValueAt: iso20022.Day(today), ServicerReference: "ABNA-8-1",
			Kind: iso20022.TransactionKind{Domain: "PMNT", Family: "RRCT", SubFamily: "ESCT"},
			Transactions: []iso20022.Transaction{{
				EndToEndID: "DEP-4711", TransactionID: "TX-9001", Amount: psd2.Euro(2500), Direction: iso20022.Credit,
				Debtor: iso20022.Party{Name: "Jonas Kruger"}, DebtorAccount: iso20022.Account{IBAN: payerIBAN}, DebtorAgent: payerBIC,
				Remittance: iso20022.Remittance{Text: "DEP-4711 (player 8841)"},
			}},
		}},
	}
	if statement {
		r.Sequence = 204
		r.Balances = []iso20022.Balance{
			{Code: "OPBD", Amount: psd2.Euro(0), Direction: iso20022.Credit, At: iso20022.Day(today)},
			{Code: "CLBD", Amount: psd2.Euro(2350), Direction: iso20022.Credit, At: iso20022.Day(today)},
		}
		r.Entries = append(r.Entries, iso20022.Entry{
			Amount: psd2.Euro(150), Direction: iso20022.Debit, Status: "BOOK", BookedAt: iso20022.Day(today), ValueAt: iso20022.Day(today),
			Kind: iso20022.TransactionKind{Proprietary: "FEE"}, Info: "Monthly fee",
		})
	}
	return r
}
