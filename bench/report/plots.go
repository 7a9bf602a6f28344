package main

import (
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

const (
	width  = 15 * vg.Centimeter
	height = 9 * vg.Centimeter
)

// plots draws all the plots into the folder.
func plots(r *result.Run, folder string) error {
	for _, p := range []struct {
		name  string
		plots func(r *result.Run) ([]*plot.Plot, error)
	}{
		{"throughput", throughput},
		{"loss", func(r *result.Run) ([]*plot.Plot, error) { return late(r, "loss", "Loss of ") }},
		{"beside", func(r *result.Run) ([]*plot.Plot, error) { return late(r, "beside", "80 Mbit/s, ") }},
		{"files", func(r *result.Run) ([]*plot.Plot, error) {
			return bars(r, "files", "s", "Three files over 20 ms: seconds in all")
		}},
		{"failover", func(r *result.Run) ([]*plot.Plot, error) {
			return bars(r, "failover", "stall ms", "Longest stall when the primary path is cut, ms")
		}},
	} {
		plots, err := p.plots(r)
		if err != nil {
			return err
		}
		if err := save(plots, filepath.Join(folder, "performance-"+p.name+".png")); err != nil {
			return err
		}
	}
	return nil
}

// save draws plots side by side into a file. Several have the legend of the
// first one in common, below them.
func save(plots []*plot.Plot, file string) error {
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(120), vgimg.UseBackgroundColor(color.White))
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Millimeter * 4, PadTop: vg.Millimeter, PadRight: vg.Millimeter * 2, PadLeft: vg.Millimeter, PadBottom: vg.Millimeter}
	all := draw.New(c)
	if len(plots) > 1 {
		legend := plots[0].Legend
		for _, p := range plots {
			p.Legend = plot.NewLegend()
		}
		legend.Left = true
		const strip = 1.9 * vg.Centimeter
		legend.Draw(draw.Crop(all, width/3, 0, vg.Millimeter, strip-height))
		all = draw.Crop(all, 0, 0, strip, 0)
	}
	canvases := plot.Align([][]*plot.Plot{plots}, tiles, all)
	for i, p := range plots {
		p.Draw(canvases[0][i])
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// style gives each side its colour, which readers with any sight can tell
// apart, and its line.
func style(side string) draw.LineStyle {
	s := draw.LineStyle{Width: vg.Points(1.6), Color: color.RGBA{0xd5, 0x5e, 0x00, 0xff}}
	switch {
	case strings.HasPrefix(side, "tcp"):
		s.Color = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	case side == "c-tcp":
		s.Color = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	case side == "c-sctp":
		s.Color = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	case strings.HasPrefix(side, "ishidawataru"):
		s.Color = color.RGBA{0x88, 0x88, 0x88, 0xff}
	}
	if strings.Contains(side, "ten connections") || strings.HasPrefix(side, "c-") || strings.Contains(side, "priority") {
		s.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
	}
	return s
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = vg.Points(10)
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = vg.Points(9), vg.Points(9)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = vg.Points(8), vg.Points(8)
	p.Title.Padding = vg.Points(4)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.Legend.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xdd}, color.Gray{0xdd}
	p.Add(grid)
	return p
}

func sorted(sides []string) []string {
	return slices.SortedStableFunc(slices.Values(sides), func(a, b string) int { return rank(a) - rank(b) })
}

