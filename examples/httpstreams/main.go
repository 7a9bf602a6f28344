// Httpstreams runs a hundred HTTP/1.1 exchanges at the same time over one SCTP
// association, each on a stream of its own. The http.Server and the http.Client
// are as ever; only the listener and the function that dials are SCTP's. Run it
// with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/httpstreams
//
// or, with SCTP inside UDP and on any system,
//
//	go run ./examples/httpstreams -network sctp+udp
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

const exchanges = 100

const usage = `Httpstreams runs a hundred HTTP/1.1 exchanges at the same time with a server of
its own, over one SCTP association, each on a stream of its own.

usage: httpstreams [-network NETWORK]

`

func main() {
	network := "sctp"
	flag.Func("network", "the `network`: sctp, which is the default, or sctp+udp", func(s string) error {
		if s != "sctp" && s != "sctp+udp" {
			return errors.New("want sctp or sctp+udp")
		}
		network = s
		return nil
	})
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := run(network); err != nil {
		fmt.Fprintln(os.Stderr, "httpstreams:", err)
		os.Exit(1)
	}
}

func run(network string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	ln, err := sctpnet.Listen(network, "127.0.0.1:0")
	if err != nil {
		return err
	}
	var seen record
	server := &http.Server{
		Handler: newHandler(&seen, ln.Addr().(*sctpnet.Addr).Port),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, c.(*sctpnet.Stream).ID())
		},
	}
	served := make(chan error, 1)
	streams := sctpnet.NewStreamListener(ln)
	go func() { served <- server.Serve(streams) }()

	// A Transport asks for "tcp", which means the StreamDialer's Network.
	d := &sctpnet.StreamDialer{Network: network}
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	start := time.Now()
	err = get(ctx, client, "http://"+ln.Addr().String())
	elapsed := time.Since(start)
	client.CloseIdleConnections()
	d.Close()
	if err != nil {
		server.Close()
		return err
	}
	if err := server.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	fmt.Printf("%d exchanges at the same time, in %v\n", exchanges, elapsed.Round(time.Millisecond))
	return seen.report()
}

// get makes all the exchanges at the same time.
func get(ctx context.Context, client *http.Client, url string) error {
	errs := make([]error, exchanges)
	var wg sync.WaitGroup
	for i := range exchanges {
		wg.Go(func() { errs[i] = getOne(ctx, client, fmt.Sprintf("%s/%d", url, i)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func getOne(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if want := "this is " + req.URL.Path; resp.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("%s: %s, %q; want %q", url, resp.Status, body, want)
	}
	return nil
}

// newHandler answers no request before all of them are there. At that time it
// counts the associations.
func newHandler(seen *record, port int) http.Handler {
	var requests sync.WaitGroup
	requests.Add(exchanges)
	all := make(chan struct{})
	go func() {
		requests.Wait()
		seen.associations = countAssociations(port)
		close(all)
	}()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		requests.Done()
		select {
		case <-all:
			fmt.Fprint(w, "this is ", r.URL.Path)
		case <-r.Context().Done():
		}
	})
}

type streamKey struct{}

// A record is what the server has seen.
type record struct {
	mu           sync.Mutex
	addrs        map[string]bool
	streams      map[uint16]bool
	associations int // -1 if that is not known
}

func (s *record) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addrs == nil {
		s.addrs, s.streams = make(map[string]bool), make(map[uint16]bool)
	}
	s.addrs[r.RemoteAddr] = true
	s.streams[r.Context().Value(streamKey{}).(uint16)] = true
}

func (s *record) report() error {
	for addr := range s.addrs {
		fmt.Println("the server saw them come from", addr)
	}
	fmt.Println("different streams:", len(s.streams))
	if s.associations >= 0 {
		fmt.Println("associations of the server in /proc/net/sctp/assocs:", s.associations)
	}
	if len(s.addrs) != 1 || len(s.streams) != exchanges || s.associations > 1 {
		return errors.New("the exchanges did not share one association, with a stream each")
	}
	fmt.Println("all exchanges shared one association")
	return nil
}

// countAssociations returns how many associations there are that end at a local
// port, or -1 where the system does not tell.
func countAssociations(port int) int {
	table, err := os.ReadFile("/proc/net/sctp/assocs")
	if err != nil {
		return -1
	}
	const localPort = 11
	n := 0
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > localPort && f[localPort] == strconv.Itoa(port) {
			n++
		}
	}
	return n
}
