// Package mux shares one association among its streams.
//
// A [Mux] owns the sending and the receiving of an association, by an
// [engine.Owner]. One goroutine receives. It sorts what arrives into queues:
// one for each [Stream], one for what the Conn reads, and one for streams that
// wait to be accepted. Senders take turns.
//
// What is received lies in buffers that the pieces in the queues point into. A
// Read copies it out. A full queue stops the receiving goroutine, and so the
// whole association; the receive window then holds the peer back. Streams that
// wait to be accepted do so for a while only: see refuse.
//
// Package sctpnet makes a net.Conn of a Stream. Errors are bare here: io.EOF,
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.EPIPE, or what the engine
// returned.
//
// # Order of locks
//
// A goroutine that holds a lock takes only locks to the right of it:
//
//	sctpnet.StreamDialer.mu → sctpnet.Conn.mu → reader.mu → sender.mu → Mux.mu → the engine's
//	sctpnet.servedConn.mu → Mux.mu
//
// No goroutine holds two locks of one kind, or reader.mu and sender.mu together.
// The engine does not call back. [Config].OnEvent is called with no lock held. The
// engine is never asked for resets with Mux.mu held, see Mux.unlock, but sender.mu
// and servedConn.mu may be.
// The turn, which is a token in Mux.turn, is taken under sender.mu and never under
// Mux.mu.
//
// Start takes Mux.mu before sender.mu. No other goroutine knows the Mux then.
//
// # What holds
//
// Unexported functions of Mux, Stream and deadline expect Mux.mu to be held, unless
// they take it themselves or wait.
//
// [Start] publishes the Mux before it is ready, with Mux.mu and the sender.mu
// of the Conn held. Calls that the engine turns away find it and wait for
// these.
//
// What arrives on a stream that nobody claimed is the Conn's or is accepted. That
// does not depend on the calls that wait. It changes in one direction only: see
// share.
//
// A Write of the Conn that was cut short by Start goes on by [Mux.Send] with
// resume set. It then holds that sender.mu and the turn already; Start took
// both for it.
//
// The receiver releases Mux.mu while it calls [Config].OnEvent. Mux.sorting counts
// the messages that were received and that no queue has yet, so that
// [Mux.Unread] does not overlook them. A reader looks at all that it goes by in one
// section of Mux.mu: see look.
//
// A receiver that waits, for room or for OnEvent, does not learn of the
// association's end by receiving. So it waits for that too: see watch.
// Nothing polls, but for the repetition of requests for resets.
//
// A piece without data is the end of a stream.
//
// The first error of Mux.end stays. Either the receiving goroutine or Close calls
// it.
//
// Mux.numbers has what is known of a number, from its first use until nothing is.
// It has a Stream until that is closed and the number is free. A number is free
// when both directions are reset, or when the peer uses it again, as it must have
// seen both resets then. Where a reset is not possible the number is never free,
// and only number.spent remembers it. Mux.put alone changes a number, and counts
// the Streams and those that wait to be accepted.
//
// The states of a direction are in order: each includes those before it, and code
// compares them by order. They move forward, except that a request which failed
// goes back from asked to wanted.
//
// number.late counts the answers to come to requests of the uses before. An answer
// is of the oldest request of its number.
//
// Mux.memory is what all queues hold, and what readers have begun: each buffer as a
// whole. The receiver has a buffer only while it has something to sort.
//
// Mux.acceptable holds one value for any number of waiters. A waiter that takes
// the value and leaves something for the next one must put the value back.
// Closing Mux.freed wakes all its waiters, as they want different numbers.
//
// # On the wire
//
// One convention is the package's own: a request that names a stream twice
// tells the peer to stop sending on it. See Mux.stop. RFC 6525 allows the list,
// and other implementations reset the stream once more.
package mux