// throughput is by the size of a write, over the loopback interface.
func throughput(r *result.Run) ([]*plot.Plot, error) {
	p := newPlot("Loopback interface, one connection", "bytes of a write", "MB/s")
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	lines := map[string]plotter.XYs{}
	var ticks []plot.Tick
	for _, k := range r.Keys() {
		kb, err := strconv.Atoi(strings.TrimSuffix(k.Param, "KB"))
		if k.Case != "bulk-lo" || err != nil {
			continue
		}
		ticks = append(ticks, plot.Tick{Value: float64(kb), Label: strings.Replace(k.Param, "KB", " KB", 1)})
		for _, side := range r.Sides(k) {
			lines[side] = append(lines[side], plotter.XY{X: float64(kb), Y: result.Median(r.Values(k, side, "MB/s"))})
		}
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Marker = decades{}
	var sides []string
	for side := range lines {
		sides = append(sides, side)
	}
	slices.Sort(sides)
	for _, side := range sorted(sides) {
		l, points, err := plotter.NewLinePoints(lines[side])
		if err != nil {
			return nil, err
		}
		l.LineStyle = style(side)
		points.GlyphStyle = draw.GlyphStyle{Color: l.Color, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
		p.Add(l, points)
		p.Legend.Add(label(side), l, points)
	}
	p.Legend.Left = true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(8), vg.Points(8)
	p.Y.Min, p.Y.Max = 0.1, 10000
	return []*plot.Plot{p}, nil
}

// late plots what part of messages is later than a time.
func late(r *result.Run, name, title string) ([]*plot.Plot, error) {
	var plots []*plot.Plot
	for _, k := range r.Keys() {
		if k.Case != name {
			continue
		}
		p := newPlot(title+k.Param, "ms", "part that is later")
		p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
		p.X.Tick.Marker, p.Y.Tick.Marker = decades{}, decades{}
		for _, side := range sorted(r.Sides(k)) {
			values := r.Pooled(k, side)
			var xys plotter.XYs
			for i, v := range values {
				if part := 1 - float64(i+1)/float64(len(values)); part >= 0.0009 {
					xys = append(xys, plotter.XY{X: v, Y: part})
				}
			}
			l, err := plotter.NewLine(xys)
			if err != nil {
				return nil, err
			}
			l.LineStyle = style(side)
			p.Add(l)
			p.Legend.Add(label(side), l)
		}
		p.X.Min, p.Y.Min, p.Y.Max = 9, 0.001, 1
		plots = append(plots, p)
	}
	return plots, nil
}

// bars are of one metric: the median, and the least and greatest value.
func bars(r *result.Run, name, metric, title string) ([]*plot.Plot, error) {
	p := newPlot(title, "", "")
	i := 0
	var names []string
	for _, k := range r.Keys() {
		if k.Case != name {
			continue
		}
		sides := sorted(r.Sides(k))
		slices.Reverse(sides)
		for _, side := range sides {
			v := r.Values(k, side, metric)
			if len(v) == 0 {
				continue
			}
			bar, err := plotter.NewBarChart(plotter.Values{result.Median(v)}, vg.Points(16))
			if err != nil {
				return nil, err
			}
			bar.Horizontal = true
			bar.XMin = float64(i)
			bar.Color, bar.LineStyle.Width = style(side).Color, 0
			figure, err := plotter.NewLabels(plotter.XYLabels{
				XYs:    plotter.XYs{{X: result.Median(v), Y: float64(i)}},
				Labels: []string{" " + spread(v)},
			})
			if err != nil {
				return nil, err
			}
			figure.TextStyle[0].Font.Size, figure.TextStyle[0].Font.Variant = vg.Points(8), "Sans"
			figure.TextStyle[0].YAlign = draw.YCenter
			p.Add(bar, figure)
			p.X.Max = max(p.X.Max, result.Median(v)*1.35)
			names = append(names, label(side))
			i++
		}
	}
	p.NominalY(names...)
	p.X.Min = 0
	p.Y.Min, p.Y.Max = -0.6, float64(i)-0.4
	return []*plot.Plot{p}, nil
}

// decades are ticks at 1, 2 and 5 times the powers of ten, where those are few,
// or at the powers.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	steps := []float64{1, 2, 5}
	if high/low > 150 {
		steps = steps[:1]
	}
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range steps {
			if v := m * math.Pow(10, e); v >= low*0.999 && v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', -1, 64)})
			}
		}
	}
	return ticks
}
