// Package kernel is the engine over the Linux kernel's SCTP sockets, one-to-one
// and one-to-many, which wait on the Go runtime's network poller. On other systems
// it has no sockets, and its errors say so.
//
// # Files
//
// The first word of a file's name is its role. The suffix _linux is left out here.
//
//	kernel, lacks    the engine, and what it does not have
//	dial             Dial; dial_cookie begins anew, dial_route finds that there is no route
//	listener         Listen and Accept
//	file             sockets that come from a file, or go to one
//	socket, rawconn  a descriptor on the poller, and its syscall.RawConn
//	conn             an association; conn_end is how it ends
//	owner            sends and receives for package mux, which has taken an association
//	restart          the next life of an association, and how it is noticed
//
//	op, header       a Send or Recv, and what its system call is told and tells
//	batch            the messages of one system call
//	send             Send and TrySend; send_batch is SendBatch
//	receive          Recv; receive_batch is RecvBatch, receive_many is Read,
//	                 receive_held is what was received and comes with the next Recv,
//	                 receive_fence and receive_unordered find that a message was given up,
//	                 receive_full that a full buffer is in the way
//	sched            when a sender waits although the kernel would take its message:
//	                 for the reader (turns), for other senders (room), for other
//	                 peers (budget) or for memory; forecast is for Read
//
//	events           which events the kernel sends; events_parse is their layout
//	addrs            the addresses of both ends; addrs_change adds and removes them,
//	                 addrs_local finds our own, addrs_sockaddr is their layout
//	settings         a row for each field of engine.Settings
//	streams          more streams, resets, and what the handshake agreed on
//	status           SCTP_STATUS, paths and counters
//	option, uapi     socket options, and what linux/sctp.h says of them
//
//	packet           a one-to-many socket, with its own connect, send, receive, wait,
//	                 cut, peeloff, watch, which looks for states that nothing tells
//	                 of, tagwatch and reserve, two of these
//
// # A byte's walk
//
// Send takes an op from a pool. The poller calls op.doSend with its lock for
// writers held, until that returns true. doSend calls sendmsg, which does not wait.
// If there is no room it returns false, and the poller calls it again when there
// is. Recv, receive and op.doRecv are the same for reading.
//
// # Order of locks
//
// A goroutine that holds a lock takes only locks to the right of it:
//
//	conn.taking → the poller's locks → tagWatch.mu → lives.mu
//	conn.failed → tagWatch.mu
//	the poller's locks, conn.failed, lives.mu → upNote.skipping
//	listener.mu → lives.mu
//	the poller's locks → packet.receiving → sctpnet.PacketConn.mu → packet.mu, packetWait.mu
//
// conn.failed stands in for the poller's lock for readers where the poller has given
// up the descriptor. No goroutine holds both. Accept's listener gets the next life
// of an association by conn.passOn, which is called with no lock held.
//
// packet.receiving is held while the engine calls back: the Taker of Recv, and the
// functions that Connect and PeelOff are given. They may call the engine, but none of
// these three.
//
// # What holds
//
// No system call waits. Waiting is the poller's.
//
// The poller's lock for readers guards what conn lists at its end: what is held, a
// notification so far, and the forecast. The lock for writers guards turns and room,
// and a budget. TrySend goes by RawConn.Control, which takes neither lock, so it
// touches only what is atomic.
//
// A deadline in the past interrupts a waiting call: for Take, for the end of the
// context of Dial or AwaitEnd, and for Accept when there is a new life.
//
// An op, a batch, a gather or a sending that is in its pool points to none of the
// caller's memory. Its header is in the heap, so that what a system call is given
// stays in place.
//
// The kernel reports a failure once: see conn. A call that meets one calls conn.fail,
// and the others find the cause there.
//
// What is held is older than what the socket has, and is received first. A conn whose
// restarted is set receives what it holds and then its end, and makes no more system
// calls.
//
// A conn asks for the info of messages with the first Recv: see conn.inform. Read alone
// does without. A conn that was accepted always has it, as what was received behind a
// restart is of the next life.
package kernel
