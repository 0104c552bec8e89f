package app_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

var draw = flag.Bool("draw", false, "draw the app's icons anew")

// mark is worker/icon.svg in its 64 by 64 box: two arcs on a field. The field of
// a picture has no round corners: whoever shows it cuts its own.
var (
	field = color.RGBA{0x0e, 0x5a, 0x5e, 0xff}
	arcs  = []curve{
		{{8, 44}, {14, 28}, {22, 20}, {32, 20}}, {{32, 20}, {42, 20}, {50, 28}, {56, 44}},
		{{21, 44}, {23, 37}, {27, 34}, {32, 34}}, {{32, 34}, {37, 34}, {41, 37}, {43, 44}},
	}
)

const halfStroke = 3

type point struct{ x, y float64 }

// curve is a cubic Bézier curve.
type curve [4]point

func (c curve) at(t float64) point {
	u := 1 - t
	a, b, d, e := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
	return point{a*c[0].x + b*c[1].x + d*c[2].x + e*c[3].x, a*c[0].y + b*c[1].y + d*c[2].y + e*c[3].y}
}

// distance is how far p is from the segment between a and b.
func (p point) distance(a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	t := max(0, min(1, ((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy)))
	return math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy)
}

// icon draws the mark at a size in pixels: the nearer a pixel is to an arc, the
// whiter it is, with one pixel in which it changes.
func icon(size int) []byte {
	var segments [][2]point
	const parts = 24
	for _, c := range arcs {
		for i := range parts {
			segments = append(segments, [2]point{c.at(float64(i) / parts), c.at(float64(i+1) / parts)})
		}
	}
	scale := float64(size) / 64
	picture := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			p, nearest := point{(float64(x) + .5) / scale, (float64(y) + .5) / scale}, math.Inf(1)
			for _, s := range segments {
				nearest = min(nearest, p.distance(s[0], s[1]))
			}
			white := max(0, min(1, (halfStroke-nearest)*scale+.5))
			mix := func(c uint8) uint8 { return uint8(math.Round(float64(c)*(1-white) + 255*white)) }
			picture.SetRGBA(x, y, color.RGBA{mix(field.R), mix(field.G), mix(field.B), 255})
		}
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, picture); err != nil {
		panic(err)
	}
	return file.Bytes()
}

// TestIconsAreTheMarkInEverySize: the pictures that are served were drawn here,
// from the curves of icon.svg, and by nothing else.
func TestIconsAreTheMarkInEverySize(t *testing.T) {
	w := newWorld(t, false)
	for _, size := range []int{180, 192, 512} {
		name := fmt.Sprintf("icon-%d.png", size)
		if *draw {
			must(t, os.WriteFile(filepath.Join("worker", name), icon(size), 0o600))
			continue
		}
		status, body, res := w.get(w.client(), "/sca/device/"+name)
		if status != http.StatusOK || res.Header.Get("Content-Type") != "image/png" {
			t.Fatalf("%s: %d %s", name, status, res.Header.Get("Content-Type"))
		}
		served, err := png.Decode(bytes.NewReader([]byte(body)))
		must(t, err)
		drawn, err := png.Decode(bytes.NewReader(icon(size)))
		must(t, err)
		if served.Bounds() != drawn.Bounds() {
			t.Fatalf("%s is %v", name, served.Bounds())
		}
		for y := range size {
			for x := range size {
				if served.At(x, y) != drawn.At(x, y) {
					t.Fatalf("%s differs at %d,%d", name, x, y)
				}
			}
		}
	}
}
