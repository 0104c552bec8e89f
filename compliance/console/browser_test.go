package console_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

func sandbox() goaml.Profile { return goaml.Sandbox() }

const story = "Vier Einzahlungen knapp unter dem Schwellenwert innerhalb von sechs Stunden; das Spielkonto blieb ungenutzt, die Herkunft des Geldes ist unklar."

// fillReport adds what only an officer knows.
func fillReport(r *compliance.Report) {
	d := &r.Draft
	d.Facts, d.Complaint, d.Indicators = story, "keine", []string{r.Profile.Indicators[0].Code}
	d.Subject.BirthPlace, d.Subject.Nationality, d.Subject.Address, d.Subject.City = "Görlitz", "DE", "Königstraße 5", "Berlin"
	d.Officer.Email = "fiu@casino.example"
}

// sits puts an officer before a browser.
func sits(t *testing.T, w *world, o compliance.Officer, change ...func(*chromium.Options)) *chromium.Browser {
	t.Helper()
	options := chromium.Options{Name: "console-" + o.ID}
	for _, c := range change {
		c(&options)
	}
	b := chromium.Open(t, options)
	chromium.Send(b, network.SetCookie, network.SetCookieParams{Name: "officer", Value: o.ID, URL: w.server.URL})
	return b
}

// TestAlertBecomesAFiledReport is a day's work: two officers, two browsers,
// from the queue to the FIU's reference.
func TestAlertBecomesAFiledReport(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	first, second := sits(t, w, maria), sits(t, w, milan)
	named := chromium.Named

	first.Go(w.server.URL+"/queue", named("row"))
	first.Key("n") // the next case, locked
	first.Wait(named("case-id"))
	if got := first.Text(named("case-id")); got != c.ID {
		t.Fatalf("the next case is %s", got)
	}
	second.Go(w.server.URL+"/cases/"+c.ID, named("case-id"))
	if !strings.Contains(second.Text(".notice.look"), "Maria Meise is working on this case") {
		t.Error("the colleague does not see the lock")
	}
	first.Key("i")
	first.Wait(named("open-propose_false_positive"))
	first.Press(named("report"), named("save"))
	first.Type("#facts", story)
	first.Do("choose a reason", chromedp.Click(chromedp.CSS(".ticks input")))
	first.Type("#complaint", "keine")
	first.Press(named("save"), "#nationality")
	first.Type("#birth_place", "Görlitz")
	first.Type("#nationality", "DE")
	first.Type("#address", "Königstraße 5")
	first.Type("#city", "Berlin")
	first.Press(named("save"), "#number-1")
	first.Press(named("save"), named("missing"))
	if got := first.Text(named("missing")); !strings.Contains(got, "E-mail") {
		t.Errorf("the check names %q", got)
	}
	first.Go(w.server.URL+"/cases/"+c.ID+"/report?step=people", "#officer_email")
	first.Type("#officer_email", "fiu@casino.example")
	first.Press(named("save"), "#number-1")
	first.Press(named("save"), named("complete"))
	first.Do("choose why", chromedp.SetValue(chromedp.CSS("#reason"), "structuring"))
	first.Type("#note", "Siehe Sachverhalt")
	first.Press(named("propose-sar"), named("proposal"))
	if chromium.Value(first, chromedp.Evaluate[bool](`document.querySelector('[data-test="do-approve"]') !== null`)) {
		t.Error("who proposed may approve")
	}

	second.Go(w.server.URL+"/cases/"+c.ID, named("do-approve"))
	second.Press(named("do-approve"), named("open-file"))
	second.Type("#file-reference", "FIU-2026-0815")
	second.Press(named("do-file"), ".notice.look")
	if got := second.Text(named("state")); got != "Reported" {
		t.Errorf("the case is %q", got)
	}
	filed, err := w.Case(ctx, maria, c.ID)
	must(t, err)
	if filed.State != compliance.SARFiled || filed.Reference != "FIU-2026-0815" || filed.WaitUntil.IsZero() {
		t.Errorf("filed: %+v", filed)
	}
	_, file, err := w.ReportFile(ctx, milan, c.ID)
	must(t, err)
	if strings.Count(string(file), "<transaction>") != 1 || !strings.Contains(string(file), playerName[:4]) {
		t.Errorf("the file: %s", file)
	}
	first.Quiet()
	second.Quiet()
}

func TestForeignTextRunsNowhereInTheConsole(t *testing.T) { // D03
	w := newWorld(t)
	evil := `<img src=x onerror=alert(1)>"'><script>alert(2)</script>{{7*7}}`
	p := w.payment("anton", 199900, func(p *psd2.Payment) {
		p.Personal.Reference, p.Personal.Player.Name = evil, evil
		p.Personal.Source.Name, p.Personal.Payee.Name, p.Personal.DeviceID = evil, `</title><svg onload=alert(3)>`, evil
	})
	c := w.raise(p, evil, evil, 3, 80, `{"`+`<b onclick=alert(4)>`+`":"javascript:alert(5)","holder":"</svg><script>alert(6)</script>"}`)
	w.do(maria, c.ID, compliance.Act{Do: compliance.Investigate})
	w.do(maria, c.ID, compliance.Act{Do: compliance.Note, Note: evil})
	b := sits(t, w, maria)
	for _, path := range []string{"/cases/" + c.ID, "/alerts/" + w.alertOf(c), "/cases/" + c.ID + "/report?step=facts", "/cases/" + c.ID + "/report?step=payments", "/queue", "/rules", "/audit"} {
		b.Go(w.server.URL+path, chromium.Named("me"))
	}
	b.Quiet()
}

