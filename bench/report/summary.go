package main

import (
	"fmt"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// summary is the table of the README: the cases that a user would ask for first, the bad
// ones too.
func summary(smp, uml *result.Run) string {
	const one, streams = "tcp, one connection", "sctpnet, ten streams"
	var rows [][]string
	for _, c := range []struct {
		r           *result.Run
		what        string
		name, param string
		than, side  string
		metric      string
	}{
		{smp, "MB/s, writes of 1 KB, loopback interface", "bulk-lo", "1KB", "tcp", "sctpnet", "MB/s"},
		{smp, "MB/s, writes of 64 KB, loopback interface", "bulk-lo", "64KB", "tcp", "sctpnet", "MB/s"},
		{smp, "MB/s, writes of 64 KB, Ethernet's packets (veth)", "bulk-veth", "64KB", "tcp", "sctpnet", "MB/s"},
		{smp, "dials a second, one at a time", "dial", "1 at once", "tcp", "sctpnet", "/s"},
		{uml, "MB/s, round trip of 20 ms, Linux's default limits", "bulk-delay", "default sysctls", "tcp", "sctpnet", "MB/s"},
		{uml, "p99 ms, ten senders on one connection, 2 % loss", "loss", "2%", one, streams, "p99 ms"},
		{uml, "p99 ms, small messages beside bulk on one connection", "beside", "large packets", one, streams, "p99 ms"},
	} {
		k := result.Key{Case: c.name, Param: c.param}
		rows = append(rows, []string{
			c.what,
			fmt.Sprint(c.r.CPUs),
			short(result.Median(c.r.Values(k, c.than, c.metric))),
			short(result.Median(c.r.Values(k, c.side, c.metric))),
			short(result.Median(c.r.Ratios(k, c.side, c.than, c.metric))),
		})
	}
	return markdown([]string{"", "processors", "TCP", "sctpnet", "ratio"}, rows)
}
