package consent

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/page"
)

// Size of a bank's chart, and how many hours one bar stands for.
const (
	chartWidth, chartHeight = 224, 36
	chartHours              = 6
)

type healthBar struct {
	X, Y, Width, Height float64
	Kind                string // "good", "poor" or "none"
}

type healthRow struct {
	Name     string
	Kind     string // of the badge
	State    string
	Why      string
	Hour     string
	Latency  string
	Label    string // the chart in words
	Bars     []healthBar
	Line     string // points of the latency line
	Disabled bool
}

type healthPage struct {
	Rows   []healthRow
	All    bool
	Count  int
	AsOf   time.Time
	Width  int
	Height int
}

// health is GET /status: how each bank does, for everybody. It tells shares
// and times, never how many payments there were.
func (v *visit) health() error {
	d := healthPage{AsOf: v.Now(), Width: chartWidth, Height: chartHeight, All: true}
	for _, l := range v.Hub.Banks() {
		if l.Reason == banks.ReasonDisabled {
			continue
		}
		d.Count++
		d.All = d.All && l.Available
		d.Rows = append(d.Rows, v.healthRow(l))
	}
	return v.show(page.Page{Name: "health", Status: http.StatusOK, Title: v.say("health.title"), Self: &url.URL{Path: "/status"},
		Layout: "wide", Refresh: time.Minute, Data: d})
}

func (v *visit) healthRow(l banks.Listing) healthRow {
	h := v.Hub.BankHistory(l.ID)
	r := healthRow{Name: l.Name, Kind: "done", State: v.say("health.up"), Hour: v.say("health.no_data"), Latency: "–",
		Label: v.say("health.chart_none", "bank", l.Name)}
	if !l.Available {
		r.Kind, r.State = "failed", v.say("health.down."+l.Reason)
	}
	if l.PresumedUnavailable {
		r.Why = v.say("health.presumed", "n", l.Unanswered)
	}
	if hour := h.Hour[""]; hour.Calls > 0 {
		r.Hour = v.percent(hour)
		if hour.Answered > 0 {
			r.Latency = v.span(hour.P95)
		}
	}
	week := banks.Measure{}
	for _, m := range h.Week {
		week.Calls, week.Answered = week.Calls+m.Calls, week.Answered+m.Answered
	}
	if week.Calls > 0 {
		r.Label = v.say("health.chart", "bank", l.Name, "percent", v.percent(week))
	}
	r.Bars, r.Line = chart(h.Week)
	return r
}

// chart draws the week: a bar for each stretch, as high as the share of
// answers, and a line for the slowest answers of each on a logarithmic scale
// from 25 ms to 50 s.
func chart(week []banks.Measure) (bars []healthBar, line string) {
	n := len(week) / chartHours
	if n == 0 {
		return nil, ""
	}
	var points strings.Builder
	width := float64(chartWidth) / float64(n)
	for i := range n {
		var m banks.Measure
		for _, hour := range week[i*chartHours : (i+1)*chartHours] {
			m.Calls, m.Answered, m.P95 = m.Calls+hour.Calls, m.Answered+hour.Answered, max(m.P95, hour.P95)
		}
		b := healthBar{X: float64(i)*width + 1, Width: width - 2, Height: 2, Kind: "none"}
		if m.Calls > 0 {
			share := float64(m.Answered) / float64(m.Calls)
			b.Height = max(2, share*chartHeight)
			if b.Kind = "good"; share < 0.98 {
				b.Kind = "poor"
			}
		}
		b.Y = chartHeight - b.Height
		bars = append(bars, b)
		if m.Answered > 0 {
			height := math.Log2(float64(m.P95)/float64(25*time.Millisecond)) / 11
			fmt.Fprintf(&points, "%.1f,%.1f ", b.X+b.Width/2, chartHeight-2-min(max(height, 0), 1)*(chartHeight-4))
		}
	}
	return bars, strings.TrimSpace(points.String())
}

// percent is a share as people write it, rounded so that only all is 100.
func (v *visit) percent(m banks.Measure) string {
	tenths := m.Answered * 1000 / m.Calls
	s := fmt.Sprintf("%d.%d", tenths/10, tenths%10)
	if tenths == 1000 {
		s = "100"
	}
	if v.lang == "de" {
		return strings.Replace(s, ".", ",", 1) + "\u00a0%"
	}
	return s + "%"
}

// span is a time in milliseconds or seconds.
func (v *visit) span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d\u00a0ms", d.Milliseconds())
	}
	s := fmt.Sprintf("%.1f\u00a0s", d.Seconds())
	if v.lang == "de" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}
