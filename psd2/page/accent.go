package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A merchant may set one colour: the fill of the main button. It reaches the
// page as a tiny style sheet of its own, named by the colour, because pages
// carry no inline style; nothing but six hexadecimal digits gets into it.

// Surfaces the accent must stand out from: where light, --page in base.css,
// where dark, --card, on which a payer's page lies there.
const (
	lightPage = "f4f7f7"
	darkPage  = "1b2223"
)

// AccentURL gives the style sheet of a merchant's colour ("#rrggbb"). ok is
// false when it is no colour or white text on it would be hard to read (WCAG
// 1.4.3: 4.5 to 1); then the page keeps our own.
func AccentURL(colour string) (url string, ok bool) {
	hex, found := strings.CutPrefix(strings.ToLower(colour), "#")
	if !found || !legible(hex) {
		return "", false
	}
	return StaticPrefix + "accent-" + hex + ".css", true
}

// accentFile answers for a path that AccentURL made. Dark pages keep our
// colour when the merchant's would not stand out from them (WCAG 1.4.11: 3 to 1).
func accentFile(path string) ([]byte, bool) {
	hex, found := strings.CutPrefix(path, StaticPrefix+"accent-")
	if !found {
		return nil, false
	}
	hex, found = strings.CutSuffix(hex, ".css")
	if !found || hex != strings.ToLower(hex) || !legible(hex) {
		return nil, false
	}
	rule := fmt.Sprintf(":root{--action:#%s;--action-hover:#%s;--on-action:#fff}\n", hex, hex)
	if contrast(hex, darkPage) < 3 {
		rule = "@media (prefers-color-scheme: light){" + strings.TrimSpace(rule) + "}\n"
	}
	return []byte(rule), true
}

func legible(hex string) bool {
	_, ok := luminance(hex)
	return ok && contrast(hex, "ffffff") >= 4.5 && contrast(hex, lightPage) >= 3
}

// contrast is the ratio of WCAG 2.2, 1 to 21.
func contrast(a, b string) float64 {
	la, _ := luminance(a)
	lb, _ := luminance(b)
	return (math.Max(la, lb) + 0.05) / (math.Min(la, lb) + 0.05)
}

// luminance is WCAG 2.2's relative luminance of an rrggbb colour.
func luminance(hex string) (float64, bool) {
	if len(hex) != 6 {
		return 0, false
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return 0, false
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum, true
}
