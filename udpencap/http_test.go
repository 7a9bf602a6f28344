package udpencap

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestHTTP runs net/http over associations and over the streams of one, on a
// good network and on one that loses packets.
func TestHTTP(t *testing.T) {
	for _, percent := range []int{0, 3} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			if percent > 0 {
				badNetwork(t, percent)
			}
			t.Run("Conn", func(t *testing.T) {
				ln := listen(t, "sctp+udp", "127.0.0.1:0")
				testHTTP(t, ln, 10, new(sctpnet.Dialer).DialContext)
			})
			t.Run("Stream", func(t *testing.T) {
				// Each exchange has a stream of this side's half.
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{OutStreams: 256}}
				ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				var d sctpnet.StreamDialer
				defer d.CloseIdleConnections()
				testHTTP(t, sctpnet.NewStreamListener(ln), 100, d.DialContext)
			})
		})
	}
}

// testHTTP makes n exchanges at the same time.
func testHTTP(t *testing.T, ln net.Listener, n int, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the server may not let it be read once there is an answer
		w.Write(body)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, "sctp+udp", address) },
	}}
	watchdog(t, func() {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				want := strings.Repeat(fmt.Sprint("body ", i, " "), 1+i*100)
				resp, err := client.Post("http://"+ln.Addr().String(), "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
					t.Errorf("exchange %d: got %d bytes, %v; want %d", i, len(got), err, len(want))
				}
			})
		}
		wg.Wait()
	})
	client.CloseIdleConnections()
	server.Close()
	<-done
}
