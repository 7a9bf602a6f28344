package udpencap

import (
	"fmt"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestAnswerToForgedAddress sends INITs. Where they come from may be forged, so the
// answer has no more than three times as many bytes, those of IP and UDP not counted.
func TestAnswerToForgedAddress(t *testing.T) {
	least := initiation{tag: 1, window: 1 << 20, out: 1, in: 1, tsn: 1}
	inits := map[string][]byte{
		"the smallest": least.value(),
		"a bad one":    (&initiation{tag: 1, window: 1, out: 1, in: 1, tsn: 1}).value(),
		"a host name":  appendParam(least.value(), paramHostName, []byte("h")),
	}
	for _, i := range []initiation{{partial: true}, {reconfig: true}, {partial: true, reconfig: true}, {batches: true}, {adapts: true}, {partial: true, reconfig: true, batches: true, adapts: true}} {
		i.tag, i.window, i.out, i.in, i.tsn = least.tag, least.window, least.out, least.in, least.tsn
		inits[fmt.Sprintf("%+v", i)] = i.value()
	}
	for n := range 5 {
		inits[fmt.Sprintf("an unknown parameter of %d bytes", n)] = appendParam(least.value(), 0xffff, make([]byte, n))
	}
	inits["RFC 3758 alone"] = appendParam(least.value(), paramForwardTSN, nil)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			lc := sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: 7}}
			ln, err := lc.Listen(t.Context(), "sctp+udp", host+":0")
			if err != nil {
				t.Skip(err) // there is no IPv6
			}
			defer ln.Close()
			addr := ln.Addr().(*sctpnet.Addr)
			conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: addr.IPAddrs[0].IP, Port: addr.Port})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r := &rawPeer{t: t, conn: conn, src: 7777, dst: uint16(addr.Port)}
			check := func(name string) {
				t.Helper()
				init := newPacket(header{r.src, r.dst, 0}).add(ctInit, 0, inits[name])
				r.send(init)
				size := headerSize
				_, chunks := r.receive()
				for _, c := range chunks {
					size += padded(len(c.raw))
				}
				if size > 3*len(init) {
					t.Errorf("%s: %s: an INIT of %d bytes is answered by %d, type %d", host, name, len(init), size, chunks[0].typ)
				}
				if name == "the smallest" {
					t.Logf("%s: an INIT of %d bytes is answered by %d", host, len(init), size)
				}
			}
			for name := range inits {
				check(name)
			}
			// Where there is an association with that address, the cookie has more to say.
			r.own = initiation{tag: 9, window: 1 << 20, out: 1, in: 1, tsn: 1}
			r.handshake()
			for name := range inits {
				check(name)
			}
		})
	}
}
