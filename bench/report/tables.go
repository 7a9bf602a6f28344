package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// tables returns the pages' tables by name, in Markdown: those of two processors,
// and of one, which have names that end in -one where both are there.
func tables(smp, uml *result.Run) map[string]string {
	all := perRun(smp)
	for name, table := range perRun(uml) {
		all[name+"-one"] = table
	}
	tcps := []string{"tcp, one connection", "tcp, ten connections"}
	latency := spec{metrics: []string{"p50 ms", "p95 ms", "p99 ms", "max ms"}, ratio: "p99 ms", to: tcps}
	beside := latency
	beside.metrics = append(slices.Clone(latency.metrics), "bulk MB/s")
	maps.Copy(all, map[string]string{
		"about":             about(smp, uml),
		"summary":           summary(smp, uml),
		"targets":           targets(smp),
		"targets-one":       targetsOne(uml),
		"bulk-delay":        bulk.table(uml, "bulk-delay"),
		"defaults-exchange": spec{metrics: []string{"ms"}, ratio: "ms", to: []string{"sctpnet"}}.table(uml, "defaults-exchange"),
		"idle":              spec{metrics: []string{"MB", "heap KB/end", "s"}, ratio: "MB", to: []string{"tcp"}}.table(uml, "idle"),
		"loss":              latency.table(uml, "loss"),
		"beside":            beside.table(uml, "beside"),
		"files":             spec{metrics: []string{"s", "MB/s"}, ratio: "MB/s", to: []string{"tcp, one connection", "ishidawataru, three streams"}}.table(uml, "files"),
		"failover":          spec{metrics: []string{"stall ms", "lost", "doubled"}}.table(uml, "failover"),
	})
	return all
}

// bulk is what is told of bulk.
var bulk = spec{
	metrics: []string{"MB/s", "B/read", "allocs/op", "stall ms"},
	ratio:   "MB/s",
	to:      []string{"tcp", "c-tcp", "c-sctp"},
	counters: []string{
		"SctpT3RtxExpireds", "SctpFastRetransmits", "SctpInPktDiscards", "SctpInDataChunkDiscards", "SctpDelaySackExpireds",
	},
}

// perRun returns the tables that there are of each kernel.
func perRun(r *result.Run) map[string]string {
	bulkTo := func(to ...string) spec {
		s := bulk
		s.to = to
		return s
	}
	ping := spec{metrics: []string{"µs", "allocs/op"}, ratio: "µs", to: []string{"tcp", "c-tcp", "c-sctp", "ishidawataru"}}
	return map[string]string{
		"bulk-lo":            bulk.table(r, "bulk-lo"),
		"bulk-veth":          bulk.table(r, "bulk-veth"),
		"streams-bulk":       bulkTo("sctpnet").table(r, "streams-bulk"),
		"copy":               bulkTo("tcp", "sctpnet").table(r, "copy"),
		"batch":              bulkTo("tcp", "c-sctp", "sctpnet, one at a time").table(r, "batch"),
		"many":               bulk.table(r, "many"),
		"processes-bulk":     bulk.table(r, "processes-bulk"),
		"processes-pingpong": ping.table(r, "processes-pingpong"),
		"pingpong":           ping.table(r, "pingpong"),
		"dial":               spec{metrics: []string{"/s"}, ratio: "/s", to: []string{"tcp", "c-tcp", "c-sctp"}}.table(r, "dial"),
		"defaults-bulk":      spec{metrics: []string{"MB/s", "stall ms"}, ratio: "MB/s", to: []string{"sctpnet"}, counters: bulk.counters}.table(r, "defaults-bulk"),
		"stw": spec{
			metrics: []string{"stop p50 µs", "stop p99 µs", "stop max µs", "MB/s"}, ratio: "stop p99 µs", to: []string{"tcp"},
		}.table(r, "stw"),
	}
}

// udpTables returns those of SCTP over UDP: on one host, and on paths with a delay, losses
// and limits.
func udpTables(host, paths *result.Run) map[string]string {
	bulk := spec{metrics: []string{"MB/s", "allocs/op"}, ratio: "MB/s", to: []string{"tcp", "quic", "pion"}}
	path := spec{metrics: []string{"MB/s", "stall ms"}, ratio: "MB/s", to: []string{"tcp", "quic"}}
	return map[string]string{
		"udp-about":       about(host),
		"udp-bulk":        bulk.table(host, "udp-bulk"),
		"udp-pingpong":    spec{metrics: []string{"µs", "allocs/op"}, ratio: "µs", to: []string{"tcp", "quic"}}.table(host, "udp-pingpong"),
		"udp-paths-about": about(paths),
		"udp-rate":        path.table(paths, "udp-rate"),
		"udp-far":         path.table(paths, "udp-far"),
		"udp-mtu":         path.table(paths, "udp-mtu"),
		"udp-loss": spec{
			metrics: []string{"p50 ms", "p95 ms", "p99 ms", "max ms"}, ratio: "p99 ms", to: []string{"tcp, ten connections", "quic, ten streams"},
		}.table(paths, "udp-loss"),
		"udp-beside":  spec{metrics: []string{"p50 µs", "p99 µs"}, ratio: "p50 µs", to: []string{"sctpnet over UDP, alone"}}.table(paths, "udp-beside"),
		"targets-udp": targetsUDP(host, paths),
	}
}

