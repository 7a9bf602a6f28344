// Package svg makes the pictures of the documents. They follow the reader's setting
// of light or dark, and are legible at half of their size.
package svg

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// style gives the classes of a drawing their looks. The series s0 to s4 have colors
// that readers with any sight can tell apart.
const style = `
text { font: 16px "Helvetica Neue", Arial, "Liberation Sans", sans-serif; fill: #1f2328 }
.title { font-size: 19px; font-weight: bold }
.code { font-family: Menlo, Consolas, "Liberation Mono", monospace }
.strong { font-weight: bold }
.small { font-size: 15px }
.muted { fill: #59636e }
.middle { text-anchor: middle }
.end { text-anchor: end }
.back { fill: #ffffff }
.box { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.5 }
.grid { stroke: #d1d9e0 }
.axis, .arrow { stroke: #59636e; stroke-width: 1.5 }
.s0 { fill: #0072b2; stroke: #0072b2 }
.s1 { fill: #4da3d9; stroke: #4da3d9 }
.s2 { fill: #c98a00; stroke: #c98a00 }
.s3 { fill: #818b98; stroke: #818b98 }
.s4 { fill: #d55e00; stroke: #d55e00 }
.light { fill-opacity: 0.15; stroke-width: 1.5 }
.line, .arrow { fill: none }
.line { stroke-width: 3; stroke-linejoin: round; stroke-linecap: round }
.dashed { stroke-dasharray: 7 6 }
@media (prefers-color-scheme: dark) {
	text { fill: #f0f6fc }
	.muted { fill: #9198a1 }
	.back { fill: #0d1117 }
	.box { fill: #151b23; stroke: #656c76 }
	.grid { stroke: #3d444d }
	.axis, .arrow { stroke: #9198a1 }
	.s0 { fill: #58a6ff; stroke: #58a6ff }
	.s1 { fill: #a5d6ff; stroke: #a5d6ff }
	.s2 { fill: #e3b341; stroke: #e3b341 }
	.s3 { fill: #9198a1; stroke: #9198a1 }
	.s4 { fill: #ff8a4c; stroke: #ff8a4c }
	.line, .arrow { fill: none }
}
`

// A Point is a place in a drawing, from its upper left corner.
type Point struct{ X, Y float64 }

// A Drawing is written from the back to the front.
type Drawing struct {
	width, height int
	title         string
	body          strings.Builder
}

// New returns a drawing with a background and nothing on it. The title is for readers
// that see no pictures.
func New(width, height int, title string) *Drawing {
	d := &Drawing{width: width, height: height, title: title}
	d.Rect("back", 0, 0, float64(width), float64(height))
	return d
}

// Text writes a line of text that begins at a place, or with the class middle or end is
// centered on it or ends there.
func (d *Drawing) Text(class string, x, y float64, text string) {
	fmt.Fprintf(&d.body, "<text%s x=\"%s\" y=\"%s\">%s</text>\n", attribute(class), number(x), number(y), escape(text))
}

// Rect draws a rectangle.
func (d *Drawing) Rect(class string, x, y, width, height float64) {
	fmt.Fprintf(&d.body, "<rect%s x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"4\"/>\n",
		attribute(class), number(x), number(y), number(width), number(height))
}

// Circle draws a filled circle.
func (d *Drawing) Circle(class string, center Point, radius float64) {
	fmt.Fprintf(&d.body, "<circle%s cx=\"%s\" cy=\"%s\" r=\"%s\"/>\n", attribute(class), number(center.X), number(center.Y), number(radius))
}

// Line draws a line through all points.
func (d *Drawing) Line(class string, points ...Point) {
	fmt.Fprintf(&d.body, "<polyline%s points=\"", attribute(class))
	for i, p := range points {
		if i > 0 {
			d.body.WriteByte(' ')
		}
		d.body.WriteString(number(p.X) + "," + number(p.Y))
	}
	d.body.WriteString("\"/>\n")
}

// Arrow draws a line with a head at its end, which must be above, below, left or right
// of its begin.
func (d *Drawing) Arrow(from, to Point) {
	const length, width = 9, 5
	d.Line("arrow", from, to)
	left, right := to, to
	switch {
	case to.Y > from.Y:
		left, right = Point{to.X - width, to.Y - length}, Point{to.X + width, to.Y - length}
	case to.Y < from.Y:
		left, right = Point{to.X - width, to.Y + length}, Point{to.X + width, to.Y + length}
	case to.X > from.X:
		left, right = Point{to.X - length, to.Y - width}, Point{to.X - length, to.Y + width}
	case to.X < from.X:
		left, right = Point{to.X + length, to.Y - width}, Point{to.X + length, to.Y + width}
	}
	d.Line("arrow", left, to, right)
}

// Bytes returns the file.
func (d *Drawing) Bytes() []byte {
	return fmt.Appendf(nil, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>%s</title>\n<style>%s</style>\n%s</svg>\n",
		d.width, d.height, d.width, d.height, escape(d.title), style, d.body.String())
}

func attribute(class string) string {
	if class == "" {
		return ""
	}
	return ` class="` + class + `"`
}

func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text))
	return b.String()
}
