package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// cNotifications are notifications as a C program lays them out, by name.
func cNotifications(t testing.TB) map[string][]byte {
	t.Helper()
	if err := exec.Command("sh", "-c", "echo '#include <netinet/sctp.h>' | cc -E -").Run(); err != nil {
		t.Skip("no C compiler, or no libsctp-dev:", err)
	}
	program := filepath.Join(t.TempDir(), "events")
	if out, err := exec.Command("cc", "-Wall", "-o", program, "testdata/events.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	notes := make(map[string][]byte)
	for line := range strings.Lines(string(out)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if notes[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return notes
}

// TestEventLayouts parses notifications as C's header lays them out, whole and
// cut short.
func TestEventLayouts(t *testing.T) {
	data := []byte("abcd")
	want := map[string]engine.Event{
		"assoc_change":   engine.AssocEvent{Change: engine.AssocLost, Cause: 12, Causes: data, Out: 7, In: 8},
		"cannot_start":   engine.AssocEvent{Change: 4, Out: 7, In: 8},
		"paddr_change_4": engine.PathEvent{Addr: netip.MustParseAddrPort("192.0.2.1:3868"), Change: engine.PathPotentiallyFailed},
		"paddr_change_6": engine.PathEvent{Addr: netip.MustParseAddrPort("[2001:db8::1]:3868"), Change: engine.PathMadePrimary},
		"send_failed": engine.SendFailedEvent{
			Message: engine.Message{Stream: 5, PPID: 46, Context: 47, Unordered: true}, Data: data, Sent: true, Cause: 12},
		"send_failed_event":   engine.SendFailedEvent{Message: engine.Message{Stream: 5, PPID: 46, Context: 47}, Data: data},
		"remote_error":        engine.RemoteErrorEvent{Cause: 6, Data: data},
		"shutdown_event":      engine.ShutdownEvent{},
		"adaptation_event":    engine.AdaptationEvent{Indication: 0x12345678},
		"pdapi_event":         engine.PartialDeliveryEvent{Stream: 5, Seq: 6},
		"authkey_event":       engine.AuthEvent{Change: engine.AuthFreeKey, Key: 5},
		"no_auth":             engine.AuthEvent{Change: engine.AuthNone},
		"sender_dry_event":    engine.SenderDryEvent{},
		"stream_reset_event":  engine.StreamResetEvent{Incoming: true, Streams: []uint16{5, 6}, Denied: true},
		"stream_reset_all":    engine.StreamResetEvent{Failed: true},
		"assoc_reset_event":   engine.AssocResetEvent{LocalTSN: 5, RemoteTSN: 6, Denied: true},
		"stream_change_event": engine.StreamsAddedEvent{In: 5, Out: 6, Failed: true},
	}
	// What follows the structures proper.
	variable := map[string]int{"assoc_change": 4, "send_failed": 4, "send_failed_event": 4, "remote_error": 4, "stream_reset_event": 4}

	notes := cNotifications(t)
	if len(notes) != len(want) {
		t.Errorf("%d notifications of C; want %d", len(notes), len(want))
	}
	for name, note := range notes {
		if got := new(parser).parse(note); !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want[name])
		}
		for n := range len(note) - variable[name] {
			if got := new(parser).parse(note[:n:n]); got != nil {
				t.Errorf("%s cut to %d of %d bytes is %+v", name, n, len(note), got)
			}
		}
	}
}

// failedChunk is a struct sctp_send_failed_event.
func failedChunk(stream, flags uint16, data string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, eventSendFailed)
	b = append(b, make([]byte, 10)...)
	b = binary.NativeEndian.AppendUint16(b, stream)
	b = binary.NativeEndian.AppendUint16(b, flags)
	return append(append(b, make([]byte, 16)...), data...)
}

// TestSendFailedChunks puts messages together that failed in several chunks.
func TestSendFailedChunks(t *testing.T) {
	const first, last = chunkFirst, chunkLast
	var p parser
	for _, step := range []struct {
		flags uint16
		data  string
		want  string
	}{
		{first | last, "one", "one"},
		{first, "two, ", ""},
		{0, "in three ", ""},
		{last, "pieces", "two, in three pieces"},
		{first, "never ends", ""},
		{first | last, "three", "three"},
		{last, "only an end", "only an end"},
		{first | last, "four", "four"},
	} {
		got := ""
		if f, ok := p.parse(failedChunk(3, step.flags, step.data)).(engine.SendFailedEvent); ok {
			got = string(f.Data)
		}
		if got != step.want {
			t.Errorf("after %q: %q; want %q", step.data, got, step.want)
		}
	}
}

