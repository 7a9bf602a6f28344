package sctpnet_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestServerSpeaksFirst runs SMTP, in which the server greets the client, over
// streams.
func TestServerSpeaksFirst(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, made := streamsOf(t, network, sctpnet.Config{}, func(s *sctpnet.Stream) {
			c := textproto.NewConn(s)
			c.PrintfLine("220 test ready")
			for {
				line, err := c.ReadLine()
				switch {
				case err != nil:
					return
				case line == "QUIT":
					c.PrintfLine("221 bye")
					return
				}
				c.PrintfLine("250 %s", strings.ToLower(line))
			}
		})
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			for range 10 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				client, err := smtp.NewClient(c, "test")
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Hello("client"); err != nil {
					t.Errorf("EHLO: %v", err)
				}
				if err := client.Quit(); err != nil {
					t.Errorf("QUIT: %v", err)
				}
			}
			wantAssociations(t, made.Load(), 1)
		})
	})
}

// TestDialedStreamIsAccepted dials streams and writes nothing: the server accepts each, once.
func TestDialedStreamIsAccepted(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		accepted := make(chan *sctpnet.Stream, 10)
		hold := make(chan struct{})
		address, _ := streamsOf(t, network, sctpnet.Config{}, func(s *sctpnet.Stream) {
			accepted <- s
			<-hold
		})
		defer close(hold)
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			for range 3 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				s := <-accepted
				write(t, s, "first")
				wantBytes(t, c, []byte("first"))
				// What looks like an announcement is one only at first.
				open := append([]byte{3}, make([]byte, 11)...)
				if _, err := c.(*sctpnet.Stream).WriteMsg(open, sctpnet.MsgInfo{PPID: 50}); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 100)
				n, info, err := s.ReadMsg(b)
				if string(b[:n]) != string(open) || info.PPID != 50 || err != nil {
					t.Errorf("ReadMsg: %x, %+v, %v", b[:n], info, err)
				}
				c.Close()
				wantEOF(t, s)
				s.Close()
			}
		})
	})
}

// TestStreamAnnounce announces streams of OpenStream, and what cannot be announced.
func TestStreamAnnounce(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listenStreams(t, network, "127.0.0.1:0")
		config := sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}
		client := dial(t, &sctpnet.Dialer{Config: config}, network, ln.Addr().String())
		server := accept(t, ln)
		watchdog(t, func() {
			for _, ends := range [][2]*sctpnet.Conn{{client, server}, {server, client}} {
				s, err := ends[0].OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Announce(); err != nil {
					t.Fatalf("Announce: %v", err)
				}
				peer := acceptStream(t, ends[1])
				if peer.ID() != s.ID() {
					t.Errorf("stream %d is accepted, want %d", peer.ID(), s.ID())
				}
				exchange(t, peer, s)
				if err := s.Announce(); err == nil {
					t.Error("a second Announce succeeds")
				}
				if err := peer.Announce(); err == nil {
					t.Error("the peer's Announce succeeds")
				}
				s.Close()
				wantError(t, "Announce after Close", s.Announce(), net.ErrClosed)
			}
			// One that was claimed before it is announced.
			s, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			peer := claim(t, server, s.ID())
			if err := s.Announce(); err != nil {
				t.Fatal(err)
			}
			exchange(t, s, peer)
			// One that is not announced.
			s, err = client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			write(t, s, "data")
			wantBytes(t, acceptStream(t, server), []byte("data"))
			if err := s.Announce(); err == nil {
				t.Error("Announce succeeds after Write")
			}
		})

		// Between two ends, and one does not know streams.
		other := dial(t, nil, network, ln.Addr().String())
		accept(t, ln)
		watchdog(t, func() {
			s, err := other.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, "Announce", s.Announce(), errors.ErrUnsupported)
		})
	})
}

