package names

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// The lists of these tests are invented: people and companies that no authority has listed, in the publishers' formats.
const (
	testSDN = `101,"GRABOWSKI, Tadeusz Wit","individual","TEST] [TEST-2",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"DOB 03 Feb 1961; alt. DOB 1962; POB Nowhere; nationality Poland; citizen Brazil; a.k.a. 'LITTLE TAD'."
102,"OSTERWALD HANDELS GMBH",-0- ,"TEST",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- 
103,"MARGUERITE STAR","vessel","TEST",-0- ,-0- ,"Tanker",-0- ,-0- ,"Panama",-0- ,-0- 
104,"QX-ABC","aircraft","TEST",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- 
105,"VELIKHANOV, Ruslan","individual","TEST",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"DOB circa 1970; nationality Russi"
` + "\x1a"
	testAlt      = "101,1,\"aka\",\"GRABOWSKY, Tadeo\",-0- \n102,2,\"fka\",\"OSTERWALD TRADING\",-0- \n999,3,\"aka\",\"NOBODY\",-0- \n\x1a"
	testAdd      = "102,7,\"Hafenstr. 1\",\"Hamburg\",\"Germany\",-0- \n101,8,-0- ,-0- ,-0- ,-0- \n"
	testComments = "105,\"a; a.k.a. 'THE TALL ONE'.\"\n"

	testUN = `<?xml version="1.0" encoding="UTF-8"?>
<CONSOLIDATED_LIST dateGenerated="2030-05-06T07:08:09.123Z"><INDIVIDUALS>
<INDIVIDUAL><DATAID>700001</DATAID><FIRST_NAME>KARIM</FIRST_NAME><SECOND_NAME>BEN</SECOND_NAME><THIRD_NAME>ZOUHAIRI</THIRD_NAME>
<UN_LIST_TYPE>Test</UN_LIST_TYPE><NAME_ORIGINAL_SCRIPT>كريم بن زهيري</NAME_ORIGINAL_SCRIPT>
<NATIONALITY><VALUE>Iran (Islamic Republic of)</VALUE></NATIONALITY>
<INDIVIDUAL_ALIAS><QUALITY>Good</QUALITY><ALIAS_NAME>Karim al-Zuhairi; Abu Sakhr</ALIAS_NAME></INDIVIDUAL_ALIAS>
<INDIVIDUAL_ALIAS><QUALITY>Low</QUALITY><ALIAS_NAME>The Teacher</ALIAS_NAME></INDIVIDUAL_ALIAS>
<INDIVIDUAL_ALIAS><QUALITY/><ALIAS_NAME/></INDIVIDUAL_ALIAS>
<INDIVIDUAL_ADDRESS><COUNTRY>Democratic People's Republic of Korea</COUNTRY></INDIVIDUAL_ADDRESS>
<INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><DATE>1970-04-05</DATE></INDIVIDUAL_DATE_OF_BIRTH>
<INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>BETWEEN</TYPE_OF_DATE><FROM_YEAR>1968</FROM_YEAR><TO_YEAR>1971</TO_YEAR></INDIVIDUAL_DATE_OF_BIRTH>
<INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>APPROXIMATELY</TYPE_OF_DATE><YEAR>1975</YEAR></INDIVIDUAL_DATE_OF_BIRTH></INDIVIDUAL>
<INDIVIDUAL><DATAID>700002</DATAID><FIRST_NAME></FIRST_NAME></INDIVIDUAL></INDIVIDUALS>
<ENTITIES><ENTITY><DATAID>700003</DATAID><FIRST_NAME>SAHIL RELIEF FUND</FIRST_NAME>
<ENTITY_ALIAS><QUALITY>a.k.a.</QUALITY><ALIAS_NAME>SRF</ALIAS_NAME></ENTITY_ALIAS></ENTITY></ENTITIES></CONSOLIDATED_LIST>`

	testPlain = "\ufeffid,schema,name,aliases,birth_date,countries\nA-1,Person,Jürgen Weißmüller,Jurgen Weissmuller; J. Weissmueller,1955-06-07;1956,DE;Austria\nA-2,Company,,,,\n"

	testEU = `<export xmlns="http://eu.europa.ec/fpi/fsd/export" generationDate="2031-02-03T04:05:06.789+01:00">
<sanctionEntity logicalId="13"><subjectType code="person"/><regulation programme="TST"/>
<nameAlias wholeName="Ilse Brandhuber" strong="true"/><nameAlias firstName="I." lastName="Brandhuber" wholeName="" strong="false"/>
<citizenship countryIso2Code="AT"/><birthdate birthdate="1944-03-02" circa="false"/></sanctionEntity>
<sanctionEntity logicalId="14"><subjectType code="enterprise"/></sanctionEntity></export>`
)

