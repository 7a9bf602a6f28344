package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
	"github.com/sctpnet/sctpnet/internal/svg"
)

// plots draws all the plots into the folder: those of throughput of two
// processors and of one, the others of one.
func plots(smp, uml *result.Run, folder string) error {
	for name, d := range map[string]*svg.Drawing{
		"throughput":     throughput(smp, "two processors"),
		"throughput-one": throughput(uml, "one processor"),
		"loss":           late(uml, "loss", "Packets are lost: how many messages take longer than a time", "loss of "),
		"beside":         late(uml, "beside", "Small messages beside bulk: how many take longer than a time", ""),
		"files":          bars(uml, "files", "s", "Three files, round trip of 20 ms: seconds in all; less is better"),
		"failover":       bars(uml, "failover", "stall ms", "The primary path is cut: longest stall in ms; less is better"),
	} {
		if err := os.WriteFile(filepath.Join(folder, "performance-"+name+".svg"), d.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// series gives each side its color.
func series(side string) string {
	switch {
	case strings.HasPrefix(side, "tcp"):
		return "s0"
	case side == "c-tcp":
		return "s1"
	case side == "c-sctp":
		return "s2"
	case strings.HasPrefix(side, "ishidawataru"):
		return "s3"
	}
	return "s4"
}

// line gives each side its color and its line.
func line(side string) string {
	class := series(side) + " line"
	if strings.Contains(side, "ten connections") || strings.HasPrefix(side, "c-") || strings.Contains(side, "priority") {
		class += " dashed"
	}
	return class
}

func sorted(sides []string) []string {
	return slices.SortedStableFunc(slices.Values(sides), func(a, b string) int { return rank(a) - rank(b) })
}

// legend writes which line is which, two in a row.
func legend(d *svg.Drawing, x, y float64, sides []string) {
	for i, side := range sides {
		x, y := x+float64(i%2)*340, y+float64(i/2)*24
		d.Line(line(side), svg.Point{X: x, Y: y - 5}, svg.Point{X: x + 36, Y: y - 5})
		d.Text("", x+46, y, label(side))
	}
}

// throughput is by the size of a write, over the loopback interface.
func throughput(r *result.Run, processors string) *svg.Drawing {
	const left, right, top, bottom = 80, 580, 70, 340
	title := "MB/s by the size of a write, " + processors + "; more is better"
	d := svg.New(760, 400, title)
	d.Text("title", 20, 34, title)
	var keys []result.Key
	for _, k := range r.Keys() {
		if _, err := strconv.Atoi(strings.TrimSuffix(k.Param, "KB")); k.Case == "bulk-lo" && err == nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b result.Key) int { return kilobytes(a) - kilobytes(b) })
	most := 0.0
	for _, k := range keys {
		for _, side := range r.Sides(k) {
			most = max(most, result.Median(r.Values(k, side, "MB/s")))
		}
	}
	step := 500.0
	if most <= 1000 {
		step = 100
	}
	most = math.Ceil(most/step) * step
	y := func(v float64) float64 { return bottom - v/most*(bottom-top) }
	for v := 0.0; v <= most; v += step {
		d.Line("grid", svg.Point{X: left, Y: y(v)}, svg.Point{X: right, Y: y(v)})
		d.Text("small end", left-10, y(v)+5, strconv.FormatFloat(v, 'f', -1, 64))
	}

	lines := map[string][]svg.Point{}
	values := map[string]float64{}
	var sides []string
	for i, k := range keys {
		x := left + float64(i)/float64(len(keys)-1)*(right-left)
		d.Text("small middle", x, bottom+26, fmt.Sprintf("%d KB", kilobytes(k)))
		for _, side := range r.Sides(k) {
			v := result.Median(r.Values(k, side, "MB/s"))
			if lines[side] == nil {
				sides = append(sides, side)
			}
			lines[side], values[side] = append(lines[side], svg.Point{X: x, Y: y(v)}), v
		}
	}
	slices.Sort(sides)
	var names []string
	ends := map[string]float64{} // where the lines of names end
	for _, side := range sorted(sides) {
		if len(lines[side]) > 1 {
			d.Line(line(side), lines[side]...)
		}
		for _, p := range lines[side] {
			d.Circle(series(side), p, 4.5)
		}
		last := lines[side][len(lines[side])-1]
		name := fmt.Sprintf("%s, %s", label(side), short(values[side]))
		if last.X < right {
			d.Text("small middle", last.X, last.Y-12, name)
		} else {
			names = append(names, name)
			ends[name] = last.Y
		}
	}
	// Names keep clear of each other.
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(ends[a], ends[b]) })
	next := 0.0
	for _, name := range names {
		y := max(next, ends[name])
		d.Text("", right+14, y+6, name)
		next = y + 20
	}
	return d
}

