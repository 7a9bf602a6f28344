package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// printTable prints what one comparison came to: of each metric the median,
// the least and the greatest value, and the median of the ratios to TCP in the
// same round; then the counters that explain it.
func printTable(r *result.Run, k result.Key) {
	fmt.Printf("\n%s %s\n", k.Case, k.Param)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	sides := r.Sides(k)
	for _, side := range sides {
		for _, metric := range r.Metrics(k, side) {
			v := r.Values(k, side, metric)
			if len(v) == 0 {
				continue
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t(%s – %s)", side, metric,
				short(result.Median(v)), short(result.Min(v)), short(result.Max(v)))
			for _, to := range sides {
				if !result.Compared(side, to) || slices.Contains([]string{"B/read", "stall ms", "stops", "allocs/op", "pause ms"}, metric) {
					continue
				}
				if ratios := r.Ratios(k, side, to, metric); len(ratios) > 0 {
					fmt.Fprintf(w, "\t%s × %s", short(result.Median(ratios)), to)
				}
			}
			fmt.Fprintln(w)
		}
		if c := countersText(r.Counters(k, side)); c != "" {
			fmt.Fprintf(w, "  %s\tcounters\t%s\n", side, c)
		}
		for _, e := range r.Errors(k, side) {
			fmt.Fprintf(w, "  %s\tfailed\t%s\n", side, e)
		}
	}
}

func countersText(counters map[string]float64) string {
	var list []string
	for name, v := range counters {
		if v == 0 || !strings.HasPrefix(name, "Tcp") && !strings.HasSuffix(name, "Expireds") &&
			!strings.Contains(name, "Retransmits") && !strings.Contains(name, "Discards") {
			continue
		}
		list = append(list, fmt.Sprintf("%s %.0f", strings.TrimPrefix(name, "Sctp"), v))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// short has three digits at least.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