func TestCaseIsWorkedByKeyboard(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	b := sits(t, w, anna)
	b.Go(w.server.URL+"/queue", chromium.Named("row"))
	focused := func() string {
		return chromium.Value(b, chromedp.Evaluate[string](`document.activeElement.id || document.activeElement.title`))
	}
	b.Key("j")
	if got := focused(); got != c.ID {
		t.Errorf("j leads to %q", got)
	}
	b.Key("n")
	b.Wait(chromium.Named("case-id"))
	b.Key("i")
	b.Wait(chromium.Named("open-propose_false_positive"))
	b.Key("m")
	if got := focused(); got != "note-note" {
		t.Errorf("m leads to %q", got)
	}
	b.Type("#note-note", "nothing seen in the account, c m n")
	b.Leave(chromium.Named("do-note"), chromium.Named("history"))
	b.Key("c")
	if got := focused(); got != "propose_false_positive-reason" {
		t.Errorf("c leads to %q", got)
	}
	b.Quiet()
}

func TestConsolePictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newWorld(t)
	open, filed := w.busyWeek()
	change := w.drafted(anna, "threshold_count", "4")
	w.post(anna, change+"/backtest")
	w.post(anna, change, "do", "shadow")
	must(t, w.SetLegalHold(ctx, maria, w.db.PersonID(merchantID, "anton"), "court order 5"))
	for _, lang := range []string{"en", "de"} {
		for _, dark := range []bool{false, true} {
			for _, width := range []int64{390, 1280} {
				b := sits(t, w, maria, func(o *chromium.Options) { o.Width, o.Dark = width, dark })
				w.badges.refresh()
				for i, path := range []string{"/queue", "/cases/" + open, "/cases/" + filed, "/cases/" + open + "/report?step=facts", "/cases/" + open + "/report?step=check", "/rules", "/runs", "/holds", "/audit", "/alerts/" + w.alertOf(&compliance.Case{ID: open}), "/screening", "/keeping", "/queue?bucket=proposed", "/rules/changes", change} {
					sep := "?"
					if strings.Contains(path, "?") {
						sep = "&"
					}
					b.Go(w.server.URL+path+sep+"lang="+lang, chromium.Named("me"))
					b.Shot(fmt.Sprintf("%s-%v-%d-%d", lang, dark, width, i))
				}
				b.Press(chromium.Named("backtest"), chromium.Named("tested"))
				b.Shot(fmt.Sprintf("%s-%v-%d-backtest", lang, dark, width))
				b.Quiet()
			}
		}
	}
}

// busyWeek fills the queue: one case under investigation with a story behind
// it, one reported, and what else a week brings.
func (w *world) busyWeek() (open, filed string) {
	past := w.structuring("clara")
	w.do(anna, past.ID, compliance.Act{Do: compliance.Investigate})
	w.do(anna, past.ID, compliance.Act{Do: compliance.ProposeFalsePositive, Reason: "known_behaviour"})
	w.do(bert, past.ID, compliance.Act{Do: compliance.Approve})
	filed = w.reported(w.structuring("berta")).ID
	rules := []struct {
		id, family      string
		severity, score int64
	}{{"R01", "payer", 3, 65}, {"R27", "sanctions", 4, 96}, {"R14", "velocity", 2, 35}, {"R23", "device", 1, 12}, {"R12", "pass_through", 3, 72}, {"R34", "text", 1, 10}}
	for i, r := range rules {
		p := w.payment(fmt.Sprintf("player%d", i), 20000+int64(i)*3700, func(p *psd2.Payment) { p.Personal.Source.IBAN = "DE89370400440532013000" })
		w.raise(p, r.id, r.family, r.severity, r.score, `{"score":0.71,"amount_minor":20000}`)
		w.clock.Add(7 * time.Hour)
	}
	for i := range 9 {
		w.payment("anton", 2500+int64(i)*11000, func(p *psd2.Payment) {
			if i == 4 {
				p.State = psd2.StateFailed
			}
		})
		w.clock.Add(29 * time.Hour)
	}
	c := w.structuring("anton")
	w.payment("emil", 4000)
	w.raise(w.payment("anton", 30000), "R05", "accounts", 2, 45, `{"players":3,"window":"30d"}`)
	w.do(bert, c.ID, compliance.Act{Do: compliance.Take, Note: "x"})
	w.do(bert, c.ID, compliance.Act{Do: compliance.Assign, To: maria})
	w.do(maria, c.ID, compliance.Act{Do: compliance.Investigate})
	w.waiting(c)
	w.do(maria, c.ID, compliance.Act{Do: compliance.Note, Note: "Rückruf bei der Hausbank: Konto besteht seit drei Wochen.\nGehaltsnachweis angefordert."})
	many := w.structuring("dora")
	_, err := w.ProposeMany(ctx, []compliance.Seen{{ID: many.ID, Version: many.Version}}, compliance.Act{Do: compliance.ProposeFalsePositive, By: anna, Reason: "rule_too_wide", Note: "zu weit"})
	must(w.t, err)
	for d := range 6 {
		if d == 3 {
			continue
		}
		at := w.clock.Now().Add(-time.Duration(d+1) * 24 * time.Hour)
		_, err := w.RecordRun(ctx, compliance.Run{Kind: compliance.RunFull, Persons: 1204, Hits: d, Lists: map[string]string{"un": "9f2c1d7e55", "ofac-sdn": "11aa22bb33"}, StartedAt: at, EndedAt: at.Add(2 * time.Minute)})
		must(w.t, err)
	}
	return c.ID, filed
}