func testFS() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"us/sdn.csv": file(testSDN), "us/alt.csv": file(testAlt), "us/add.csv": file(testAdd), "us/sdn_comments.csv": file(testComments),
		"un.xml": file(testUN), "own/house-list.csv": file(testPlain), "eu.xml": file(testEU), "readme.txt": file("not a list"),
		"other.csv": file("a,b\n1,2\n"),
	}
}

func loadTest(t testing.TB) *List {
	t.Helper()
	l, err := LoadFS(testFS())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func entry(t testing.TB, l *List, id string) *Entry {
	t.Helper()
	for i := range l.Entries {
		if l.Entries[i].ID == id {
			return &l.Entries[i]
		}
	}
	t.Fatalf("no entry %s", id)
	return nil
}

func texts(e *Entry, role Role) (out []string) {
	for _, n := range e.Names {
		if n.Role == role {
			out = append(out, n.Text)
		}
	}
	return out
}

func TestOFACFilesBecomeOneEntryEach(t *testing.T) {
	l := loadTest(t)
	e := entry(t, l, "ofac-sdn:101")
	if e.Kind != KindPerson || e.Name() != "GRABOWSKI, Tadeusz Wit" {
		t.Errorf("entry %+v", e)
	}
	if got := texts(e, Alias); !slices.Equal(got, []string{"GRABOWSKY, Tadeo"}) {
		t.Errorf("aliases %q", got)
	}
	if got := texts(e, WeakAlias); !slices.Equal(got, []string{"LITTLE TAD"}) {
		t.Errorf("weak aliases %q", got)
	}
	if !slices.Equal(e.Countries, []string{"BR", "PL"}) || !slices.Equal(e.Programs, []string{"TEST", "TEST-2"}) {
		t.Errorf("countries %q programs %q", e.Countries, e.Programs)
	}
	if len(e.Born) != 2 || e.Born[0].String() != "1961-02-03" || e.Born[1].String() != "1962" {
		t.Errorf("born %v", e.Born)
	}
	if c := entry(t, l, "ofac-sdn:102"); c.Kind != KindOrganization || !slices.Equal(c.Countries, []string{"DE"}) {
		t.Errorf("company %+v", c)
	}
	if k := entry(t, l, "ofac-sdn:103").Kind; k != KindVessel {
		t.Errorf("vessel is %v", k)
	}
	if k := entry(t, l, "ofac-sdn:104").Kind; k != KindAircraft {
		t.Errorf("aircraft is %v", k)
	}
}

func TestOFACCommentsContinueARemarkInsideAWord(t *testing.T) {
	e := entry(t, loadTest(t), "ofac-sdn:105")
	if !slices.Equal(e.Countries, []string{"RU"}) || !slices.Equal(texts(e, WeakAlias), []string{"THE TALL ONE"}) {
		t.Errorf("countries %q, weak aliases %q", e.Countries, texts(e, WeakAlias))
	}
	if got := e.Born[0].String(); got != "1969-01-01/1971-12-31" {
		t.Errorf("circa 1970 is %s", got)
	}
}

func TestUNListGivesOriginalScriptAndQuality(t *testing.T) {
	l := loadTest(t)
	e := entry(t, l, "un:700001")
	if e.Name() != "KARIM BEN ZOUHAIRI" {
		t.Errorf("name %q", e.Name())
	}
	if got := texts(e, OriginalScript); !slices.Equal(got, []string{"كريم بن زهيري"}) {
		t.Errorf("original script %q", got)
	}
	if got := texts(e, Alias); !slices.Equal(got, []string{"Karim al-Zuhairi", "Abu Sakhr"}) {
		t.Errorf("aliases %q", got)
	}
	if got := texts(e, WeakAlias); !slices.Equal(got, []string{"The Teacher"}) {
		t.Errorf("low quality aliases %q", got)
	}
	if !slices.Equal(e.Countries, []string{"IR", "KP"}) {
		t.Errorf("countries %q", e.Countries)
	}
	var born []string
	for _, b := range e.Born {
		born = append(born, b.String())
	}
	if want := []string{"1970-04-05", "1968-01-01/1971-12-31", "1974-01-01/1976-12-31"}; !slices.Equal(born, want) {
		t.Errorf("born %q, want %q", born, want)
	}
	if k := entry(t, l, "un:700003").Kind; k != KindOrganization {
		t.Errorf("entity is %v", k)
	}
}

func TestPlainAndEUReaders(t *testing.T) {
	l := loadTest(t)
	p := entry(t, l, "house-list:A-1")
	if p.Kind != KindPerson || len(p.Names) != 3 || len(p.Born) != 2 || !slices.Equal(p.Countries, []string{"AT", "DE"}) {
		t.Errorf("plain entry %+v", p)
	}
	e := entry(t, l, "eu:13")
	if e.Name() != "Ilse Brandhuber" || !slices.Equal(texts(e, WeakAlias), []string{"I. Brandhuber"}) || e.Born[0].String() != "1944-03-02" {
		t.Errorf("eu entry %+v", e)
	}
	for _, s := range l.Sources {
		if s.Name == "eu" && !strings.Contains(s.Note, "unconfirmed") {
			t.Error("the EU reader must say that it is unconfirmed")
		}
	}
}

func TestListCarriesWhatARunReportNeeds(t *testing.T) {
	l := loadTest(t)
	counts := map[string][3]int{}
	for _, s := range l.Sources {
		counts[s.Name] = [3]int{s.Entries, s.Names, s.Skipped}
	}
	want := map[string][3]int{"ofac-sdn": {5, 9, 1}, "un": {2, 7, 1}, "house-list": {1, 3, 1}, "eu": {1, 2, 1}}
	for name, w := range want {
		if counts[name] != w {
			t.Errorf("%s: entries, names, skipped %v, want %v", name, counts[name], w)
		}
	}
	if !slices.Equal(l.Ignored, []string{"other.csv"}) {
		t.Errorf("ignored %q", l.Ignored)
	}
	if want := time.Date(2031, 2, 3, 3, 5, 6, 789e6, time.UTC); !l.Date().Equal(want) {
		t.Errorf("date %v", l.Date())
	}
	again := loadTest(t)
	if l.Hash != again.Hash || len(l.Hash) != 64 {
		t.Errorf("hash %s and %s", l.Hash, again.Hash)
	}
	changed := testFS()
	changed["us/alt.csv"].Data = []byte(strings.Replace(testAlt, "Tadeo", "Tadej", 1))
	if other, err := LoadFS(changed); err != nil || other.Hash == l.Hash {
		t.Errorf("one letter changed, same hash (%v)", err)
	}
}

func TestNothingToScreenAgainstIsAnError(t *testing.T) {
	if _, err := LoadFS(fstest.MapFS{"a.txt": {Data: []byte("x")}}); !errors.Is(err, ErrNoList) {
		t.Errorf("no list: %v", err)
	}
	for name, data := range map[string]string{
		"empty.xml": "<CONSOLIDATED_LIST></CONSOLIDATED_LIST>", "torn.xml": testUN[:len(testUN)/2], "sdn.csv": "\x1a", "h.csv": "id,name\n",
	} {
		if _, err := LoadFS(fstest.MapFS{name: {Data: []byte(data)}}); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	both := testFS()
	both["un.xml"].Data = []byte("<CONSOLIDATED_LIST></CONSOLIDATED_LIST>")
	if _, err := LoadFS(both); err == nil {
		t.Error("one list of several is empty: loaded all the same")
	}
	if _, err := LoadDir(t.TempDir()); !errors.Is(err, ErrNoList) {
		t.Errorf("empty directory: %v", err)
	}
}

func TestBornForms(t *testing.T) {
	for in, want := range map[string]string{
		"1961-02-03": "1961-02-03", "03 Feb 1961": "1961-02-03", "3 Feb 1961": "1961-02-03", "Feb 1961": "1961-02-01/1961-02-28", "1961": "1961",
		"1961-02": "1961-02-01/1961-02-28", "circa 1961": "1960-01-01/1962-12-31", "1960 to 1962": "1960-01-01/1962-12-31", "03.02.1961": "1961-02-03",
		"": "", "unknown": "", "1962 to 1960": "", "31 Feb 1961": "", "0001-01-01": "",
	} {
		b, ok := ParseBorn(in)
		if b.String() != want || ok != (want != "") {
			t.Errorf("ParseBorn(%q) = %s, %v; want %s", in, b, ok, want)
		}
	}
}

func TestCountryNamesOfTheLists(t *testing.T) {
	for in, want := range map[string]string{
		"Germany": "DE", "de": "DE", "Russian Federation": "RU", "Russia": "RU", "Iran (Islamic Republic of)": "IR", "Korea, North": "KP", "Syrian Arab Republic": "SY",
		"Côte d'Ivoire": "CI", "Türkiye": "TR", "Turkey": "TR", "Democratic Republic of the Congo": "CD", "Viet Nam": "VN", "Atlantis": "", "": "",
	} {
		if got := CountryCode(in); got != want {
			t.Errorf("CountryCode(%q) = %q, want %q", in, got, want)
		}
	}
}
