package iso20022_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func files(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no samples in %s: %v", dir, err)
	}
	return all
}

func TestWhatWeWriteIsValidByTheOfficialSchemas(t *testing.T) {
	for _, m := range examples() {
		out := []byte(mustWrite(t, m))
		if !iso20022.Lint(t, m.Name(), [][]byte{out})[0] {
			t.Errorf("xmllint refuses our %s", m.Name())
		}
	}
}

func TestValidSamplesAreAcceptedAndRoundTrip(t *testing.T) {
	for _, file := range files(t, testkit.Standard(t, "samples", "valid")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if v := iso20022.Check(data); !v.OK || v.String() != "ok" || v.Message == "" {
			t.Errorf("%s: %s", filepath.Base(file), v)
			continue
		}
		first, err := iso20022.Read(data, iso20022.Strict)
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(file), err)
		}
		again := []byte(mustWrite(t, first))
		second, err := iso20022.Read(again, iso20022.Strict)
		if diff := cmp.Diff(first, second); err != nil || diff != "" {
			t.Errorf("%s: %v (-read +read again):\n%s", filepath.Base(file), err, diff)
		}
		if !iso20022.Lint(t, first.Name(), [][]byte{again})[0] {
			t.Errorf("%s: xmllint refuses what we wrote of it", filepath.Base(file))
		}
	}
}

func TestInvalidSamplesAreRefusedAtTheNamedLayer(t *testing.T) {
	dir := testkit.Standard(t, "samples", "invalid")
	raw, err := os.ReadFile(filepath.Join(dir, "INDEX.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index []struct{ File, Layer string }
	if err := json.Unmarshal(raw, &index); err != nil || len(index) == 0 {
		t.Fatal("cannot read INDEX.json:", err)
	}
	layers := map[string]iso20022.Layer{"xsd": iso20022.LayerSchema, "business": iso20022.LayerRule, "xml": iso20022.LayerXML}
	for _, s := range index {
		data, err := os.ReadFile(filepath.Join(dir, s.File))
		if err != nil {
			t.Fatal(err)
		}
		v := iso20022.Check(data)
		if v.OK || v.Faults[0].Layer != layers[s.Layer] {
			t.Errorf("%s: %s, want a refusal at layer %s", s.File, v, s.Layer)
		}
		if _, err := iso20022.Read(data, iso20022.Lenient); err == nil {
			t.Errorf("%s: read although it moves money between banks", s.File)
		}
	}
}

func TestCharacterSetAgreesWithTheOracle(t *testing.T) {
	var set struct{ Regex string }
	if err := json.Unmarshal(testkit.ReadStandard(t, "refdata", "epc_charset.json"), &set); err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(set.Regex)
	for r := rune(0); r < 0x3000; r++ {
		if !allowed.MatchString(iso20022.Transliterate(string(r))) {
			t.Errorf("%U is put into %q", r, iso20022.Transliterate(string(r)))
		}
	}
}

func TestCreditorReferencesAgreeWithTheOracle(t *testing.T) {
	var v struct{ Valid, Invalid []string }
	if err := json.Unmarshal(testkit.ReadStandard(t, "refdata", "creditor_reference_rf_vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	write := func(ref string) error {
		m := exampleTransfer()
		m.Remittance = iso20022.Remittance{Reference: ref}
		_, err := iso20022.Write(m)
		return err
	}
	for _, ref := range v.Valid {
		if err := write(ref); err != nil {
			t.Errorf("%s is refused: %v", ref, err)
		}
	}
	for _, ref := range v.Invalid {
		if write(ref) == nil {
			t.Errorf("%s is written", ref)
		}
	}
}
