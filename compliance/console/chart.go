package console

import (
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// The player's timeline: deposits up and payouts down over one axis of time,
// marks where rules fired, and below it what he paid in within the month
// against his limit. Coordinates are of the drawing's own 960 by 260.

const (
	chartWidth = 960.0
	plotLeft   = 70.0
	plotRight  = 945.0
	barBase    = 92.0 // the axis
	barReach   = 66.0 // of the largest amount, up or down
	monthTop   = 186.0
	monthBase  = 246.0
)

// bar is one movement.
type bar struct {
	X, Y, H float64
	Kind    string // class
	Title   string
}

// mark is a time at which a rule fired.
type mark struct {
	X     float64
	Kind  string
	Title string
}

// tick is a line across with its text.
type tick struct {
	X, Y float64
	Text string
}

// chart is a drawing and its table.
type chart struct {
	Bars      []bar
	Marks     []mark
	Days      []tick
	Top       string // the largest amount
	MonthPath string // of the month's sum
	LimitY    float64
	MonthY    float64 // of the word beside the month's sum, which keeps clear of the limit's
	Limit     string
	Rows      []chartRow
	Summary   string
}

// chartRow is a movement or an alert in the table beside the drawing.
type chartRow struct {
	At     instant
	What   string
	Amount string
	State  string
	Kind   string
	ID     string
}

// chartOf draws movements and hits; nil when there is nothing to draw.
func (v *visit) chartOf(f *compliance.Facts, hits []compliance.Hit) *chart {
	if len(f.Movements) == 0 {
		return nil
	}
	from, to := f.Movements[0].At, f.Movements[len(f.Movements)-1].At
	for _, h := range hits {
		if h.At().Before(from) {
			from = h.At()
		}
		if h.At().After(to) {
			to = h.At()
		}
	}
	room := max(to.Sub(from)/20, 30*time.Minute)
	from, to = from.Add(-room), to.Add(room)
	x := func(t time.Time) float64 {
		return plotLeft + (plotRight-plotLeft)*float64(t.Sub(from))/float64(to.Sub(from))
	}
	c := &chart{}
	v.bars(c, f, x)
	for _, h := range hits {
		kind := ""
		if h.Severity >= compliance.SeverityHigh {
			kind = "high"
		}
		c.Marks = append(c.Marks, mark{x(h.At()), kind, v.rule(h.Rule) + ", " + v.at(h.At()).Text})
		c.Rows = append(c.Rows, chartRow{At: v.at(h.At()), What: v.say("chart.alert", "rule", v.rule(h.Rule)), Kind: "look", ID: h.ObjectID})
	}
	v.days(c, from, to, x)
	v.months(c, f, x)
	sortRows(c.Rows)
	return c
}

func (v *visit) bars(c *chart, f *compliance.Facts, x func(time.Time) float64) {
	largest := int64(1)
	var in, out int64
	currency := f.Movements[0].Amount.Currency
	for _, m := range f.Movements {
		largest = max(largest, m.Amount.AmountMinor)
	}
	for _, m := range f.Movements {
		h := max(barReach*float64(m.Amount.AmountMinor)/float64(largest), 1.5)
		b := bar{X: x(m.At) - 2, Y: barBase - h, H: h, Kind: m.Kind, Title: v.say("chart."+m.Kind) + " " + page.Money(v.lang, m.Amount) + ", " + v.at(m.At).Text}
		if m.Kind != compliance.Deposit {
			b.Y = barBase
		}
		switch {
		case m.Failed:
			b.Kind += " not"
		case m.Kind == compliance.Deposit:
			in += m.Amount.AmountMinor
		default:
			out += m.Amount.AmountMinor
		}
		c.Bars = append(c.Bars, b)
		c.Rows = append(c.Rows, chartRow{At: v.at(m.At), What: v.say("chart." + m.Kind), Amount: page.Money(v.lang, m.Amount),
			State: v.sayOr("payment."+m.Note, m.Note), ID: m.ID})
	}
	c.Top = page.Money(v.lang, psd2.Money{AmountMinor: largest, Currency: currency})
	c.Summary = v.say("chart.summary", "n", len(f.Movements), "in", page.Money(v.lang, psd2.Money{AmountMinor: in, Currency: currency}),
		"out", page.Money(v.lang, psd2.Money{AmountMinor: out, Currency: currency}))
}

// days puts at most six dates under the axis, or hours where a day fills it.
func (v *visit) days(c *chart, from, to time.Time, x func(time.Time) float64) {
	const most = 6
	if to.Sub(from) < 24*time.Hour {
		step := time.Duration(int64(to.Sub(from)/(most*30*time.Minute))+1) * 30 * time.Minute
		for hour := from.Truncate(step).Add(step); hour.Before(to); hour = hour.Add(step) {
			c.Days = append(c.Days, tick{X: x(hour), Text: v.pages.Local(hour).Format("15:04")})
		}
		return
	}
	step := time.Duration(max(int64(to.Sub(from)/(most*24*time.Hour))+1, 1)) * 24 * time.Hour
	start := v.pages.Local(from)
	day := time.Date(start.Year(), start.Month(), start.Day()+1, 0, 0, 0, 0, start.Location())
	layout := "2 Jan"
	if v.lang == page.German {
		layout = "02.01."
	}
	for ; day.Before(to); day = day.Add(step) {
		c.Days = append(c.Days, tick{X: x(day), Text: day.Format(layout)})
	}
}

// months draws the sum of deposits since the month began, as a line of steps,
// and the limit across.
func (v *visit) months(c *chart, f *compliance.Facts, x func(time.Time) float64) {
	type point struct {
		at  time.Time
		sum int64
	}
	points := []point{}
	var sum, highest int64
	month := ""
	for _, m := range f.Movements {
		if m.Kind != compliance.Deposit || m.Failed {
			continue
		}
		local := v.pages.Local(m.At)
		if now := local.Format("2006-01"); now != month {
			if month != "" {
				first := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, local.Location())
				points = append(points, point{first, 0})
			}
			month, sum = now, 0
		}
		sum += m.Amount.AmountMinor
		highest = max(highest, sum)
		points = append(points, point{m.At, sum})
	}
	if len(points) == 0 {
		return
	}
	top := max(highest, f.LimitMinor) * 11 / 10
	y := func(n int64) float64 { return monthBase - (monthBase-monthTop)*float64(n)/float64(top) }
	path := fmt.Sprintf("M%.1f %.1f", plotLeft, monthBase)
	for _, p := range points {
		path += fmt.Sprintf("H%.1fV%.1f", max(x(p.at), plotLeft), y(p.sum))
	}
	c.MonthPath = path + fmt.Sprintf("H%.1f", plotRight)
	c.LimitY = y(f.LimitMinor)
	c.Limit = page.Money(v.lang, psd2.Euro(f.LimitMinor))
	c.MonthY = max(monthBase, c.LimitY+12) + 4
}

