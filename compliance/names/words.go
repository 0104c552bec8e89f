package names

import "strings"

// set splits a readable block of folded words into a look-up.
func set(blocks ...string) map[string]bool {
	out := map[string]bool{}
	for _, b := range blocks {
		for _, w := range strings.Fields(b) {
			out[w] = true
		}
	}
	return out
}

// titles say what a person is, not who. They weigh next to nothing, so a title may be missing on either side.
var titles = set(`
dr mr mrs ms miss mister prof professor herr herrn frau fraulein frl sir dame lady lord madame monsieur mme mlle senor senora signor signora don dona dott dottore ing dipl diplom ingenieur mag magister phd mba
rer habil mudr judr phdr doc docent dozent rev reverend monsignor baron baroness freiherr freifrau graf grafin
sheikh shaykh shaikh sheik cheikh sheykh haji hajji hadji hajj haj al-hajj mullah mulla molla maulavi mawlawi maulvi molvi moulvi mawlana maulana qari hafiz hafez
ayatollah hojjatoleslam imam ustaz ustad
general gen colonel col lieutenant lt major maj captain capt sergeant sgt brigadier brig admiral adm marshal commander cmdr
president prasident minister ambassador hon honorable senator governor king queen prince princess emir amir-ul doktor doctor jr sr junior senior`)

// particles connect the parts of a name. Their spelling varies with the country of the passport and they are often left out.
var particles = map[string]string{
	"al": "al", "el": "al", "ul": "al", "ad": "al", "ud": "al", "eddine": "din", "eldin": "din", "uddin": "din", "aldin": "din", "ol": "al", "ur": "al", "ar": "al",
	"bin": "bin", "ben": "bin", "ibn": "bin", "ebn": "bin", "bint": "bin", "binti": "bin", "ould": "bin", "wuld": "bin", "oglu": "oglu", "ogly": "oglu", "qizi": "qizi",
	"de": "de", "del": "de", "della": "de", "di": "de", "da": "de", "do": "de", "dos": "de", "das": "de", "du": "de", "des": "de", "d": "de", "la": "la", "las": "la", "los": "la",
	"le": "la", "les": "la", "lo": "la", "y": "and", "e": "and", "i": "and", "und": "and", "and": "and", "et": "and",
	"von": "von", "van": "von", "vom": "von", "zu": "von", "zum": "von", "zur": "von", "den": "von", "der": "von", "dem": "von", "ter": "von", "ten": "von", "af": "von", "av": "von",
	"the": "the", "of": "of",
}

// prepositions are particles in the names of organisations; To and In are given names in Korea.
var prepositions = set("for in to on at with by a")

// spellings are words whose short forms no comparison of letters would join.
var spellings = map[string]string{
	"abdallah": "abdullah", "abdellah": "abdullah", "abdulla": "abdullah", "abdalla": "abdullah", "abdoullah": "abdullah", "abdillahi": "abdullah", "abdullahi": "abdullah",
	"abdul": "abd", "abdel": "abd", "abdal": "abd", "abdoul": "abd", "abdol": "abd", "abdi": "abd", "abdur": "abd", "abdou": "abd",
	"mohd": "mohammed", "muhd": "mohammed", "mhd": "mohammed", "md": "mohammed",
	"1st": "first", "2nd": "second", "3rd": "third", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
	"intl": "international", "int": "international", "natl": "national", "organisation": "organization", "labour": "labor", "centre": "center", "bros": "brothers",
	"mfg": "manufacturing", "govt": "government", "dept": "department", "univ": "university", "assn": "association", "bldg": "building",
}

