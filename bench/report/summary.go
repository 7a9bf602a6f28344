package main

import "github.com/sctpnet/sctpnet/bench/internal/result"

// summary is the table of the README: the cases that a user would ask for first.
func summary(r *result.Run) string {
	const one, ten, streams = "tcp, one connection", "tcp, ten connections", "sctpnet, ten streams"
	var rows [][]string
	for _, c := range []struct {
		what        string
		name, param string
		than, side  string
		metric      string
	}{
		{"writes of 1 KB over the loopback interface, MB/s", "bulk-lo", "1KB", "tcp", "sctpnet", "MB/s"},
		{"of 8 KB", "bulk-lo", "8KB", "tcp", "sctpnet", "MB/s"},
		{"of 64 KB", "bulk-lo", "64KB", "tcp", "sctpnet", "MB/s"},
		{"of 64 KB, against ishidawataru/sctp", "bulk-lo", "64KB", "ishidawataru", "sctpnet", "MB/s"},
		{"64 bytes there and back, µs", "pingpong", "64B", "tcp", "sctpnet", "µs"},
		{"ten senders share a connection or have a stream each, 2 % loss: p99, ms", "loss", "2%", one, streams, "p99 ms"},
		{"the same, 5 % loss", "loss", "5%", one, streams, "p99 ms"},
		{"the same, against ten connections", "loss", "5%", ten, streams, "p99 ms"},
		{"small messages beside bulk: p99, ms", "beside", "large packets", one, streams, "p99 ms"},
	} {
		k := result.Key{Case: c.name, Param: c.param}
		rows = append(rows, []string{
			c.what,
			short(result.Median(r.Values(k, c.than, c.metric))),
			short(result.Median(r.Values(k, c.side, c.metric))),
			short(result.Median(r.Ratios(k, c.side, c.than, c.metric))),
		})
	}
	return markdown([]string{"", "TCP, or what is named", "sctpnet", "ratio"}, rows)
}
