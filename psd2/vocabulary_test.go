package psd2_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func readJSON(t *testing.T, dst any, name ...string) {
	t.Helper()
	data, err := os.ReadFile(testkit.Standard(t, name...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, dst); err != nil {
		t.Fatal(err)
	}
}

func TestIBANByTheRegistry(t *testing.T) {
	var vectors struct{ Valid, Invalid []json.RawMessage }
	readJSON(t, &vectors, "refdata", "iban_vectors.json")
	text := func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		var o struct{ IBAN, Value string }
		_ = json.Unmarshal(raw, &o) // one of the two forms
		return o.IBAN + o.Value
	}
	for _, v := range vectors.Valid {
		if _, err := psd2.ParseIBAN(text(v)); err != nil {
			t.Errorf("%s: %v", text(v), err)
		}
	}
	for _, v := range vectors.Invalid {
		if _, err := psd2.ParseIBAN(text(v)); err == nil {
			t.Errorf("%s accepted", text(v))
		}
	}
	var specs map[string]struct {
		Length   int    `json:"length"`
		Shape    string `json:"bban_regexp"`
		Registry bool   `json:"iban_registry"`
	}
	readJSON(t, &specs, "refdata", "iban_specs_ibantools-4.5.4.json")
	// French territories use FR, Åland FI; Turkey's registry entry has one more digit than the list says.
	other := "AX GF GP MF MQ NC PF PM RE TF TR WF YT BL"
	for country, spec := range specs {
		if spec.Registry && spec.Shape != "" && !strings.Contains(other, country) && !fitsSomething(t, country, spec.Shape) {
			t.Errorf("%s: an account of the registry's form %s is refused", country, spec.Shape)
		}
	}
}

// fitsSomething makes an account number of the given form with right check
// digits and reports whether it is accepted.
func fitsSomething(t *testing.T, country, shape string) bool {
	t.Helper()
	var bban strings.Builder
	for _, m := range regexp.MustCompile(`\[([^\]]+)\]\{(\d+)\}`).FindAllStringSubmatch(shape, -1) {
		fill := "1"
		if strings.HasPrefix(m[1], "A-Z") {
			fill = "A"
		}
		n := 0
		for _, c := range m[2] {
			n = n*10 + int(c-'0')
		}
		bban.WriteString(strings.Repeat(fill, n))
	}
	for check := 2; check <= 98; check++ {
		digits := string([]byte{byte('0' + check/10), byte('0' + check%10)})
		if _, err := psd2.ParseIBAN(country + digits + bban.String()); err == nil {
			return true
		}
	}
	return false
}

func TestIBAN(t *testing.T) {
	for _, s := range []string{"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB33BUKB20201555555555", "MT84MALT011000012345MTLCAST001S"} {
		iban, err := psd2.ParseIBAN(s)
		if err != nil || string(iban) != strings.ReplaceAll(s, " ", "") {
			t.Errorf("%s: %q %v", s, iban, err)
		}
	}
	for _, s := range []string{"", "DE", "DE89370400440532013001", "de89370400440532013000", "DE8937040044053201300", "DE893704004405320130000",
		"XX89370400440532013000", "DE89-3704-0044-0532-0130-00", "DE8937040044053201300O", "DE00370400440532013000", "DE89\t370400440532013000"} {
		if _, err := psd2.ParseIBAN(s); psd2.CodeOf(err) != psd2.CodeInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
	iban, _ := psd2.ParseIBAN("DE89370400440532013000")
	if iban.Masked() != "DE•• •••• 3000" || iban.Grouped() != "DE89 3704 0044 0532 0130 00" || iban.Country() != "DE" {
		t.Error(iban.Masked(), iban.Grouped(), iban.Country())
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "iban", iban)
	if strings.Contains(out.String(), string(iban)) {
		t.Error("an IBAN was logged whole")
	}
}

func TestAnyWrongDigitOfAnIBANIsSeen(t *testing.T) {
	good := "DE89370400440532013000"
	for i := range len(good) {
		for c := byte('0'); c <= '9'; c++ {
			bad := good[:i] + string(c) + good[i+1:]
			if _, err := psd2.ParseIBAN(bad); bad != good && err == nil {
				t.Errorf("%s accepted", bad)
			}
		}
	}
}

func TestCreditorReference(t *testing.T) {
	var vectors struct{ Valid, Invalid []string }
	readJSON(t, &vectors, "refdata", "creditor_reference_rf_vectors.json")
	for _, s := range append(vectors.Valid, "RF18539007547034") {
		if !psd2.IsCreditorReference(s) {
			t.Errorf("%s refused", s)
		}
	}
	for _, s := range append(vectors.Invalid, "RF19539007547034", "rf18539007547034", "") {
		if psd2.IsCreditorReference(s) {
			t.Errorf("%s accepted", s)
		}
	}
}

func TestReferenceHoldsOnlyWhatEveryBankAccepts(t *testing.T) {
	var charset struct{ Regex string }
	readJSON(t, &charset, "refdata", "epc_charset.json")
	oracle := regexp.MustCompile(charset.Regex)
	for r := rune(0); r < 0x250; r++ {
		if s := string(r); psd2.IsEPC(s) != oracle.MatchString(s) {
			t.Errorf("%q: we say %v", s, psd2.IsEPC(s))
		}
	}
	for s, ok := range map[string]bool{"Deposit 1": true, "a/b": true, "": false, "/a": false, "a/": false, "a//b": false, " a": false,
		"Einzahlung für": false, strings.Repeat("x", 35): true, strings.Repeat("x", 36): false, "a\nb": false} {
		if (psd2.CheckReference(s) == nil) != ok {
			t.Errorf("%q: want %v", s, ok)
		}
	}
}

// B15: text that makes another text look different is refused.
func TestInvisibleTextIsRefused(t *testing.T) {
	for _, s := range []string{"a\u202eb", "a\u2066b", "a\u200bb", "a\x00b", "a\nb", "a\x1bb", "a\u2028b", "a\ufeffb", "\xff"} {
		if psd2.CheckText("f", s, 100) == nil {
			t.Errorf("%q accepted", s)
		}
	}
	for _, s := range []string{"Müller & Söhne", "Ελλάδα", "O'Neill-Łukasz", ""} {
		if err := psd2.CheckText("f", s, 100); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestDecimalAmountsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := psd2.Euro(rapid.Int64Range(0, psd2.MaxSCTInstMinor).Draw(t, "minor"))
		back, err := psd2.ParseDecimal(m.Decimal(), psd2.EUR)
		if err != nil || back != m {
			t.Fatalf("%s: %v %v", m.Decimal(), back, err)
		}
	})
	for s, want := range map[string]int64{"0.01": 1, "25": 2500, "25.5": 2550, "25.00": 2500, "25.000": 2500, "999999999.99": 99999999999} {
		if m, err := psd2.ParseDecimal(s, psd2.EUR); err != nil || m.AmountMinor != want {
			t.Errorf("%s: %v %v", s, m, err)
		}
	}
	for _, s := range []string{"", ".5", "5.", "1e2", "-1", "+1", "1,00", "1.005", " 1", "1 ", "NaN", "0x1", "99999999999999999999", "1.0.0", "１"} {
		if m, err := psd2.ParseDecimal(s, psd2.EUR); err == nil {
			t.Errorf("%q read as %v", s, m)
		}
	}
}