// about says what the results were made on.
func about(runs ...*result.Run) string {
	var b strings.Builder
	b.WriteString("| | " + strings.Repeat("| ", len(runs)) + "\n|---|" + strings.Repeat("---|", len(runs)) + "\n")
	row := func(name string, value func(r *result.Run) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range runs {
			fmt.Fprintf(&b, " %s |", value(r))
		}
		b.WriteByte('\n')
	}
	row("kernel", func(r *result.Run) string { return "Linux " + r.Kernel })
	row("processors", func(r *result.Run) string { return fmt.Sprint(r.CPUs) })
	row("Go", func(r *result.Run) string { return r.Go })
	row("commit", func(r *result.Run) string { return r.Commit })
	row("options", func(r *result.Run) string {
		return "`" + strings.ReplaceAll(strings.Join(r.Args, " "), "|", `\|`) + "`"
	})
	row("rounds", func(r *result.Run) string {
		n := 0
		for _, s := range r.Samples {
			n = max(n, s.Round+1)
		}
		return fmt.Sprint(n)
	})
	row("time", func(r *result.Run) string { return fmt.Sprintf("%.0f s on %s", r.Seconds, r.Time.Format("2006-01-02")) })
	for _, name := range slices.Sorted(maps.Keys(runs[0].Sysctls)) {
		row(name, func(r *result.Run) string { return r.Sysctls[name] })
	}
	return b.String()
}

// A spec says what a table has of each side: medians of metrics, with the least
// and the greatest value; medians of the ratios of one metric to those of other
// sides in the same round; and medians of counters.
type spec struct {
	metrics  []string
	ratio    string
	to       []string
	counters []string
}

func (s spec) table(r *result.Run, name string) string {
	var rows [][]string
	head := append([]string{"", ""}, s.metrics...)
	for _, to := range s.to {
		head = append(head, "to "+label(to))
	}
	for _, c := range s.counters {
		head = append(head, counterNames[c])
	}
	for _, k := range r.Keys() {
		if k.Case != name {
			continue
		}
		param := k.Param
		sides := r.Sides(k)
		slices.SortStableFunc(sides, func(a, b string) int { return rank(a) - rank(b) })
		for _, side := range sides {
			row := []string{param, label(side)}
			param = ""
			for _, m := range s.metrics {
				row = append(row, spread(r.Values(k, side, m)))
			}
			for _, to := range s.to {
				ratio := ""
				if v := r.Ratios(k, side, to, s.ratio); len(v) > 0 && result.Compared(side, to) {
					ratio = short(result.Median(v))
				}
				row = append(row, ratio)
			}
			counters := r.Counters(k, side)
			for _, c := range s.counters {
				count := ""
				if !strings.HasSuffix(side, "tcp") {
					count = fmt.Sprintf("%.0f", counters[c])
				}
				row = append(row, count)
			}
			if failed := len(r.Errors(k, side)); failed > 0 {
				row[1] += fmt.Sprintf(" (%d rounds failed)", failed)
			}
			rows = append(rows, row)
		}
	}
	return markdown(head, rows)
}

var counterNames = map[string]string{
	"SctpT3RtxExpireds":       "T3",
	"SctpFastRetransmits":     "fast retransmits",
	"SctpInPktDiscards":       "drops",
	"SctpInDataChunkDiscards": "discards",
	"SctpDelaySackExpireds":   "delayed SACKs",
}

// markdown writes a table without the columns that are empty.
func markdown(head []string, rows [][]string) string {
	var used []int
	for i := range head {
		if slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
			used = append(used, i)
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for _, i := range used {
			b.WriteString("| " + cells[i] + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(used)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// label is what readers are told of a side.
func label(side string) string {
	side = strings.Replace(side, "c-tcp", "C TCP", 1)
	side = strings.Replace(side, "c-sctp", "C SCTP", 1)
	side = strings.Replace(side, "quic", "quic-go", 1)
	side = strings.Replace(side, "pion", "pion/sctp", 1)
	if strings.HasPrefix(side, "tcp") {
		side = strings.Replace(side, "tcp", "Go TCP", 1)
	}
	return side
}

// rank puts sides in the order in which readers look for them.
func rank(side string) int {
	return slices.IndexFunc([]string{"tcp", "c-tcp", "c-sctp", "ishidawataru", "quic", "pion", "sctpnet"}, func(p string) bool { return strings.HasPrefix(side, p) })
}

func spread[K comparable](v map[K]float64) string {
	if len(v) == 0 {
		return ""
	}
	least, most := short(result.Min(v)), short(result.Max(v))
	if least == most {
		return least
	}
	return fmt.Sprintf("%s (%s–%s)", short(result.Median(v)), least, most)
}

// short has three digits at least, but for zero.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
