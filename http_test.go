package sctpnet_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/sctpnet/sctpnet"
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