// node is a box of the graph of links.
type node struct {
	X, Y  float64
	Kind  string
	Label string
	Sub   string
}

// edgeLine joins two nodes.
type edgeLine struct{ X1, Y1, X2, Y2 float64 }

// graph is the picture of who shares what: the person, his accounts and
// devices, and the others at them; two hops.
type graph struct {
	Height float64
	Nodes  []node
	Lines  []edgeLine
	Rows   []fact
}

const (
	nodeWidth  = 200.0
	nodeHeight = 40.0
	nodeStep   = 52.0
	columnOne  = 10.0
	columnTwo  = 290.0
	columnThr  = 570.0
)

func (v *visit) graphOf(c *compliance.Case, f *compliance.Facts) *graph {
	if !f.Known || len(f.Accounts)+len(f.Devices) == 0 {
		return nil
	}
	g := &graph{}
	things := len(f.Accounts) + len(f.Devices)
	people := map[string]int{}
	var order []compliance.Linked
	for _, o := range f.Others {
		if _, known := people[o.PersonID]; !known {
			people[o.PersonID] = len(order)
			order = append(order, o)
		}
	}
	rows := max(things, len(order), 1)
	g.Height = float64(rows)*nodeStep + 12
	y := func(i, of int) float64 { return 10 + (g.Height-12-float64(of)*nodeStep)/2 + float64(i)*nodeStep }
	line := func(x1, y1, x2, y2 float64) {
		g.Lines = append(g.Lines, edgeLine{x1, y1 + nodeHeight/2, x2, y2 + nodeHeight/2})
	}
	self := y(0, 1)
	g.Nodes = append(g.Nodes, node{columnOne, self, "self", page.MaskedName(f.Player.Name), "…" + short(c.PersonID)})
	for i := range things {
		n := node{X: columnTwo, Y: y(i, things), Kind: "account"}
		if i < len(f.Accounts) {
			a := f.Accounts[i]
			n.Label, n.Sub = page.MaskedIBAN(a.IBAN), page.MaskedName(a.Name)
		} else {
			n.Kind, n.Label, n.Sub = "device", v.say("graph.device"), "…"+short(v.Desk.Store.Lookup("device", f.Devices[i-len(f.Accounts)]))
		}
		g.Nodes = append(g.Nodes, n)
		line(columnOne+nodeWidth, self, columnTwo, n.Y)
		g.Rows = append(g.Rows, fact{Term: v.say("graph." + n.Kind), Text: n.Label + " " + n.Sub})
	}
	for i, o := range order {
		g.Nodes = append(g.Nodes, node{columnThr, y(i, len(order)), "other", v.say("graph.other") + " …" + short(o.PersonID), v.Merchant(v.ctx(), o.MerchantID)})
	}
	for _, o := range f.Others {
		thing := o.Index
		if o.Via == "device" {
			thing += len(f.Accounts)
		}
		line(columnTwo+nodeWidth, y(thing, things), columnThr, y(people[o.PersonID], len(order)))
		g.Rows = append(g.Rows, fact{Term: v.say("graph.other") + " …" + short(o.PersonID),
			Text: v.say("graph.shares", "what", g.Nodes[1+thing].Label, "n", o.Payments)})
	}
	return g
}
