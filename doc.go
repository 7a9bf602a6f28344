// Package sctpnet is SCTP for programs written for package net.
//
// [Dial] returns a [net.Conn] and [Listen] a [net.Listener], and both keep the
// promises that package net makes: deadlines, a Close that wakes whoever waits,
// errors that unwrap. A program that uses TCP is moved to SCTP by these two
// lines:
//
//	ln, err := sctpnet.Listen("sctp", address)
//	conn, err := sctpnet.Dial("sctp", address)
//
// The same goes for code that lets its caller dial and listen, such as
// net/http:
//
//	server.Serve(ln)
//	transport := &http.Transport{DialContext: new(sctpnet.Dialer).DialContext}
//
// # SCTP's words
//
// What SCTP (RFC 9260) calls an association is a [*Conn], and a listening
// endpoint is a [*Listener]. An endpoint can have several IP addresses, with
// one port, and all of them are in one [*Addr]. SCTP carries messages, in
// numbered streams; a Conn is a stream of bytes, whose messages are a matter of
// how they travel: a Write becomes one message or several on stream 0, and a
// Read returns the bytes that there are, of whatever messages and streams. As
// with TCP, what one end writes in one piece the other may read in several, and
// the other way round.
//
// # Messages and streams
//
// What SCTP has beyond TCP is in [StreamConn], which a *Conn implements, so
// that code which has a net.Conn can ask for it:
//
//	sc := conn.(sctpnet.StreamConn)
//	n, err := sc.WriteMsg(request, sctpnet.MsgInfo{Stream: 3, PPID: 46})
//	n, info, err := sc.ReadMsg(buf)
//
// A message is sent and read whole, and has a stream, a payload protocol
// identifier, and if wanted a lifetime.
//
// A stream can be a [net.Conn] of its own, a [*Stream], with its deadlines, its
// EOF, and a half-close. OpenStream and AcceptStream make one association serve
// many exchanges, none of which waits for what another has lost:
//
//	s, err := sc.OpenStream()
//	s, err := sc.AcceptStream(ctx)
//
// Messages of a stream that was claimed so, or by Stream, go to it; all others
// go to the Conn. The first claim starts a goroutine that receives for all of
// them, until the Conn is closed. Streams end by their reset (RFC 6525), for
// which both sides must have stream reconfiguration, as Linux has since 5.0.
//
// [StreamDialer] and [NewStreamListener] do this for code that knows nothing of
// it, such as net/http, with one association for each address:
//
//	var d sctpnet.StreamDialer
//	transport := &http.Transport{DialContext: d.DialContext}
//	http.Serve(sctpnet.NewStreamListener(ln), handler)
//
// The two tell each other in the handshake that they serve streams, and each
// stream is announced, so a server may speak first.
//
// # What is different from TCP
//
// There is no half-close. A TCP program may say that it will write no more and
// go on reading; SCTP can only end both directions, which [Conn.Shutdown] does.
// For this reason Conn has no CloseWrite method: a proxy would call it and cut
// off the answer. A protocol that marks the end of a request by a half-close
// must mark it in another way, or use a [Stream], which does have one.
//
// A Write of up to 64 KiB is sent as one message, a longer one as several. This
// matters only to a peer that looks at messages.
//
// The address of a peer may be a list, which prints as "10.0.0.1/10.1.0.1:3868",
// and so may the RemoteAddr of an http.Request. [net.SplitHostPort] then gives
// a host that is no IP address, or fails if there are IPv6 addresses. The
// addresses are there one by one in the IPAddrs of the Addr:
//
//	for _, ip := range conn.RemoteAddr().(*sctpnet.Addr).IPAddrs {
//
// A dialler that is not bound to an address tells the peer all the addresses of
// its host, and the peer may use any of them. Dialer.LocalAddr limits this.
//
// A Write after the peer's Close fails at once with EPIPE, as soon as the peer's
// end has arrived, where TCP takes one more Write. So Close of a [crypto/tls.Conn]
// may report that it could not say goodbye, which is harmless when everything
// that was expected has been read.
//
// A listener whose backlog is full refuses, and Dial fails with ECONNREFUSED at
// once, where TCP tries again until it times out. The backlog is sysctl
// net.core.somaxconn, and 4,096 over UDP.
//
// There are no keep-alive settings, as SCTP itself looks after the paths of an
// association that is idle.
//
// One thing is the same and still surprises: Close delivers in the background
// what was written, but with something left to read it aborts the association,
// and the peer may lose the end of what it was sent. To be sure, read to the
// end before Close.
//
// # A peer that restarts
//
// A peer that has lost an association, as by a crash or a power failure, may dial
// again from the same address and port. To SCTP that is the same association, which
// begins anew (RFC 9260 section 5.2). To a program it is another connection, as it
// is with TCP: what the peer sent before can be read from the old Conn, and then its
// Read fails with ECONNRESET, as do its Streams and its Writes. No byte of the new
// life is read in the old one.
//
// The new life is returned by Accept. With the kernel's SCTP there are limits:
//
//   - It is returned when the old Conn has been read to its end. Until then what is
//     written to the old Conn reaches the new life, as Linux cannot tell a writer.
//   - If the peer crashes in the middle of a long message, Linux may hold the news
//     of the restart back. A Read that waits for the rest of the message looks for
//     it every 200 ms, where the kernel has the module sctp_diag. A Read that begins
//     to wait after the restart waits until its deadline. The new life is aborted.
//   - The Conn of a new life has no streams of its own: Stream, OpenStream and
//     AcceptStream return an error that wraps [errors.ErrUnsupported], as Linux goes
//     on with the numbering of the old life's.
//   - Where nothing can accept it, it is aborted, and its peer has to dial once
//     more. That is so if streams were in use, if the association was dialled, or is
//     of a [FileConn], and once the Listener is closed.
//
// [Config.KeepRestarted] has the Conn go on instead, for protocols that begin anew
// by messages of their own.
//
// # Networks
//
// The networks are "sctp", "sctp4" for IPv4 only and "sctp6" for IPv6 only.
// "tcp", "tcp4" and "tcp6" are other names for them, because an http.Transport
// and other callers made for TCP always ask for these. [Dialer.Network] gives them
// another meaning, such as "sctp+udp". The networks "sctp+udp",
// "sctp4+udp" and "sctp6+udp" are SCTP inside UDP (RFC 6951), which needs
// nothing from the kernel. They exist where package udpencap is imported:
//
//	import _ "github.com/sctpnet/sctpnet/udpencap"
//
// # Addresses
//
// An address is "host:port" as in package net: "192.0.2.1:80", "[::1]:http",
// "example.com:3868", ":0". If a host name has several IP addresses, they are
// alternatives; Dial tries them side by side, with a short delay, and takes the
// first that answers (RFC 8305).
//
// A list, "10.0.0.1/10.1.0.1:3868" or "10.0.0.1/[2001:db8::1]:3868", is one
// endpoint with several addresses. To listen on a list is to be reachable at
// each of its addresses, and no others, and to tell peers so. To dial a list is
// to know of the peer's other addresses even before it tells of them. If a path
// fails in the life of the association, it goes on over another one. In a URL "/"
// ends the host: "," is understood too, as in "http://10.0.0.1,10.1.0.1:80/", and
// [Addr.URLHost] returns that form.
//
// The Network and String of an [Addr] fit Dial and Listen. [ResolveAddr] makes an
// Addr, and [FromSCTPAddr] and [Addr.SCTPAddr] convert those of package
// github.com/ishidawataru/sctp.
//
// # Several addresses
//
// An endpoint has a list of IP addresses and one port. There are two ends, and
// so there are two lists, of which each end only ever gives its own:
//
//   - Listen("sctp", "10.0.0.1/10.1.0.1:3868") is bound to these two. Whoever
//     dials any one of them learns of both.
//   - Dialer.LocalAddr is the list of the dialling end, which its peer learns
//     of. Its port is most often 0.
//   - Dial("sctp", "10.0.0.1/10.1.0.1:3868") names the peer's list. It is where
//     the handshake is tried, no more: once that is done the peer's own list
//     counts, be it longer or shorter. One address is enough if that one works.
//   - [Conn.LocalAddrs] and [Conn.PeerAddrs] are what became of it.
//     LocalAddr and RemoteAddr stay what they were when the Conn was made.
//
// An end that is bound to nothing, by Listen on ":3868" or by a Dialer without
// LocalAddr, advertises all the addresses that its host has at the time of the
// handshake, those of bridges and tunnels too; only loopback addresses stay out
// if the peer is elsewhere, and private ones if it has a public address, and
// the family that was not dialled. The peer sends heartbeats to all of them, and
// may find some out of reach. To have it otherwise, bind.
//
// Which of the local addresses a packet comes from is a matter of the host's
// routes. Two paths are independent only if the routes lead them over two
// interfaces.
//
// Messages go to the primary path, or while that fails to another one. It is
// the address that was dialled, of a list the first, until [Conn.SetPrimary].
// MsgInfo.To sends one message to another address, if that can be reached.
// [Conn.Paths] tells how they are doing. [Conn.AddLocalAddr] and [Conn.RemoveLocalAddr]
// change the list in the life of an association, where both ends agreed in the
// handshake that this can be; [Conn.SetPeerPrimary] asks the peer to choose.
//
// IPv4 and IPv6 go together in one list. An end that is bound to, or dials, one
// family alone has only that; who listens on ":3868" has both.
//
// # Errors and deadlines
//
// All errors of connections and listeners are a [*net.OpError], with two
// exceptions: Read returns [io.EOF] itself, and methods of a nil *Conn or
// *Listener return EINVAL. Use [errors.Is]: [net.ErrClosed] is what calls fail
// with after Close, [os.ErrDeadlineExceeded] after a deadline, and system
// errors such as [syscall.ECONNREFUSED], [syscall.ECONNRESET] and
// [syscall.EADDRINUSE] can be found in the same way.
//
// A deadline that has passed fails calls at once, also those that wait; moving
// it lets them go on. A Read that ran into its deadline has lost nothing, a
// Write tells how much it has accepted.
//
// When the peer has closed the association, Read returns all that it sent and
// then io.EOF. When the peer has aborted it, Read fails with ECONNRESET; when it
// cannot be reached any more, with ETIMEDOUT. It does so each time that it is
// called.
//
// # Interfaces
//
// [*Conn] is a [net.Conn], a [StreamConn] and a [syscall.Conn]. [*Stream] is a
// net.Conn. [*Listener] is a [net.Listener] and a syscall.Conn. Conn and
// Listener have the File method of package net's, with [FileConn] and
// [FileListener] for the way back. [*Addr] is a [net.Addr]; it is the type of
// github.com/ishidawataru/sctp, whose constants and structures fit what
// SyscallConn gives. A [*Dialer] has the methods Dial and DialContext of a
// [net.Dialer], and a [*ListenConfig] has the method Listen of a
// [net.ListenConfig].
//
// A Read or Write of a Conn takes no lock and starts no goroutine of this
// package's, and allocates nothing. It waits on the poller of the Go runtime,
// as package net does, and not in a thread.
//
// # Speed
//
// The settings of Linux make SCTP slow, above all on the loopback interface.
// The zero [Config] has others:
//
//   - small messages are sent at once (NODELAY), as with TCP in package net;
//   - buffers of 2 MiB, as far as the system allows;
//   - a path MTU of 32836 on the loopback interface, and there only;
//   - acknowledgements are delayed by 10 ms at most, not 200 ms, and what is
//     lost is sent again after 250 ms at the earliest, not 1 s;
//   - a dial that gets no answer tries again after 1 s, not 3 s, and gives up
//     after half a minute;
//   - 64 streams each way.
//
// Config changes some of this. Its KernelDefaults leaves everything to the
// system, if that has been tuned.
//
// # Requirements
//
// SCTP is in the kernel of Linux, mostly as a module: modprobe sctp, as root,
// loads it for as long as the system runs. [Available] tells whether it is
// there, and otherwise what to do. On other systems the package builds, and
// Dial and Listen return an error that wraps [errors.ErrUnsupported].
//
// Some of what this package has, the system or the peer may lack; the error then
// wraps errors.ErrUnsupported too. With the kernel's SCTP this is lacking on every
// system:
//
// Settings:
//
//   - LocalUDPPort: the system has one for all, sysctl net.sctp.udp_port.
//
// What is lacking over UDP is in the documentation of package udpencap.
//
// For development the script scripts/with-sctp runs a command on a kernel with
// SCTP: this one, or one in a virtual machine that shares the files of this one.
//
//	go test -exec "$PWD/scripts/with-sctp" ./...
//	go run -exec "$PWD/scripts/with-sctp" ./examples/http
package sctpnet