// TestWrittenAnnouncement has a program write what looks like an announcement by its
// Conn, on streams that it has not claimed. To a peer that serves streams it is one
// where an announcement can be, if the program has told that it knows them. Else it is
// data.
func TestWrittenAnnouncement(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		open := append([]byte{3}, make([]byte, 11)...)
		ln := listen(t, network, "127.0.0.1:0")
		sl := sctpnet.NewStreamListener(ln)
		defer sl.Close()
		acceptOne := func(id uint16) *sctpnet.Stream {
			t.Helper()
			c, err := sl.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if s := c.(*sctpnet.Stream); s.ID() != id {
				t.Fatalf("stream %d is accepted, want %d", s.ID(), id)
			}
			return c.(*sctpnet.Stream)
		}
		wantMsg := func(from interface {
			ReadMsg(p []byte) (int, sctpnet.MsgInfo, error)
		}, want []byte) {
			t.Helper()
			b := make([]byte, 100)
			if n, info, err := from.ReadMsg(b); string(b[:n]) != string(want) || info.PPID != 50 || err != nil {
				t.Errorf("read %q, %+v, %v; want %q", b[:n], info, err, want)
			}
		}
		watchdog(t, func() {
			knows := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams, PPID: 50}}, network, ln.Addr().String())
			plain := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{PPID: 50}}, network, ln.Addr().String())
			for _, tt := range []struct {
				c       *sctpnet.Conn
				stream  uint16
				dropped bool
			}{
				{knows, 2, true},
				{knows, 3, false}, // the server's to open
				{knows, 0, false},
				{plain, 2, false},
				{plain, 3, false},
				{plain, 0, false},
			} {
				for _, p := range [][]byte{open, open, []byte("data")} {
					if _, err := tt.c.WriteStream(p, tt.stream); err != nil {
						t.Fatal(err)
					}
				}
				s := acceptOne(tt.stream)
				if !tt.dropped {
					wantMsg(s, open)
				}
				wantMsg(s, open)
				wantMsg(s, []byte("data"))
				// It can be answered, announced or not.
				write(t, s, "answer")
				b := make([]byte, 100)
				if n, stream, err := tt.c.ReadStream(b); string(b[:n]) != "answer" || stream != tt.stream || err != nil {
					t.Errorf("read %q of stream %d, %v", b[:n], stream, err)
				}
			}
		})

		// A Conn that has told that it knows streams, and serves none.
		server := listenStreams(t, network, "127.0.0.1:0")
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			s, err := d.Dial(network, server.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := accept(t, server)
			wantMsg(c, open)
			if _, err := c.WriteMsg(open, sctpnet.MsgInfo{Stream: s.(*sctpnet.Stream).ID(), PPID: 50}); err != nil {
				t.Fatal(err)
			}
			wantMsg(s.(*sctpnet.Stream), open)
		})
	})
}

// TestStreamAdaptation has the user's adaptation layer indication at both ends, or
// at one.
func TestStreamAdaptation(t *testing.T) {
	const own = 7
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			server, client uint32
			ok             bool
		}{
			{0, 0, true},
			{sctpnet.AdaptationStreams, 0, true},
			{0, sctpnet.AdaptationStreams, true},
			{own, own, true},
			{own, 0, false},
			{0, own, false},
		} {
			t.Run(fmt.Sprintf("%d,%d", tt.server, tt.client), func(t *testing.T) {
				address, _ := streamsOf(t, network, sctpnet.Config{Adaptation: tt.server}, func(s *sctpnet.Stream) { io.WriteString(s, "hello") })
				d := closing(t, &sctpnet.StreamDialer{})
				d.Dialer.Config.Adaptation = tt.client
				watchdog(t, func() {
					c, err := d.Dial(network, address)
					if !tt.ok {
						wantError(t, "Dial", err, errors.ErrUnsupported)
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					wantBytes(t, c, []byte("hello"))
					c.Close()
				})
			})
		}
	})
}

// TestPlainPeerOfStreamListener dials the association and not a stream of it: it
// is served as a connection, and reads EOF when the server closes that.
func TestPlainPeerOfStreamListener(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, func(s *sctpnet.Stream) {
			line, _ := bufio.NewReader(s).ReadString('\n')
			io.WriteString(s, strings.ToUpper(line))
		})
		watchdog(t, func() {
			for range 5 {
				c := dial(t, nil, network, address)
				write(t, c, "hello\n")
				b, err := io.ReadAll(c)
				if string(b) != "HELLO\n" || err != nil {
					t.Errorf("read %q, %v", b, err)
				}
				c.Close()
			}
		})
		t.Run("HTTP", func(t *testing.T) {
			ln, err := sctpnet.Listen(network, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
			served := make(chan error, 1)
			sl := sctpnet.NewStreamListener(ln)
			go func() { served <- server.Serve(sl) }()
			watchdog(t, func() {
				var plain sctpnet.Dialer
				var streams sctpnet.StreamDialer
				for name, dial := range map[string]func(ctx context.Context, network, address string) (net.Conn, error){
					"plain": plain.DialContext, "streams": streams.DialContext,
				} {
					tr := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, network, address) }}
					for range 3 {
						resp, err := (&http.Client{Transport: tr}).Post("http://"+ln.Addr().String(), "text/plain", strings.NewReader(name))
						if err != nil {
							t.Fatal(err)
						}
						b, err := io.ReadAll(resp.Body)
						if string(b) != name || err != nil {
							t.Errorf("%s: %q, %v", name, b, err)
						}
						resp.Body.Close()
					}
					tr.CloseIdleConnections()
				}
				streams.Close()
				server.Close()
				<-served
			})
		})
	})
}

