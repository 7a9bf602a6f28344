//go:build !race && !slow

package conformance

// Slowness is by how much the tests stretch their times and shrink their
// amounts.
const Slowness = 1
