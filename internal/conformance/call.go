package conformance

import "testing"

// A Call is a call in a goroutine of its own, for tests outside the suite.
type Call = call

// Start calls f.
func Start(t *testing.T, f func() (int, error)) *Call {
	p := &pair{T: t}
	return p.start(func([]byte) (int, error) { return f() }, nil)
}

// Waits returns when the call waits for something. The test fails if it
// returns instead.
func (c *call) Waits() {
	c.p.Helper()
	c.waits()
}

// Result waits for the call to return.
func (c *call) Result() (int, error) { return c.result() }