// TestOneStreamAtATime has a server read one stream to its end before it accepts
// the next, and many clients send at the same time.
func TestOneStreamAtATime(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			clients, size int
			all           bool // succeed
		}{{16, 200_000, true}, {8, 1_000_000, false}} {
			t.Run(fmt.Sprint(tt.size), func(t *testing.T) {
				needNetwork(t, network)
				ln, err := sctpnet.Listen(network, "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				sl := sctpnet.NewStreamListener(ln)
				go func() {
					for {
						s, err := sl.Accept()
						if err != nil {
							return
						}
						b, err := io.ReadAll(s)
						if err == nil && len(b) == tt.size {
							io.WriteString(s, "ok")
						}
						s.Close()
					}
				}()
				d := closing(t, &sctpnet.StreamDialer{})
				var served atomic.Int32
				watchdog(t, func() {
					var fs []func() error
					for range tt.clients {
						fs = append(fs, func() error {
							c, err := d.Dial(network, ln.Addr().String())
							if err != nil {
								return err
							}
							defer c.Close()
							_, err = c.Write(make([]byte, tt.size))
							if err == nil {
								err = c.(*sctpnet.Stream).CloseWrite()
							}
							b, err1 := io.ReadAll(c)
							if string(b) == "ok" {
								served.Add(1)
							} else if tt.all {
								return fmt.Errorf("write: %v; read %q, %v", err, b, err1)
							}
							return nil
						})
					}
					together(t, nil, fs...)
					sl.Close()
				})
				if n := served.Load(); n == 0 || tt.all && int(n) != tt.clients {
					t.Errorf("%d of %d clients were served", n, tt.clients)
				}
			})
		}
	})
}

// TestAbortOfServedConn aborts associations that a StreamListener serves, and closes
// them when it learns of their end. Abort decides how they end.
func TestAbortOfServedConn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln, address := streamServer(t, network)
		watchdog(t, func() {
			for range 100 {
				c := dial(t, nil, network, address)
				exchange(t, c, c)
				if err := (<-ln.conns).Abort(); err != nil {
					t.Error(err)
				}
				if b, err := io.ReadAll(c); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read %q, %v; want ECONNRESET", b, err)
				}
				c.Close()
			}
		})
	})
}

