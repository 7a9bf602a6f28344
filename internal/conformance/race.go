//go:build race || slow

package conformance

// Slowness says that the race detector runs, and with it the guest with two
// processors, which are emulated: times are longer and amounts smaller.
const Slowness = 10
