package udpencap

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestPlainRawPeer has a peer that cannot reset streams, and says nothing of
// them, use an association that NewStreamListener serves: it is told of streams
// in the INIT ACK, and of the end by SHUTDOWN.
func TestPlainRawPeer(t *testing.T) {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	defer sl.Close()
	go func() {
		for {
			s, err := sl.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 5)
			io.ReadFull(s, b)
			s.Write(b)
			s.Close()
		}
	}()
	watchdog(t, func() {
		r := newRawPeer(t, ln.Addr())
		r.own.reconfig = false
		r.handshake()
		if !r.theirs.adapts || r.theirs.adaptation != sctpnet.AdaptationStreams {
			t.Errorf("INIT ACK has the adaptation %#x, want %#x", r.theirs.adaptation, sctpnet.AdaptationStreams)
		}
		r.write(0, "hello")
		if c := r.next(ctData); string(c.value[12:]) != "hello" {
			t.Errorf("the answer is %q", c.value[12:])
		}
		r.sendChunk(ctSACK, 0, sackOf(r.theirs.tsn))
		r.next(ctShutdown)
		r.sendChunk(ctShutdownAck, 0, nil)
		r.next(ctShutdownComplete)
	})
}

// sackOf is the value of a SACK up to a TSN.
func sackOf(tsn uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, tsn)
	b = binary.BigEndian.AppendUint32(b, 1<<20)
	return append(b, 0, 0, 0, 0)
}

// A rawServer answers INITs and COOKIE ECHOs, and keeps the DATA that comes.
type rawServer struct {
	conn *net.UDPConn
	own  initiation
	data chan chunk
}

func newRawServer(t *testing.T, own initiation) *rawServer {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &rawServer{conn: c, own: own, data: make(chan chunk, 100)}
	s.own.tag, s.own.window, s.own.out, s.own.in, s.own.tsn, s.own.cookie = 0x0a0b0c0d, 1<<20, 100, 100, 1000, []byte("cookie")
	go s.serve()
	return s
}

func (s *rawServer) serve() {
	var tag uint32
	for buf := make([]byte, 1<<16); ; {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		h, rest, ok := parseHeader(buf[:n])
		if !ok {
			continue
		}
		for {
			c, more, ok := nextChunk(rest)
			if !ok {
				break
			}
			rest = more
			answer := byte(0)
			var value []byte
			switch c.typ {
			case ctInit:
				tag = binary.BigEndian.Uint32(c.value)
				answer, value = ctInitAck, s.own.value()
			case ctCookieEcho:
				answer = ctCookieAck
			case ctData:
				select {
				case s.data <- chunk{value: append([]byte(nil), c.value...)}:
				default:
				}
				answer, value = ctSACK, sackOf(binary.BigEndian.Uint32(c.value))
			case ctShutdown:
				answer = ctShutdownAck
			}
			if answer != 0 {
				p := newPacket(header{h.dst, h.src, tag}).add(answer, 0, value)
				s.conn.WriteToUDPAddrPort(p.seal(), from)
			}
		}
	}
}

// TestStreamDialerRawPeer dials peers that lack what a StreamDialer asks for, and
// one that has it and is told of the stream.
func TestStreamDialerRawPeer(t *testing.T) {
	streams := initiation{adapts: true, adaptation: sctpnet.AdaptationStreams, reconfig: true}
	for _, tt := range []struct {
		name string
		peer initiation
		any  bool
		want string // of the error
		told bool
	}{
		{name: "all", peer: streams, told: true},
		{name: "no reconfig", peer: initiation{adapts: true, adaptation: sctpnet.AdaptationStreams}, want: "cannot reset streams"},
		{name: "no reconfig, any", peer: initiation{adapts: true, adaptation: sctpnet.AdaptationStreams}, any: true, told: true},
		{name: "no adaptation", peer: initiation{reconfig: true}, want: "no adaptation layer indication"},
		{name: "no adaptation, any", peer: initiation{reconfig: true}, any: true},
		{name: "another adaptation", peer: initiation{reconfig: true, adapts: true, adaptation: 7}, want: "indication 0x7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peer := newRawServer(t, tt.peer)
			d := &sctpnet.StreamDialer{AnyPeer: tt.any}
			defer d.Close()
			watchdog(t, func() {
				c, err := d.Dial("sctp4+udp", peer.conn.LocalAddr().String())
				if tt.want != "" {
					if err == nil || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("Dial: %v, want %q", err, tt.want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				first := <-peer.data
				id, ppid := binary.BigEndian.Uint16(first.value[4:]), binary.BigEndian.Uint32(first.value[8:])
				if told := ppid == 50 && len(first.value) == 24 && first.value[12] == 3; told != tt.told || id != 2 {
					t.Errorf("the first message is of stream %d and PPID %d: %x", id, ppid, first.value[12:])
				}
			})
		})
	}
}
