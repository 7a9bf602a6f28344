package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// A goals table has what the package set out to reach, and whether it did.
type goals struct {
	r    *result.Run
	rows [][]string
}

func (g *goals) add(what, want string, got float64, met bool) {
	verdict := "yes"
	if !met {
		verdict = "no"
	}
	g.rows = append(g.rows, []string{what, want, short(got), verdict})
}

func (g *goals) atLeast(what string, want, got float64) {
	g.add(what, "at least "+short(want), got, got >= want)
}

func (g *goals) atMost(what string, want, got float64) {
	g.add(what, "at most "+short(want), got, got <= want)
}

// ratio is the median one of a side to another, or not a number if there is none.
func (g *goals) ratio(name, param, side, to, metric string) float64 {
	ratios := g.r.Ratios(result.Key{Case: name, Param: param}, side, to, metric)
	if len(ratios) == 0 {
		return math.NaN()
	}
	return result.Median(ratios)
}

func (g *goals) table() string { return markdown([]string{"what", "wanted", "found", "met"}, g.rows) }

// targets is the table of two processors: sctpnet is to cost no more above C's
// SCTP than Go's TCP costs above C's.
func targets(r *result.Run) string {
	g := &goals{r: r}
	for _, c := range []struct {
		link, size string
		want       float64
	}{
		{"lo", "1KB", 0.9}, {"lo", "8KB", 0.9}, {"lo", "64KB", 0.85}, {"lo", "256KB", 0.85},
		{"veth", "64KB", 0.85}, {"veth", "256KB", 0.85},
	} {
		name := "bulk-" + c.link
		g.atLeast(c.link+", writes of "+c.size+", to C SCTP",
			min(c.want, g.ratio(name, c.size, "tcp", "c-tcp", "MB/s")), g.ratio(name, c.size, "sctpnet", "c-sctp", "MB/s"))
	}
	g.atLeast("one Stream, to the Conn", 0.85, g.ratio("streams-bulk", "64KB", "sctpnet, streams: 1", "sctpnet", "MB/s"))
	g.atLeast("four Streams, to the Conn", 0.7, g.ratio("streams-bulk", "64KB", "sctpnet, streams: 4", "sctpnet", "MB/s"))
	g.atLeast("batches, to one message at a time", 4, g.ratio("batch", "1KB", "sctpnet, batches of 64", "sctpnet, one at a time", "MB/s"))
	g.atLeast("ping-pong, C SCTP's time to ours", 0.95*g.ratio("pingpong", "64B", "c-tcp", "tcp", "µs"), g.ratio("pingpong", "64B", "c-sctp", "sctpnet", "µs"))
	g.atLeast("dial, accept, close, to C SCTP", 0.95*g.ratio("dial", "1 at once", "tcp", "c-tcp", "/s"), g.ratio("dial", "1 at once", "sctpnet", "c-sctp", "/s"))
	g.atMost("stop of the world beside bulk, p99 to Go TCP", 1.2, g.ratio("stw", "64KB", "sctpnet", "tcp", "stop p99 µs"))
	// ours tells of samples of sctpnet as it comes, on a way that loses nothing.
	ours := func(name, side string) bool {
		return strings.HasPrefix(side, "sctpnet") && !strings.HasSuffix(side, result.Earlier) &&
			!strings.HasPrefix(name, "defaults-") && !slices.Contains([]string{"loss", "beside", "failover"}, name)
	}
	var timeouts, drops int64
	for _, s := range r.Samples {
		if ours(s.Case, s.Side) {
			timeouts += s.Counters["SctpT3RtxExpireds"]
			drops += s.Counters["SctpInPktDiscards"]
		}
	}
	g.atMost("T3 timeouts, in all samples together", 0, float64(timeouts))
	g.atMost("packets dropped from the backlog, in all samples together", 0, float64(drops))
	allocs := 0.0
	for _, k := range r.Keys() {
		for _, side := range r.Sides(k) {
			if ours(k.Case, side) {
				allocs = max(allocs, result.Median(r.Values(k, side, "allocs/op")))
			}
		}
	}
	g.atMost("allocations of a read or a write, in the worst case", 0.01, allocs)
	return g.table()
}

