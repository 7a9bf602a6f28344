package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestHTTP runs net/http over SCTP.
func TestHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := r.Context().Value(http.LocalAddrContextKey).(*sctpnet.Addr); !ok {
				t.Error("the request did not come over SCTP")
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Write(body)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(ln) }()

		transport := &http.Transport{DialContext: (&sctpnet.Dialer{Network: network}).DialContext}
		client := &http.Client{Transport: transport}
		watchdog(t, func() {
			for _, n := range []int{0, 1, 100_000, 4 << 20} {
				body := bytes.Repeat([]byte("body"), n/4+1)[:n]
				resp, err := client.Post("http://"+ln.Addr().(*sctpnet.Addr).URLHost()+"/", "text/plain", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, %v; want %d", len(got), err, n)
				}
			}
			transport.CloseIdleConnections()
			server.Shutdown(t.Context())
			if err := <-served; err != http.ErrServerClosed {
				t.Errorf("Serve: %v", err)
			}
		})
	})
}

// TestHTTPToList has a URL with several addresses of one server.
func TestHTTPToList(t *testing.T) {
	ln := listen(t, "sctp4", "127.0.0.1/127.0.0.2:0")
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(ln)
	defer server.Close()
	transport := &http.Transport{DialContext: new(sctpnet.Dialer).DialContext}
	defer transport.CloseIdleConnections()
	watchdog(t, func() {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().(*sctpnet.Addr).URLHost())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
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
		const n = 100
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
