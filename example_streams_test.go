package sctpnet_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"

	"github.com/sctpnet/sctpnet"
)

// Each stream is a net.Conn of its own. A request on one is answered on the
// same one, and CloseWrite marks its end.
func ExampleConn_OpenStream() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		for {
			stream, err := conn.(sctpnet.StreamConn).AcceptStream(context.Background())
			if err != nil {
				return // the association has ended
			}
			go func() {
				defer stream.Close()
				request, err := io.ReadAll(stream)
				if err != nil {
					log.Print(err)
					return
				}
				fmt.Fprintf(stream, "%s has %d bytes", request, len(request))
			}()
		}
	}()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, request := range []string{"stream", "control"} {
		stream, err := conn.(sctpnet.StreamConn).OpenStream()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(stream, request)
		if err := stream.CloseWrite(); err != nil {
			log.Fatal(err)
		}
		answer, err := io.ReadAll(stream)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, on stream %d\n", answer, stream.ID())
		stream.Close()
	}
	// Output:
	// stream has 6 bytes, on stream 2
	// control has 7 bytes, on stream 4
}

// WriteMsg and ReadMsg keep the boundaries of messages, whatever their streams.
func ExampleConn_WriteMsg() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	const diameter = 46 // the protocol identifier that IANA has for it
	client := conn.(sctpnet.StreamConn)
	for i, text := range []string{"one", "two"} {
		info := sctpnet.MsgInfo{Stream: uint16(i), PPID: diameter}
		if _, err := client.WriteMsg([]byte(text), info); err != nil {
			log.Fatal(err)
		}
	}

	server := peer.(sctpnet.StreamConn)
	buf := make([]byte, 1024)
	for range 2 {
		n, info, err := server.ReadMsg(buf)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("stream %d, PPID %d: %s\n", info.Stream, info.PPID, buf[:n])
	}
	// Unordered output:
	// stream 0, PPID 46: one
	// stream 1, PPID 46: two
}

// An http.Server and an http.Client, each connection of which is a stream. All
// streams are of one association.
func ExampleStreamDialer() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr)
	})}
	go server.Serve(sctpnet.NewStreamListener(ln))

	var d sctpnet.StreamDialer
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	addrs := make(map[string]int)
	for range 10 {
		wg.Go(func() {
			resp, err := client.Get("http://" + ln.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			defer resp.Body.Close()
			addr, err := io.ReadAll(resp.Body)
			if err != nil {
				log.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			addrs[string(addr)]++
		})
	}
	wg.Wait()
	for _, n := range addrs {
		fmt.Println(n, "requests from one address")
	}

	client.CloseIdleConnections()
	d.Close()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 10 requests from one address
}