// legalForms maps the folded words of a legal form to its class; the same class in another language is the same form.
var legalForms = map[string]string{
	"limited liability company": "llc", "llc": "llc", "ooo": "llc", "tov": "llc", "too": "llc", "llp": "llp", "lp": "lp", "limited partnership": "lp",
	"obshchestvo s ogranichennoy otvetstvennostyu": "llc", "obshchestvo s ogranichennoi otvetstvennostyu": "llc", "pte ltd": "ltd", "pvt ltd": "ltd",
	"open joint stock company": "jsc", "joint stock company": "jsc", "closed joint stock company": "jsc", "public joint stock company": "jsc", "joynt stock company": "jsc",
	"jsc": "jsc", "ojsc": "jsc", "oao": "jsc", "pao": "jsc", "pjsc": "jsc", "cjsc": "jsc", "zao": "jsc", "ao": "jsc", "pjs": "jsc",
	"aktiengesellschaft": "ag", "ag": "ag", "gmbh": "gmbh", "gesellschaft mit beschrankter haftung": "gmbh", "gesellschaft mit beschraenkter haftung": "gmbh", "mbh": "gmbh", "gesmbh": "gmbh",
	"gmbh co kg": "kg", "kg": "kg", "kommanditgesellschaft": "kg",
	"offene handelsgesellschaft": "ohg", "unternehmergesellschaft": "ug", "unternehmergesellschaft haftungsbeschrankt": "ug", "unternehmergesellschaft haftungsbeschraenkt": "ug",
	"ug haftungsbeschrankt": "ug", "ug haftungsbeschraenkt": "ug", "eingetragener verein": "ev", "eingetragener kaufmann": "ek", "eingetragene kauffrau": "ek",
	"naamloze vennootschap": "nv", "sociedad limitada": "srl", "societa per azioni": "spa", "societa a responsabilita limitata": "srl",
	"ohg": "ohg", "ug": "ug", "ev": "ev", "ek": "ek", "se": "se", "societas europaea": "se",
	"limited": "ltd", "ltd": "ltd", "ltda": "ltd", "limitada": "ltd", "co ltd": "ltd", "company limited": "ltd", "co limited": "ltd", "plc": "plc", "public limited company": "plc",
	"incorporated": "inc", "inc": "inc", "corporation": "corp", "corp": "corp", "company": "co", "co": "co", "compagnie": "co", "na": "na",
	"sa": "sa", "sociedad anonima": "sa", "societe anonyme": "sa", "sa de cv": "sa", "s a de c v": "sa", "sas": "sas", "sarl": "srl", "srl": "srl", "spa": "spa", "sal": "sa", "sl": "srl",
	"societatea cu raspundere limitata": "srl", "societe a responsabilite limitee": "srl", "spzoo": "spzoo", "sp z o o": "spzoo", "sp z oo": "spzoo", "sp zoo": "spzoo",
	"spolka z ograniczona odpowiedzialnoscia": "spzoo", "doo": "doo", "dd": "dd", "ad": "ad", "eood": "eood", "ood": "ood", "as": "as", "asa": "as", "aktieselskab": "as", "aps": "aps",
	"ab": "ab", "aktiebolag": "ab", "oy": "oy", "oyj": "oy", "bv": "bv", "besloten vennootschap": "bv", "nv": "nv", "bvba": "bvba", "sprl": "sprl", "pt": "pt", "tbk": "tbk", "bhd": "bhd",
	"kft": "kft", "rt": "rt", "nyrt": "rt", "zrt": "rt", "anonim sirketi": "as", "limited sirketi": "ltd", "ltd sti": "ltd", "fze": "fze", "fzco": "fze", "fzc": "fze", "fzllc": "fze", "wll": "llc",
	"est": "est", "pty ltd": "ltd", "pty": "ltd", "kk": "kk", "gk": "gk",
}

// genericWords say little in the name of an organisation: many thousands carry them.
var genericWords = set(`
group groupe gruppe holding holdings bank banco banque trading trade trust fund international national global general industries industry industrial services service systems
system solutions technology technologies management enterprise enterprises investment investments development company capital finance financial commercial engineering shipping
marine maritime energy oil gas petroleum import export union association foundation organization institute university ministry department government state center front
party army brigade military republic and united`)

// commonNames are given and family names that so many people bear, in Europe and in the places that lists speak of, that sharing one proves
// little. Folded; what is in a loaded list is weighed by that list as well.
var commonNames = set(`
mohammed muhammad mohamed mohammad ahmed ahmad ali hassan hasan hussein husayn hussain omar umar ibrahim khalil mustafa mahmoud mahmud yusuf youssef said saeed khalid abdullah
abd rahman karim salim salem hamid rashid nasser saleh fatima fatma aisha ayse zeynep elif emine hatice merve mehmet murat emre huseyin osman kemal can deniz yilmaz kaya demir
celik sahin ozturk yildiz aydin arslan dogan kilic haddad khan shah malik hussain iqbal
peter paul michael thomas andreas stefan stephan christian klaus wolfgang jurgen juergen dieter hans heinz gunter gunther werner gerhard helmut manfred uwe ralf frank bernd rainer martin
markus matthias alexander daniel sebastian tobias florian jan tim lukas leon felix jonas paul maximilian elias noah ben finn max anna maria marie emma mia lena lea laura julia sarah lisa
hannah emilia sofia sophie lina claudia sabine petra monika susanne andrea karin birgit gabriele ursula renate brigitte helga ingrid martina nicole stefanie katharina christine
john james robert william david richard joseph charles george mark steven kevin brian mary elizabeth jennifer linda susan karen jean pierre jose juan carlos luis antonio manuel francisco
pedro miguel jorge giulia marco giovanni giuseppe francesco alessandro luca
ivan sergey sergei sergej aleksandr aleksandar vladimir dmitri dmitry andrey andrei andrej nikolai nikolay nikola mikhail alexey aleksey igor oleg yuri viktor victor natalia natalja olga
elena irina tatiana svetlana ivana marija milan petar krzysztof piotr tomasz andrzej agnieszka katarzyna malgorzata mihai ioana linh nguyen tran pham le
muller mueller schmidt schmid schmitt schneider fischer weber meyer meier maier mayer wagner becker schulz schulze hoffmann hofmann schafer koch bauer richter klein wolf schroder neumann schwarz
zimmermann braun kruger hartmann lange lang werner krause lehmann kohler herrmann konig walter huber kaiser fuchs peters scholz moller weiss jung hahn schubert vogel jager frank berger
roth beck lorenz baumann ivanov petrov kuznetsov kuznecov popov smirnov jovanovic kovac novak nowak kowalski wisniewski popescu ionescu rossi russo garcia martinez rodriguez
lopez gonzalez hernandez perez sanchez smith johnson williams brown jones miller davis taylor wilson
kim pak park ri lee choe jong yong chol song kang han`)

// patronymic says that a word is most likely a Slavic father's name: often left out, but two different ones are two persons.
func patronymic(text string) bool {
	if len(text) < 7 {
		return false
	}
	for _, end := range [...]string{"ovich", "evich", "ovych", "ovitch", "evitch", "ovna", "evna", "yevich", "ivna", "owitsch", "ewitsch"} {
		if strings.HasSuffix(text, end) {
			return true
		}
	}
	return false
}