func kilobytes(k result.Key) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(k.Param, "KB"))
	return n
}

// late plots how many messages take longer than a time, on axes of powers of ten.
func late(r *result.Run, name, title, param string) *svg.Drawing {
	const width, top, bottom, least, gap = 270, 104, 330, 0.001, 90
	d := svg.New(760, 450, title)
	d.Text("title", 20, 34, title)
	d.Text("small muted", 20, 58, "both axes logarithmic; lower and further left is better")
	var sides []string
	panel := 0
	for _, k := range r.Keys() {
		if k.Case != name {
			continue
		}
		left := 74 + float64(panel)*(width+gap)
		panel++
		sides = sorted(r.Sides(k))
		most := 0.0
		for _, side := range sides {
			values := r.Pooled(k, side)
			most = max(most, values[len(values)-1])
		}
		const first = 10.0
		decades := math.Ceil(math.Log10(most / first))
		x := func(ms float64) float64 {
			return left + max(0, math.Log10(ms/first))/decades*width
		}
		y := func(part float64) float64 { return top + math.Log10(part)/math.Log10(least)*(bottom-top) }
		d.Text("strong middle", left+width/2, top-18, param+k.Param)
		for _, part := range []float64{1, 0.1, 0.01, least} {
			d.Line("grid", svg.Point{X: left, Y: y(part)}, svg.Point{X: left + width, Y: y(part)})
			d.Text("small end", left-8, y(part)+5, strconv.FormatFloat(part*100, 'f', -1, 64)+" %")
		}
		for e := 0.0; e <= decades; e++ {
			ms := first * math.Pow(10, e)
			d.Line("grid", svg.Point{X: x(ms), Y: top}, svg.Point{X: x(ms), Y: bottom})
			unit := fmt.Sprintf("%.0f ms", ms)
			if ms >= 1000 {
				unit = fmt.Sprintf("%.0f s", ms/1000)
			}
			d.Text("small middle", x(ms), bottom+24, unit)
		}
		for _, side := range sides {
			values := r.Pooled(k, side)
			var points []svg.Point
			for i, v := range values {
				part := 1 - float64(i+1)/float64(len(values))
				if part < least*0.9 {
					continue
				}
				p := svg.Point{X: x(v), Y: y(max(part, least))}
				if n := len(points); n > 0 && math.Hypot(p.X-points[n-1].X, p.Y-points[n-1].Y) < 1 {
					continue
				}
				points = append(points, p)
			}
			d.Line(line(side), points...)
		}
	}
	legend(d, 74, bottom+70, sides)
	return d
}

// bars are of one metric: the median, and the least and greatest value.
func bars(r *result.Run, name, metric, title string) *svg.Drawing {
	const left, width, top, step = 350, 230, 66, 46
	type bar struct {
		side   string
		values map[int]float64
	}
	var all []bar
	most := 0.0
	for _, k := range r.Keys() {
		if k.Case != name {
			continue
		}
		for _, side := range sorted(r.Sides(k)) {
			if v := r.Values(k, side, metric); len(v) > 0 {
				all = append(all, bar{side, v})
				most = max(most, result.Median(v))
			}
		}
	}
	d := svg.New(760, top+len(all)*step+16, title)
	d.Text("title", 20, 34, title)
	for i, b := range all {
		y := float64(top + i*step)
		length := max(2, result.Median(b.values)/most*width)
		d.Text("end", left-12, y+21, label(b.side))
		d.Rect(series(b.side), left, y, length, 30)
		d.Text("", left+length+10, y+21, spread(b.values))
	}
	d.Line("axis", svg.Point{X: left, Y: top - 10}, svg.Point{X: left, Y: float64(top + len(all)*step)})
	return d
}
