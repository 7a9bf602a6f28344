package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// counters returns the kernel's counters of a network, of both ends together:
// those of SCTP, and what TCP has in their place.
func (n *network) counters() (map[string]int64, error) {
	counters := map[string]int64{}
	add := func(name, value string) {
		v, _ := strconv.ParseInt(value, 10, 64)
		counters[name] += v
	}
	read := func() error {
		b, err := os.ReadFile("/proc/thread-self/net/sctp/snmp")
		if err != nil && !*udpFlag {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 2 {
				add(f[0], f[1])
			}
		}
		// A line of names, and a line of values.
		for _, file := range []string{"/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"} {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			for s := bufio.NewScanner(f); s.Scan(); {
				names := strings.Fields(s.Text())
				s.Scan()
				values := strings.Fields(s.Text())
				for i, name := range names {
					switch name {
					case "RetransSegs", "TCPTimeouts", "TCPFastRetrans":
						add("Tcp"+strings.TrimPrefix(name, "TCP"), values[i])
					}
				}
			}
		}
		return nil
	}
	err := n.client.do(read)
	if err == nil && n.server != n.client {
		err = n.server.do(read)
	}
	return counters, err
}

// grown returns the counters that are not what they were, and by how much.
func grown(before, after map[string]int64) map[string]int64 {
	d := map[string]int64{}
	for name, v := range after {
		if v != before[name] && name != "SctpCurrEstab" {
			d[name] = v - before[name]
		}
	}
	return d
}