// FuzzParse feeds a parser pairs of notifications.
func FuzzParse(f *testing.F) {
	for typ := uint16(eventAssocChange); typ <= eventSendFailed+1; typ++ {
		note := binary.NativeEndian.AppendUint16(nil, typ)
		f.Add(append(note, make([]byte, 180)...), append(note, 1, 2, 3, 4))
	}
	f.Add(failedChunk(1, chunkFirst, "ab"), failedChunk(1, chunkLast, "cd"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		a0, b0 := bytes.Clone(a), bytes.Clone(b)
		var p parser
		e1 := p.parse(a[:len(a):len(a)])
		e2 := p.parse(b[:len(b):len(b)])
		if !bytes.Equal(a, a0) || !bytes.Equal(b, b0) {
			t.Error("a notification was changed")
		}
		// An event keeps nothing of the notification, which is reused.
		var q parser
		w1, w2 := q.parse(a0), q.parse(b0)
		for _, x := range [][]byte{a, b} {
			for i := range x {
				x[i] ^= 0xff
			}
		}
		if !reflect.DeepEqual(e1, w1) || !reflect.DeepEqual(e2, w2) {
			t.Error("an event depends on the memory of the notification")
		}
	})
}

// FuzzControl gives info control messages as the kernel might never do.
func FuzzControl(f *testing.F) {
	var o op
	full := make([]byte, unsafe.Sizeof(o.rctl))
	f.Add(full)
	(*unix.Cmsghdr)(unsafe.Pointer(&full[0])).Level = sctp.SOL_SCTP
	(*unix.Cmsghdr)(unsafe.Pointer(&full[0])).Type = sctp.SCTP_CMSG_RCVINFO
	f.Add(full)
	f.Add(full[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		o := newOp(nil, false, nil)
		defer o.done()
		room := unsafe.Slice((*byte)(unsafe.Pointer(&o.rctl)), unsafe.Sizeof(o.rctl))
		clear(room)
		n := copy(room, b)
		o.control(unsafe.Pointer(&o.rctl), uintptr(n))
		o.hdr.Flags = unix.MSG_EOR
		if m := o.info(); n < unix.SizeofCmsghdr+28 && m != (engine.Message{}) {
			t.Errorf("a control message of %d bytes gives %+v", n, m)
		}
	})
}

// needSCTP ends a test that needs SCTP where the kernel has none.
func needSCTP(t *testing.T) {
	t.Helper()
	conformance.NeedKernel(t, (kernelEngine{}).Available())
}

// TestSmallReads receives events and data byte by byte.
func TestSmallReads(t *testing.T) {
	client, server, c, _ := owners(t)
	if _, err := client.Send([]byte("hello"), 0, engine.Message{Stream: 1}, false); err != nil {
		t.Fatal(err)
	}
	if err := client.ResetStreams([]uint16{1}); err != nil && err != engine.ErrUnsent {
		t.Fatal(err)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]engine.Owner{"client": client, "server": server} {
		var data []byte
		var events []engine.Event
		for {
			b := make([]byte, 1)
			msgs := []engine.Msg{{Data: b}}
			if _, err := o.Recv(lent(msgs)); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			n, msg := msgs[0].N, msgs[0].Message
			if msg.Event != nil {
				events = append(events, msg.Event)
				if n > 0 || msg.More {
					t.Errorf("%s: event %+v with %d bytes", name, msg, n)
				}
			}
			data = append(data, b[:n]...)
		}
		if want := map[string]string{"server": "hello"}[name]; string(data) != want {
			t.Errorf("%s read %q; want %q", name, data, want)
		}
		t.Logf("%s: %+v", name, events)
		if len(events) < 2 {
			t.Fatalf("%s: events %+v", name, events)
		}
		up, ok := events[0].(engine.AssocEvent)
		if !ok || up.Change != engine.AssocUp || up.Out == 0 || up.In == 0 {
			t.Errorf("%s: first event %+v", name, events[0])
		}
		end, ok := events[len(events)-1].(engine.AssocEvent)
		if !ok || end.Change != engine.AssocEnded {
			t.Errorf("%s: last event %+v", name, events[len(events)-1])
		}
	}
}

// TestShutdownKeepsFailure has Shutdown come when the peer has aborted the association, and
// another user of the socket has received the notification of that. The kernel tells the
// failure once more, as an error. A reader still learns of it.
func TestShutdownKeepsFailure(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		client, server := conns(t, engine.Options{})
		raw, err := client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Abort(); err != nil {
			t.Fatal(err)
		}
		note := make([]byte, 500)
		var rerr error
		err = raw.Read(func(fd uintptr) bool {
			var n int
			n, _, _, _, rerr = unix.Recvmsg(int(fd), note, nil, unix.MSG_DONTWAIT)
			note = note[:max(n, 0)]
			return rerr != unix.EAGAIN
		})
		if err != nil || rerr != nil || !says(note, engine.AssocLost) {
			t.Fatalf("received %v, %v, %v; want the notification of the abort", note, err, rerr)
		}
		if err := client.Shutdown(); err != nil {
			t.Error(err)
		}
		if n, _, err := client.Recv(make([]byte, 100), true); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("received %d bytes, %v; want ECONNRESET", n, err)
		}
	})
}
