package sctpnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

// TestNoReconfiguration uses streams with a peer that cannot reset them: there
// is no half-close, Close is local, and the rest works.
func TestNoReconfiguration(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct {
		name           string
		client, server func(network, address string, c syscall.RawConn) error
	}{
		{"client", withoutReconfig, nil},
		{"server", nil, withoutReconfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lc := sctpnet.ListenConfig{Control: tt.server}
			ln, err := lc.Listen(context.Background(), "sctp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			d := &sctpnet.Dialer{}
			if tt.client != nil {
				d.ControlContext = func(_ context.Context, network, address string, c syscall.RawConn) error {
					return tt.client(network, address, c)
				}
			}
			client := dial(t, d, "sctp4", ln.Addr().String())
			server := accept(t, ln)
			watchdog(t, func() {
				for _, ends := range [][2]*sctpnet.Conn{{client, server}, {server, client}} {
					a, b := streamPair(t, ends[0], ends[1])
					exchange(t, a, b)
					err := a.CloseWrite()
					wantError(t, "CloseWrite", err, errors.ErrUnsupported)
					exchange(t, a, b) // nothing has changed

					if err := a.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					b.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					if n, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the peer's Read: %d, %v; want it to wait", n, err)
					}
					// What arrives for the closed one is dropped.
					write(t, b, "late")
					_, err = ends[0].Stream(a.ID())
					wantError(t, "Stream", err, sctpnet.ErrNoFreeStream)
					if err := b.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				exchange(t, client, server)
				client.Close()
				_, err := server.AcceptStream(t.Context())
				if err == nil {
					t.Error("AcceptStream succeeds")
				}
			})
		})
	}
}

// TestResetAsked has the peer's system ask for the reset of a stream that we
// write on, which it then carries out: Write fails as on a closed connection,
// and other streams go on.
func TestResetAsked(t *testing.T) {
	client, server := pipe(t, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		c, s := streamPair(t, client, server)
		other1, other2 := streamPair(t, client, server)
		exchange(t, c, s)
		ask := func() {
			// A struct sctp_reset_streams: the association, flags, count, list.
			const resetStreams, incoming = 119, 1 // SCTP_RESET_STREAMS, SCTP_STREAM_RESET_INCOMING
			b := binary.NativeEndian.AppendUint32(nil, 0)
			for _, v := range []uint16{incoming, 1, c.ID()} {
				b = binary.NativeEndian.AppendUint16(b, v)
			}
			control(t, server, func(fd int) error {
				return unix.SetsockoptString(fd, sctp.SOL_SCTP, resetStreams, string(b))
			})
		}
		ask()
		wantEOF(t, s)
		_, err := startWriting(t, c, []byte("x"), time.Millisecond).Result()
		wantError(t, "Write", err, syscall.EPIPE)
		exchange(t, other1, other2)
		write(t, s, "answer")
		wantBytes(t, c, []byte("answer"))
	})
}

// TestDefaultScheduler checks that streams in use take turns, unless another
// scheduler was asked for.
func TestDefaultScheduler(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct {
		config        sctpnet.Config
		set           bool // to first come, while running
		before, after sctpnet.Scheduler
	}{
		{sctpnet.Config{}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerRoundRobin},
		{sctpnet.Config{}, true, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{KernelDefaults: true}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: -1}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}, false, sctpnet.SchedulerPriority, sctpnet.SchedulerPriority},
	} {
		ln, err := (&sctpnet.ListenConfig{Config: tt.config}).Listen(context.Background(), "sctp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client := dial(t, &sctpnet.Dialer{Config: tt.config}, "sctp4", ln.Addr().String())
		server := accept(t, ln)
		for _, c := range []*sctpnet.Conn{client, server} {
			if tt.set {
				if err := c.Set(sctpnet.Config{Scheduler: -1}); err != nil {
					t.Fatal(err)
				}
			}
			if s := inForce(t, c).Scheduler; s != tt.before {
				t.Errorf("%+v: scheduler is %v before streams are in use; want %v", tt.config.Scheduler, s, tt.before)
			}
			if _, err := c.OpenStream(); err != nil {
				t.Fatal(err)
			}
			if s := inForce(t, c).Scheduler; s != tt.after {
				t.Errorf("%+v: scheduler is %v with streams in use; want %v", tt.config.Scheduler, s, tt.after)
			}
		}
	}
}