// TestStreamListener uses what NewStreamListener returns as a net.Listener.
func TestStreamListener(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		t.Run("Close", func(t *testing.T) {
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			if ln.Addr() != inner.Addr() {
				t.Errorf("Addr is %v, want %v", ln.Addr(), inner.Addr())
			}
			watchdog(t, func() {
				d := streamDialer(t)
				c, err := d.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				write(t, c, "x")
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				accept := conformance.Start(t, func() (int, error) {
					_, err := ln.Accept()
					return 0, err
				})
				accept.Waits()
				if err := ln.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				_, err = accept.Result()
				wantError(t, "waiting Accept", err, net.ErrClosed)
				_, err = ln.Accept()
				wantError(t, "Accept", err, net.ErrClosed)
				wantError(t, "a second Close", ln.Close(), net.ErrClosed)
				// The open stream is let be, and the last one ends the association.
				wantBytes(t, s, []byte("x"))
				exchange(t, s, c)
				s.Close()
				inner.waitForEnd(t)
			})
		})
		t.Run("Close while streams are opened", func(t *testing.T) {
			// They end, and what the open one writes last arrives.
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			watchdog(t, func() {
				c := dial(t, nil, network, ln.Addr().String())
				first := claim(t, c, 2)
				write(t, first, "x")
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				wantBytes(t, s, []byte("x"))
				if err := ln.Close(); err != nil {
					t.Fatal(err)
				}
				late := claim(t, c, 4)
				write(t, late, "too late")
				wantEOF(t, late)
				writing := startWriting(t, c, []byte("unclaimed"), time.Millisecond)
				last := ballast()[:100_000]
				if _, err := s.Write(last); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				wantBytes(t, first, last)
				wantEOF(t, first)
				if _, err := writing.Result(); err == nil {
					t.Error("Write succeeds")
				}
				inner.waitForEnd(t)
			})
		})
		t.Run("its listener's Close", func(t *testing.T) {
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			watchdog(t, func() {
				inner.Close()
				for range 3 {
					_, err := ln.Accept()
					wantError(t, "Accept", err, net.ErrClosed)
				}
			})
		})
		t.Run("not accepted", func(t *testing.T) {
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			watchdog(t, func() {
				c := dial(t, nil, network, ln.Addr().String())
				s := claim(t, c, 2)
				write(t, s, "x")
				eventually(t, "the association", func() bool { return inner.associations(t) == 1 })
				ln.Close()
				if _, err := s.Read(make([]byte, 1)); err == nil {
					t.Error("Read succeeds")
				}
				c.Close()
			})
		})
		t.Run("other Conns", func(t *testing.T) {
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ln := sctpnet.NewStreamListener(tcp)
			watchdog(t, func() {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				exchange(t, c, s)
				if err := ln.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	})
}

// A streamHTTP is net/http's server and client over the streams of one
// association.
type streamHTTP struct {
	ln     *countingListener
	server *http.Server
	client *http.Client
	dialer *sctpnet.StreamDialer
	url    string
}

// newStreamHTTP starts a server. /wait and /fail wait for a value from release,
// having sent one to begun.
func newStreamHTTP(t *testing.T, network string, begun chan<- string, release <-chan struct{}, canceled chan<- struct{}) *streamHTTP {
	t.Helper()
	h := &streamHTTP{
		ln:     countingListen(t, network),
		dialer: &sctpnet.StreamDialer{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	wait := func(r *http.Request) {
		begun <- r.RemoteAddr
		select {
		case <-release:
		case <-r.Context().Done():
			canceled <- struct{}{}
		}
	}
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		wait(r)
		io.WriteString(w, r.URL.Query().Get("n"))
	})
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begin")
		panic("as tested")
	})
	h.server = &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(sctpnet.NewStreamListener(h.ln)) }()
	h.dialer.Network = network
	h.client = &http.Client{Transport: &http.Transport{
		DialContext:         h.dialer.DialContext,
		MaxIdleConnsPerHost: 200,
	}}
	h.url = "http://" + h.ln.Addr().String()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		h.server.Close()
		h.dialer.CloseIdleConnections()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		h.ln.waitForEnd(t)
	})
	return h
}

// get gets a page.
func (h *streamHTTP) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", h.url+path, nil)
	if err != nil {
		return "", err
	}
	return h.do(req)
}

func (h *streamHTTP) do(req *http.Request) (string, error) {
	resp, err := h.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// start gets a page while the test goes on.
func (h *streamHTTP) start(t *testing.T, ctx context.Context, path, want string) *conformance.Call {
	return conformance.Start(t, func() (int, error) {
		got, err := h.get(ctx, path)
		if err == nil && got != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return 0, err
	})
}

// wantOne checks that there is one association and that there never was
// another.
func (h *streamHTTP) wantOne(t *testing.T) {
	t.Helper()
	wantAssociations(t, h.ln.accepted.Load(), 1)
	if n := h.ln.associations(t); n != 1 {
		t.Errorf("there are %d associations, want 1", n)
	}
}

// TestStreamHTTP has a hundred requests under way at the same time, over one
// association.
func TestStreamHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const n = 42 // a dialer may open three times as many on one association
		begun, release := make(chan string, n), make(chan struct{})
		h := newStreamHTTP(t, network, begun, release, make(chan struct{}, n))
		watchdog(t, func() {
			for range 2 { // the second time on streams that are kept alive
				var calls []*conformance.Call
				for i := range n {
					calls = append(calls, h.start(t, t.Context(), fmt.Sprint("/wait?n=", i), fmt.Sprint(i)))
				}
				remote := <-begun
				for range n - 1 {
					if got := <-begun; got != remote {
						t.Errorf("a request came from %s, others from %s", got, remote)
					}
				}
				h.wantOne(t)
				for range n {
					release <- struct{}{}
				}
				for _, call := range calls {
					if _, err := call.Result(); err != nil {
						t.Error(err)
					}
				}
				h.client.CloseIdleConnections()
			}
			h.wantOne(t)

			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					want := ballast()[i:][:20_000]
					req, err := http.NewRequest("POST", h.url+"/echo", bytes.NewReader(want))
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := h.do(req); err != nil || got != string(want) {
						t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
					}
				})
			}
			wg.Wait()
			h.wantOne(t)
		})
	})
}