// targetsOne is the table of one processor.
func targetsOne(r *result.Run) string {
	g := &goals{r: r}
	for _, lo := range []struct {
		size string
		want float64
	}{{"1KB", 0.75}, {"8KB", 0.6}, {"32KB", 0.6}, {"64KB", 0.7}} {
		g.atLeast("lo, writes of "+lo.size+", to Go TCP", lo.want, g.ratio("bulk-lo", lo.size, "sctpnet", "tcp", "MB/s"))
	}
	stall, sacks := 0.0, 0.0
	for _, s := range r.Samples {
		if s.Case == "bulk-lo" && s.Side == "sctpnet" {
			stall = max(stall, s.Values["stall ms"])
			sacks = max(sacks, float64(s.Counters["SctpDelaySackExpireds"]))
		}
	}
	g.atMost("lo, the longest stall in any sample, ms", 20, stall)
	g.atMost("lo, the most delayed SACKs in any sample", 0, sacks)
	g.atLeast("lo, writes of 64KB, to ishidawataru/sctp", 100, g.ratio("bulk-lo", "64KB", "sctpnet", "ishidawataru", "MB/s"))
	g.atLeast("veth, writes of 64KB, to Go TCP", 0.3, g.ratio("bulk-veth", "64KB", "sctpnet", "tcp", "MB/s"))
	veth := result.Key{Case: "bulk-veth", Param: "64KB"}
	g.atLeast("veth, writes of 64KB, mean read to a message of "+fmt.Sprintf("%.0fKB", message(r)/1024), 0.9,
		result.Median(r.Values(veth, "sctpnet", "B/read"))/message(r))
	const roundTrip = 0.020
	window := r.Settings["veth"]["rcvbuf"] / roundTrip / 1e6
	g.atLeast("20 ms, default sysctls, to window/round trip", 0.75,
		result.Median(r.Values(result.Key{Case: "bulk-delay", Param: "default sysctls"}, "sctpnet", "MB/s"))/window)
	g.atLeast("20 ms, rmem_max 8 MB, to Go TCP", 0.5, g.ratio("bulk-delay", "rmem_max 8 MB", "sctpnet", "tcp", "MB/s"))
	g.atLeast("batches, to one message at a time", 5, g.ratio("batch", "1KB", "sctpnet, batches of 64", "sctpnet, one at a time", "MB/s"))
	for _, at := range []string{"1 at once", "8 at once"} {
		g.atLeast("dial, accept, close, "+at+", to Go TCP", 0.9, g.ratio("dial", at, "sctpnet", "tcp", "/s"))
	}
	idle := result.Key{Case: "idle", Param: "10000"}
	g.atMost("10,000 idle associations, MB", 400, result.Median(r.Values(idle, "sctpnet", "MB")))
	g.atMost("the same, Go heap per end, KB", 1, result.Median(r.Values(idle, "sctpnet", "heap KB/end")))
	const one, ten, streams = "tcp, one connection", "tcp, ten connections", "sctpnet, ten streams"
	for _, loss := range []struct {
		percent string
		one     float64
	}{{"2%", 0.75}, {"5%", 0.33}} {
		g.atMost("loss of "+loss.percent+", p99 to one TCP connection", loss.one, g.ratio("loss", loss.percent, streams, one, "p99 ms"))
		g.atMost("loss of "+loss.percent+", p99 to ten", 1.2, g.ratio("loss", loss.percent, streams, ten, "p99 ms"))
	}
	g.atMost("bulk beside small, p99 to one TCP connection", 0.05, g.ratio("beside", "large packets", streams, one, "p99 ms"))
	g.atMost("bulk beside small, p99 to ten", 1.5, g.ratio("beside", "large packets", streams, ten, "p99 ms"))
	g.atLeast("bulk beside small, rate of bulk to TCP", 0.6, g.ratio("beside", "large packets", streams, one, "bulk MB/s"))
	var files string
	for _, k := range r.Keys() {
		if k.Case == "files" {
			files = k.Param
		}
	}
	const tuned = "sctpnet, three streams, rmem_max 8 MB"
	g.atLeast("three files, rmem_max 8 MB, to one TCP connection", 0.5, g.ratio("files", files, tuned, one, "MB/s"))
	g.atLeast("three files, rmem_max 8 MB, to naive SCTP", 20, g.ratio("files", files, tuned, "ishidawataru, three streams", "MB/s"))
	fast := r.Values(result.Key{Case: "failover"}, "sctpnet, fast", "stall ms")
	g.atMost("failover with the fast profile, the longest stall, ms", 300, result.Max(fast))
	return g.table()
}

// targetsUDP is the table of SCTP over UDP.
func targetsUDP(host, paths *result.Run) string {
	const ours = "sctpnet over UDP"
	g := &goals{r: host}
	g.atLeast("lo, writes of 64KB, to pion/sctp", 3, g.ratio("udp-bulk", "64KB", ours, "pion", "MB/s"))
	g.atLeast("lo, writes of 64KB, to quic-go", 1, g.ratio("udp-bulk", "64KB", ours, "quic", "MB/s"))
	g.atLeast("lo, writes of 64KB, to Go TCP", 0.35, g.ratio("udp-bulk", "64KB", ours, "tcp", "MB/s"))
	g.atMost("lo, ping-pong, the time to quic-go's", 1, g.ratio("udp-pingpong", "64B", ours, "quic", "µs"))
	g.atMost("lo, ping-pong, the time to Go TCP's", 2, g.ratio("udp-pingpong", "64B", ours, "tcp", "µs"))
	g.r = paths
	for _, k := range paths.Keys() {
		if k.Case == "udp-rate" {
			g.atLeast(k.Param+", to Go TCP", 0.9, g.ratio(k.Case, k.Param, ours, "tcp", "MB/s"))
		}
	}
	for _, far := range []struct {
		param string
		want  float64
	}{{"100 ms", 0.8}, {"100 ms, jitter 1 ms", 0.7}, {"100 ms, 2% early", 0.5}} {
		g.atLeast(far.param+", to quic-go", far.want, g.ratio("udp-far", far.param, ours, "quic", "MB/s"))
	}
	g.atLeast("path of 1400 bytes without ICMP, to quic-go", 0.8, g.ratio("udp-mtu", "1400 bytes, no ICMP", ours, "quic", "MB/s"))
	const streams = ours + ", ten streams"
	g.atMost("ten streams, 2% lost, p99 to quic-go's", 1.1, g.ratio("udp-loss", "2%", streams, "quic, ten streams", "p99 ms"))
	g.atMost("ten streams, 2% lost, p99 to ten TCP connections'", 0.5, g.ratio("udp-loss", "2%", streams, "tcp, ten connections", "p99 ms"))
	g.atMost("ping-pong beside eight associations in bulk, p50 to its own alone", 1.3,
		g.ratio("udp-beside", "64B", ours+", beside 8", ours+", alone", "p50 µs"))
	return g.table()
}

// message is the size of the messages that writes are split into.
func message(r *result.Run) float64 { return r.Settings["veth"]["message"] }