func TestSchemeLimits(t *testing.T) {
	for minor, ok := range map[int64]bool{-1: false, 0: false, 1: true, 10_000_000: true, 10_000_001: true, psd2.MaxSCTInstMinor: true, psd2.MaxSCTInstMinor + 1: false} {
		if (psd2.Euro(minor).CheckSCTInst() == nil) != ok {
			t.Errorf("%d: want %v", minor, ok)
		}
	}
	if (psd2.Money{AmountMinor: 1, Currency: "USD"}).CheckSCTInst() == nil {
		t.Error("USD accepted")
	}
}

func TestIDsSortByTimeAndAreChecked(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 100 {
		id := psd2.NewID(psd2.PrefixPayment, now.Add(time.Duration(i)*time.Millisecond), rand.Reader)
		if !psd2.IsID(psd2.PrefixPayment, id) {
			t.Fatal(id)
		}
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) {
		t.Error("ids do not sort by time")
	}
	for _, bad := range []string{"", "pay_", "pay_x", ids[0] + "0", ids[0][:29], "att" + ids[0][3:], strings.ToUpper(ids[0]), "pay_" + strings.Repeat("*", 26), "pay_" + strings.Repeat("8", 26), "pay_../../etc/passwd0000000000"} {
		if psd2.IsID(psd2.PrefixPayment, bad) {
			t.Errorf("%q accepted", bad)
		}
	}
	if u := psd2.NewUUID(now, rand.Reader); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(u) {
		t.Error(u)
	}
}

// Every code of the scheme has a reason, and the ones that say "time is up"
// never read as the payer's fault.
func TestEveryReasonCodeHasAReason(t *testing.T) {
	var codes struct {
		Reject []struct {
			Code  string `json:"code"`
			Class string `json:"hub_class"`
		} `json:"reject_pacs002_pain002"`
	}
	readJSON(t, &codes, "refdata", "sct_inst_codes.json")
	if len(codes.Reject) == 0 {
		t.Fatal("no codes")
	}
	for _, c := range codes.Reject {
		got := psd2.ReasonOf(c.Code)
		if strings.HasPrefix(c.Class, "retryable") && got != psd2.ReasonBankUnavailable {
			t.Errorf("%s is %s, we say %s", c.Code, c.Class, got)
		}
	}
}

// TestPayerWhoSaidNoIsNotARefusalOfTheBank: in whatever vocabulary the bank
// passes it on.
func TestPayerWhoSaidNoIsNotARefusalOfTheBank(t *testing.T) {
	for code, want := range map[string]psd2.FailureReason{
		"DS02": psd2.ReasonPayerRejected, "CUST": psd2.ReasonPayerRejected, "access_denied": psd2.ReasonPayerRejected,
		"server_error": psd2.ReasonBankRejected, "PSU_CREDENTIALS_INVALID": psd2.ReasonAuthenticationFailed,
	} {
		if got := psd2.ReasonOf(code); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

func TestStatusesOfTheStandard(t *testing.T) {
	var std struct {
		Statuses []string `json:"transactionStatus"`
	}
	readJSON(t, &std, "refdata", "bg_1_3_12_pis.json")
	for _, s := range std.Statuses {
		if s != "PART" && psd2.StandingOf(s) == psd2.StandingKeep {
			t.Errorf("%s is not understood", s)
		}
	}
}

func FuzzParseIBAN(f *testing.F) {
	f.Add("DE89 3704 0044 0532 0130 00")
	f.Fuzz(func(t *testing.T, s string) {
		iban, err := psd2.ParseIBAN(s)
		if err != nil {
			return
		}
		if again, err := psd2.ParseIBAN(string(iban)); err != nil || again != iban {
			t.Fatalf("%q → %q → %v", s, iban, err)
		}
	})
}
