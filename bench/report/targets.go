package main

import (
	"fmt"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// targets is the table of what the package set out to reach.
func targets(uml, qemu *result.Run) string {
	var rows [][]string
	add := func(what, want string, got float64, met bool) {
		verdict := "yes"
		if !met {
			verdict = "no"
		}
		rows = append(rows, []string{what, want, short(got), verdict})
	}
	atLeast := func(what string, want, got float64) { add(what, "at least "+short(want), got, got >= want) }
	atMost := func(what string, want, got float64) { add(what, "at most "+short(want), got, got <= want) }
	// ratio is the median one of sctpnet to another side.
	ratio := func(r *result.Run, name, param, side, to, metric string) float64 {
		return result.Median(r.Ratios(result.Key{Case: name, Param: param}, side, to, metric))
	}

	for _, lo := range []struct {
		size string
		want float64
	}{{"1KB", 0.75}, {"8KB", 0.6}, {"32KB", 0.6}, {"64KB", 0.7}} {
		atLeast("lo, writes of "+lo.size+", to Go TCP", lo.want, ratio(uml, "bulk-lo", lo.size, "sctpnet", "tcp", "MB/s"))
	}
	stall, sacks := 0.0, 0.0
	for _, s := range uml.Samples {
		if s.Case == "bulk-lo" && s.Side == "sctpnet" {
			stall = max(stall, s.Values["stall ms"])
			sacks = max(sacks, float64(s.Counters["SctpDelaySackExpireds"]))
		}
	}
	atMost("lo, the longest stall in any sample, ms", 20, stall)
	atMost("lo, the most delayed SACKs in any sample", 0, sacks)
	atLeast("lo, writes of 64KB, to ishidawataru/sctp", 100, ratio(uml, "bulk-lo", "64KB", "sctpnet", "ishidawataru", "MB/s"))
	atLeast("veth, writes of 64KB, to Go TCP", 0.3, ratio(uml, "bulk-veth", "64KB", "sctpnet", "tcp", "MB/s"))
	veth := result.Key{Case: "bulk-veth", Param: "64KB"}
	atLeast("veth, writes of 64KB, mean read to a message of "+fmt.Sprintf("%.0fKB", message(uml)/1024), 0.9,
		result.Median(uml.Values(veth, "sctpnet", "B/read"))/message(uml))
	const roundTrip = 0.020
	window := uml.Settings["veth"]["rcvbuf"] / roundTrip / 1e6
	atLeast("20 ms, default sysctls, to window/round trip", 0.75,
		result.Median(uml.Values(result.Key{Case: "bulk-delay", Param: "default sysctls"}, "sctpnet", "MB/s"))/window)
	atLeast("20 ms, rmem_max 8 MB, to Go TCP", 0.5, ratio(uml, "bulk-delay", "rmem_max 8 MB", "sctpnet", "tcp", "MB/s"))
	// In the two-CPU guest, against C and against what TCP loses by Go.
	bulk := ratio(qemu, "bulk-lo", "64KB", "sctpnet", "c-sctp", "MB/s")
	atLeast("two CPUs, bulk at 64KB, to C SCTP", 0.75, bulk)
	atLeast("the same, and Go TCP to C TCP", ratio(qemu, "bulk-lo", "64KB", "tcp", "c-tcp", "MB/s"), bulk)
	ping := ratio(qemu, "pingpong", "64B", "c-sctp", "sctpnet", "µs")
	atLeast("two CPUs, ping-pong, C SCTP's time to ours", 0.75, ping)
	atLeast("the same, and C TCP's to Go TCP's", ratio(qemu, "pingpong", "64B", "c-tcp", "tcp", "µs"), ping)
	atLeast("batches, to one message at a time", 5, ratio(uml, "batch", "1KB", "sctpnet, batches of 64", "sctpnet, one at a time", "MB/s"))
	for _, at := range []string{"1 at once", "8 at once"} {
		atLeast("dial, accept, close, "+at+", to Go TCP", 0.9, ratio(uml, "dial", at, "sctpnet", "tcp", "/s"))
	}
	idle := result.Key{Case: "idle", Param: "10000"}
	atMost("10,000 idle associations, MB", 400, result.Median(uml.Values(idle, "sctpnet", "MB")))
	atMost("the same, Go heap per end, KB", 1, result.Median(uml.Values(idle, "sctpnet", "heap KB/end")))
	const one, ten, streams = "tcp, one connection", "tcp, ten connections", "sctpnet, ten streams"
	for _, loss := range []struct {
		percent string
		one     float64
	}{{"2%", 0.75}, {"5%", 0.33}} {
		atMost("loss of "+loss.percent+", p99 to one TCP connection", loss.one, ratio(uml, "loss", loss.percent, streams, one, "p99 ms"))
		atMost("loss of "+loss.percent+", p99 to ten", 1.2, ratio(uml, "loss", loss.percent, streams, ten, "p99 ms"))
	}
	atMost("bulk beside small, p99 to one TCP connection", 0.05, ratio(uml, "beside", "large packets", streams, one, "p99 ms"))
	atMost("bulk beside small, p99 to ten", 1.5, ratio(uml, "beside", "large packets", streams, ten, "p99 ms"))
	atLeast("bulk beside small, rate of bulk to TCP", 0.6, ratio(uml, "beside", "large packets", streams, one, "bulk MB/s"))
	var files string
	for _, k := range uml.Keys() {
		if k.Case == "files" {
			files = k.Param
		}
	}
	const tuned = "sctpnet, three streams, rmem_max 8 MB"
	atLeast("three files, rmem_max 8 MB, to one TCP connection", 0.5, ratio(uml, "files", files, tuned, one, "MB/s"))
	atLeast("three files, rmem_max 8 MB, to naive SCTP", 20, ratio(uml, "files", files, tuned, "ishidawataru, three streams", "MB/s"))
	fast := uml.Values(result.Key{Case: "failover"}, "sctpnet, fast", "stall ms")
	atMost("failover with the fast profile, the longest stall, ms", 300, result.Max(fast))
	return markdown([]string{"what", "wanted", "found", "met"}, rows)
}

// message is the size of the messages that writes are split into.
func message(r *result.Run) float64 { return r.Settings["veth"]["message"] }
