package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// FuzzNotification has a notification come in pieces, as it does to a reader with
// little room.
func FuzzNotification(f *testing.F) {
	f.Add(failedChunk(1, chunkFirst|chunkLast, "data"), []byte{3, 1, 9}, true)
	f.Add(append(binary.NativeEndian.AppendUint16(nil, eventAdaptation), make([]byte, 14)...), []byte{1}, false)
	f.Add(append(binary.NativeEndian.AppendUint16(nil, eventSenderDry), make([]byte, 10)...), []byte{}, true)
	f.Fuzz(func(t *testing.T, note, cuts []byte, owns bool) {
		if len(note) == 0 {
			return
		}
		c := new(conn)
		c.keeps = true // a restart needs no other descriptor
		c.unordered.wantsDry = true
		o := newOp(c, owns, nil)
		defer o.done()
		for rest := note; len(rest) > 0; {
			n := len(rest)
			o.hdr.Flags = sctp.MSG_NOTIFICATION | unix.MSG_EOR
			if len(cuts) > 0 && 0 < cuts[0] && int(cuts[0]) < n {
				n, cuts = int(cuts[0]), cuts[1:]
				o.hdr.Flags = sctp.MSG_NOTIFICATION
			}
			ends := o.notification(0, bytes.Clone(rest[:n]))
			if rest = rest[n:]; len(rest) > 0 {
				if ends {
					t.Fatal("a part of a notification has ended the call")
				}
				continue
			}
			var want engine.Event
			if owns {
				want = new(parser).parse(note)
			}
			if got := o.msg.Event; !reflect.DeepEqual(got, want) || ends != (want != nil) {
				t.Errorf("got %+v, which ends the call: %v; want %+v", got, ends, want)
			}
		}
		if len(c.note) > 0 {
			t.Error("a part of the notification is left")
		}
	})
}

// FuzzSockaddr reads an address as the kernel might never write it.
func FuzzSockaddr(f *testing.F) {
	f.Add(append(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), 1, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0))
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
	b = append(b, 1, 2, 0, 0, 0, 0, 0xfe, 0x80)
	f.Add(binary.NativeEndian.AppendUint32(append(b, make([]byte, 24-len(b))...), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, port, n := parseSockaddr(b[:len(b):len(b)])
		if n > len(b) || port < 0 || port > 65535 {
			t.Fatalf("port %d, %d of %d bytes", port, n, len(b))
		}
		if a := addrPort(b); a.IsValid() != (n > 0) || n > 0 && int(a.Port()) != port {
			t.Errorf("%v; want that of %v, port %d", a, ip, port)
		}
		if n == 0 {
			return
		}
		again, err := appendSockaddrs(nil, &engine.Addr{IPAddrs: one(ip), Port: port})
		if err != nil {
			t.Fatalf("%v: %v", ip, err)
		}
		if ip2, port2, n2 := parseSockaddr(again); n2 != len(again) || port2 != port || !reflect.DeepEqual(ip2, ip) {
			t.Errorf("%v, port %d became %v, port %d", ip, port, ip2, port2)
		}
	})
}

// received are the bytes of messages, each with the message that it is of, and
// where that ends.
func received(msgs []engine.Msg) (all []string) {
	for _, m := range msgs {
		if m.Event != nil {
			all = append(all, fmt.Sprintf("%T", m.Event))
		}
		for i, b := range m.Data[:m.N] {
			what := fmt.Sprintf("%d of %d.%d %v", b, m.Stream, m.SSN, m.Unordered)
			if i+1 == m.N && !m.More {
				what += ", the last"
			}
			all = append(all, what)
		}
	}
	return all
}

// pieceOf makes a piece of a message from a byte of a program.
func pieceOf(b byte) engine.Message {
	return engine.Message{Stream: uint16(b >> 2 & 1), Unordered: b>>3&1 != 0, SSN: uint16(b >> 4 & 3), More: b&1 != 0}
}

// FuzzPlace receives pieces of messages by one system call, each in a place of its
// own, and moves them together. Each two bytes are the length of a place, and of what
// came there, and what that is.
func FuzzPlace(f *testing.F) {
	f.Add([]byte{0x42, 1, 0x11, 1, 0x73, 0}, true)
	f.Add([]byte{0xf1, 1, 0x11, 0x11, 0x73, 0x10, 0x21, 5, 0x42, 4}, true)
	f.Fuzz(func(t *testing.T, program []byte, whole bool) {
		var msgs, came []engine.Msg
		data := byte(0)
		for ; len(program) >= 2 && len(msgs) < maxBatch; program = program[2:] {
			m := engine.Msg{Data: make([]byte, 1+program[0]>>4), Message: pieceOf(program[1])}
			m.N = 1 + int(program[0]&15)%len(m.Data)
			for i := range m.N {
				m.Data[i] = data
				data++
			}
			came = append(came, engine.Msg{Data: bytes.Clone(m.Data), N: m.N, Message: m.Message})
			msgs = append(msgs, m)
		}
		if len(msgs) == 0 {
			return
		}
		b := newBatch(new(conn), true, msgs)
		defer b.done()
		b.ops[0].whole = whole
		b.n = 1
		for i := 1; i < len(msgs); i++ {
			b.place(msgs[i].Data[:came[i].N], came[i].Message)
		}
		if got, want := received(msgs[:b.n]), received(came); !slices.Equal(got, want) {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	})
}

// FuzzWatch has messages be given up. Whether pieces come one by one or many at
// once, they come in their order, and the events between them are the same.
func FuzzWatch(f *testing.F) {
	f.Add([]byte{1, 0x11, 0x10, 0}, byte(3))
	f.Add([]byte{1, 5, 0x11, 0x15, 0x80, 0}, byte(0x83))
	f.Fuzz(func(t *testing.T, program []byte, how byte) {
		var came []engine.Msg
		for i, b := range program {
			m := engine.Msg{Data: []byte{byte(i)}, N: 1, Message: pieceOf(b)}
			if b&0x80 != 0 {
				m = engine.Msg{Message: engine.Message{Event: engine.AssocEvent{Change: engine.AssocChange(b & 3)}}}
			}
			came = append(came, m)
		}
		one, many := watched(came, 1, how&0x80 != 0), watched(came, 1+int(how&15), how&0x80 != 0)
		if !slices.Equal(one, many) {
			t.Errorf("one by one\n%q, in batches\n%q", one, many)
		}
		const cut = "engine.PartialDeliveryEvent"
		if got, want := slices.DeleteFunc(one, func(s string) bool { return s == cut }), received(came); !slices.Equal(got, want) {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	})
}

// watched receives what came, as many at once as a batch holds, for an Owner that
// is told of messages that were given up.
func watched(came []engine.Msg, batch int, interleaved bool) (got []string) {
	c := new(conn)
	c.interleaved, c.watches = interleaved, true
	for len(came) > 0 || len(c.held) > 0 {
		msgs := make([]engine.Msg, batch)
		for i := range msgs {
			msgs[i].Data = make([]byte, 1)
		}
		n := 0
		if len(c.held) > 0 {
			o := newOp(c, true, msgs[0].Data)
			o.takeHeld()
			msgs[0].N, msgs[0].Message = o.n, o.msg
			o.done()
			n = 1
		}
		for len(c.held) == 0 && n < batch && len(came) > 0 {
			msgs[n].N, msgs[n].Message = copy(msgs[n].Data, came[0].Data), came[0].Message
			came = came[1:]
			n++
		}
		got = append(got, received(msgs[:c.watch(msgs, n)])...)
	}
	return got
}