// TestStreamHTTPEnds ends one exchange, in every way: another that is under way
// on the same association goes on, and so do new ones.
func TestStreamHTTPEnds(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name string
			end  func(t *testing.T, h *streamHTTP, begun <-chan string, canceled <-chan struct{})
		}{
			{"client cancels", func(t *testing.T, h *streamHTTP, begun <-chan string, canceled <-chan struct{}) {
				ctx, cancel := context.WithCancel(t.Context())
				call := h.start(t, ctx, "/wait", "")
				<-begun
				cancel()
				if _, err := call.Result(); !errors.Is(err, context.Canceled) {
					t.Errorf("canceled request: %v", err)
				}
				<-canceled // the handler is told
			}},
			{"handler panics", func(t *testing.T, h *streamHTTP, _ <-chan string, _ <-chan struct{}) {
				if got, err := h.get(t.Context(), "/fail"); err == nil {
					t.Errorf("got %q of a handler that panics", got)
				}
			}},
			{"client breaks off", func(t *testing.T, h *streamHTTP, begun <-chan string, canceled <-chan struct{}) {
				c, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", h.ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				write(t, c, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
				<-begun
				c.Close()
				<-canceled
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				begun, release, canceled := make(chan string), make(chan struct{}), make(chan struct{})
				h := newStreamHTTP(t, network, begun, release, canceled)
				watchdog(t, func() {
					other := h.start(t, t.Context(), "/wait?n=other", "other")
					<-begun
					for range 3 {
						tt.end(t, h, begun, canceled)
					}
					release <- struct{}{}
					if _, err := other.Result(); err != nil {
						t.Error(err)
					}
					if _, err := h.get(t.Context(), "/echo"); err != nil {
						t.Error(err)
					}
					h.wantOne(t)
				})
			})
		}
	})
}

// TestStreamHTTPShutdown shuts a server down while a request is under way: that
// is served to its end, and then the association is closed.
func TestStreamHTTPShutdown(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		begun, release := make(chan string), make(chan struct{})
		h := newStreamHTTP(t, network, begun, release, make(chan struct{}))
		watchdog(t, func() {
			call := h.start(t, t.Context(), "/wait?n=last", "last")
			<-begun
			if _, err := h.get(t.Context(), "/echo"); err != nil { // leaves a stream idle
				t.Fatal(err)
			}
			down := conformance.Start(t, func() (int, error) { return 0, h.server.Shutdown(context.Background()) })
			eventually(t, "the listener to be closed", func() bool {
				c, err := sctpnet.Dial(network, h.ln.Addr().String())
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			down.Waits()
			call.Waits()
			release <- struct{}{}
			if _, err := call.Result(); err != nil {
				t.Error(err)
			}
			if _, err := down.Result(); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			h.ln.waitForEnd(t)
			if _, err := h.get(t.Context(), "/echo"); err == nil {
				t.Error("a request succeeds after Shutdown")
			}
		})
	})
}

// TestPlainPeerReadsEndBeforeNextAccept has peers that use an association as one
// connection, and a server that does not accept while it serves one.
func TestPlainPeerReadsEndBeforeNextAccept(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := sctpnet.NewStreamListener(listen(t, network, "127.0.0.1:0"))
		defer ln.Close()
		watchdog(t, func() {
			for range 50 {
				client := dial(t, nil, network, ln.Addr().String())
				client.Write([]byte("x"))
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				s.Read(make([]byte, 1))
				s.Close()
				if n, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("Read returned %d, %v; want EOF", n, err)
				}
				client.Close()
			}
		})
	})
}

// TestPlainPeerOfSeveralStreams has a peer that is no StreamDialer use two streams, and a
// server that accepts the second one when it has closed the first.
func TestPlainPeerOfSeveralStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := sctpnet.NewStreamListener(listen(t, network, "127.0.0.1:0"))
		defer ln.Close()
		watchdog(t, func() {
			client := dial(t, nil, network, ln.Addr().String())
			defer client.Close()
			for _, id := range []uint16{0, 1, 0} {
				if _, err := client.WriteStream([]byte("x"), id); err != nil {
					t.Fatal(err)
				}
			}
			for id, size := range []int{2, 1} {
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if got := s.(*sctpnet.Stream).ID(); int(got) != id {
					t.Errorf("accepted stream %d, want %d", got, id)
				}
				if _, err := io.ReadFull(s, make([]byte, size)); err != nil {
					t.Error(err)
				}
				s.Close()
			}
		})
	})
}
