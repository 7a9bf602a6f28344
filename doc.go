// Package sctpnet is SCTP for programs written for package net.
//
// [Dial] returns a [net.Conn] and [Listen] a [net.Listener], and both keep the
// promises that package net makes: deadlines, a Close that wakes each call that
// waits, errors that unwrap. These two lines move a program from TCP to SCTP:
//
//	ln, err := sctpnet.Listen("sctp", address)
//	conn, err := sctpnet.Dial("sctp", address)
//
// The same goes for code whose caller dials and listens, such as net/http:
//
//	server.Serve(ln)
//	transport := &http.Transport{DialContext: new(sctpnet.Dialer).DialContext}
//
// What SCTP (RFC 9260) calls an association is a [*Conn], and a listening endpoint
// is a [*Listener]. Above all one thing is different from TCP: there is no
// half-close. [docs/from-tcp.md] has the rest.
//
// [ListenPacket] returns a [net.PacketConn]: one port, and associations with any
// number of peers, which either side makes. Packets are messages. See
// [docs/telecom.md].
//
// # Messages and streams
//
// SCTP carries messages, in numbered streams. A Conn is a stream of bytes: a Write
// becomes one message or several on stream 0, and a Read returns the bytes that
// there are. [StreamConn], which a *Conn implements, has messages and streams:
//
//	sc := conn.(sctpnet.StreamConn)
//	n, err := sc.WriteMsg(request, sctpnet.MsgInfo{Stream: 3, PPID: 46})
//	n, info, err := sc.ReadMsg(buf)
//	s, err := sc.OpenStream()      // a stream as a net.Conn
//	s, err := sc.AcceptStream(ctx) // and the one that the peer has opened
//
// [StreamDialer] and [NewStreamListener] give each connection a stream of a shared
// association, for code that knows nothing of streams. See [docs/streams.md].
//
// # Networks and addresses
//
// The networks are "sctp", "sctp4" for IPv4 only and "sctp6" for IPv6 only, which
// the kernel serves. "tcp", "tcp4" and "tcp6" are other names for them, unless
// [Dialer.Network] says otherwise. The networks "sctp+udp", "sctp4+udp" and
// "sctp6+udp" are SCTP inside UDP (RFC 6951) in Go alone. They exist where package
// udpencap is imported (see [docs/udp.md]):
//
//	import _ "github.com/sctpnet/sctpnet/udpencap"
//
// An address is "host:port" as in package net. A list, such as
// "10.0.0.1/10.1.0.1:3868" or "10.0.0.1/[2001:db8::1]:3868", is one endpoint with
// several addresses: if a path fails, the association goes on over another one. In
// a URL "," stands for "/". [docs/telecom.md] has the rules of lists, failover,
// timers, and peers that restart.
//
// # Errors and deadlines
//
// All errors of connections and listeners are a [*net.OpError], with two
// exceptions: Read returns [io.EOF] itself, and methods of a nil *Conn,
// *Stream, *Listener or *PacketConn return EINVAL. Use [errors.Is]: calls fail with
// [net.ErrClosed] after Close, and with [os.ErrDeadlineExceeded] after a deadline.
// System errors such as [syscall.ECONNREFUSED], [syscall.ECONNRESET] and
// [syscall.EADDRINUSE] can be found in the same way. [docs/errors.md] lists
// messages, causes and remedies.
//
// A deadline that has passed fails calls at once, also those that wait; moving
// it lets them go on. A Read that ran into its deadline has lost nothing.
// When the peer has closed the association, Read returns all that it sent and
// then io.EOF. When the peer has aborted it, Read fails with ECONNRESET; when it
// cannot be reached any more, with ETIMEDOUT. It does so each time that it is
// called.
//
// # Cost and settings
//
// Over the kernel's SCTP a Read or Write of a Conn without streams and OnEvent
// takes no lock and starts no goroutine of this package's, and allocates nothing. It
// waits on the poller of the Go runtime, as package net does, and not in a thread.
//
// The settings of Linux make SCTP slow. The zero [Config] has faster ones, which
// [docs/tuning.md] lists with reasons; Config.KernelDefaults leaves all to the
// system. [docs/observability.md] has events, status and statistics.
//
// # Requirements
//
// SCTP is in the kernel of Linux, mostly as a module: modprobe sctp, as root,
// loads it for as long as the system runs. [Available] tells whether it is
// there, and otherwise what to do. On other systems but Plan 9 the package
// builds, and Dial and Listen return an error that wraps [errors.ErrUnsupported].
//
// Some of what this package has, the system or the peer may lack; the error then
// wraps errors.ErrUnsupported too. With the kernel's SCTP this is lacking on every
// system:
//
// Settings:
//
//   - LocalUDPPort: the system has one for all, sysctl net.sctp.udp_port.
//
// Calls:
//
//   - MsgInfo.To after PacketConn.PeelOff: Linux sends to the primary path there.
//
// What is lacking over UDP is in the documentation of package udpencap.
//
// [docs/from-tcp.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/from-tcp.md
// [docs/streams.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/streams.md
// [docs/udp.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/udp.md
// [docs/telecom.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/telecom.md
// [docs/errors.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/errors.md
// [docs/tuning.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/tuning.md
// [docs/observability.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/observability.md
package sctpnet
