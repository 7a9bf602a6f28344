package sctpnet_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// A mutableServer serves streams and echoes, but on the associations that were
// made while it was mute it never answers. It counts what is made and what ends.
type mutableServer struct {
	address     string
	mute        atomic.Bool
	made, ended atomic.Int32
}

func newMutableServer(t testing.TB, network string) *mutableServer {
	t.Helper()
	needNetwork(t, network)
	v := new(mutableServer)
	var mu sync.Mutex
	muted := make(map[string]bool) // by the peer's address
	lc := sctpnet.ListenConfig{}
	lc.Config.OnEvent = func(c *sctpnet.Conn, e sctpnet.Event) {
		switch e := e.(type) {
		case sctpnet.AssocEvent:
			switch e.Change {
			case sctpnet.AssocUp:
				mu.Lock()
				muted[c.RemoteAddr().String()] = v.mute.Load()
				mu.Unlock()
				v.made.Add(1)
			case sctpnet.AssocLost, sctpnet.AssocEnded:
				v.ended.Add(1)
			}
		}
	}
	ln, err := lc.Listen(context.Background(), network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	done := make(chan struct{})
	wait := serve(sl, func(c net.Conn) {
		mu.Lock()
		isMute := muted[c.RemoteAddr().String()]
		mu.Unlock()
		if isMute {
			<-done
			return
		}
		io.Copy(c, c)
	})
	t.Cleanup(func() {
		close(done)
		sl.Close()
		watchdog(t, wait)
	})
	v.address = ln.Addr().String()
	return v
}

// wantMade checks how many associations were made.
func (v *mutableServer) wantMade(t testing.TB, n int32, when string) {
	t.Helper()
	if got := v.made.Load(); got != n {
		t.Errorf("%s: %d associations were made, want %d", when, got, n)
	}
}

// TestStuckAssociationIsReplaced has a call run into its deadline on an association on which
// nothing arrives: the next dial makes another association, and the old one is
// closed with its last stream.
func TestStuckAssociationIsReplaced(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		v := newMutableServer(t, network)
		v.mute.Store(true)
		d := closing(t, &sctpnet.StreamDialer{})
		dial := func() net.Conn {
			t.Helper()
			c, err := d.Dial(network, v.address)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		watchdog(t, func() {
			first, second := dial(), dial()
			write(t, first, "question")
			read := conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, err := read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			v.wantMade(t, 1, "before the next dial")

			v.mute.Store(false)
			third := dial()
			echoed(t, third)
			v.wantMade(t, 2, "after a timeout")

			first.Close()
			if v.ended.Load() != 0 {
				t.Error("the association ended while a stream was open")
			}
			second.Close()
			eventually(t, "the stuck association to end", func() bool { return v.ended.Load() == 1 })
			echoed(t, third)
			third.Close()
			echoed(t, dial())
			v.wantMade(t, 2, "after all")
		})
	})
}

// TestDeadlineOnLiveAssociation has calls fail with deadlines on an association that works.
func TestDeadlineOnLiveAssociation(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		v := newMutableServer(t, network)
		d := closing(t, &sctpnet.StreamDialer{})
		dial := func() net.Conn {
			t.Helper()
			c, err := d.Dial(network, v.address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		watchdog(t, func() {
			first, second := dial(), dial()
			echoed(t, first)

			// A deadline that had passed.
			first.SetDeadline(time.Now().Add(-time.Second))
			_, err := first.Read(make([]byte, 1))
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			_, err = first.Write([]byte("x"))
			wantError(t, "Write", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after a past deadline")

			// One that interrupts a call.
			first.SetDeadline(time.Time{})
			read := conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			first.SetReadDeadline(time.Unix(1, 0))
			_, err = read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after an interrupted call")

			// One that passes while another stream receives.
			first.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			read = conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			echoed(t, second)
			_, err = read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after a timeout while something arrived")

			// Streams that are closed while a Read waits, for nothing that was
			// asked.
			first.SetReadDeadline(time.Time{})
			read = conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			time.Sleep(1100 * time.Millisecond)
			first.Close()
			read.Result()
			echoed(t, dial())
			v.wantMade(t, 1, "after Close of an idle stream")
		})
	})
}

// TestStuckHTTP has requests time out: those that follow go to another
// association.
func TestStuckHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		needNetwork(t, network)
		var made atomic.Int32
		lc := sctpnet.ListenConfig{}
		lc.Config.OnEvent = func(_ *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocUp {
				made.Add(1)
			}
		}
		ln, err := lc.Listen(t.Context(), network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stuck := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stuck" {
				<-stuck
			}
			io.WriteString(w, "ok")
		})}
		served := make(chan error, 1)
		sl := sctpnet.NewStreamListener(ln)
		go func() { served <- server.Serve(sl) }()
		var d sctpnet.StreamDialer
		tr := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		}}
		watchdog(t, func() {
			get := func(path string, timeout time.Duration) error {
				resp, err := (&http.Client{Transport: tr, Timeout: timeout}).Get("http://" + ln.Addr().String() + path)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				return err
			}
			if err := get("/", 0); err != nil { // the handshake may take longer than the timeout
				t.Error(err)
			}
			if err := get("/stuck", 1500*time.Millisecond); !os.IsTimeout(err) {
				t.Errorf("a request that is not answered: %v, want a timeout", err)
			}
			for range 5 {
				if err := get("/", 20*time.Second); err != nil {
					t.Error(err)
				}
			}
			wantAssociations(t, made.Load(), 2)
			close(stuck)
			tr.CloseIdleConnections()
			d.Close()
			server.Close()
			<-served
		})
	})
}
