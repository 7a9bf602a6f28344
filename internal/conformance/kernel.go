package conformance

import (
	"os"
	"testing"
)

// NoKernelEnv is the environment variable that says what tests do which need SCTP
// in the kernel where there is none: with 0 they fail, with 1 they are skipped, and
// without it they are skipped and [HowToRunAll] is printed.
const NoKernelEnv = "SCTPNET_TEST_NOKERNEL"

// HowToRunAll is the line that says so.
const HowToRunAll = `skipped: tests that need SCTP in the kernel; all run by scripts/test, or by: go test -exec "$PWD/scripts/with-sctp" ./...`

// NeedKernel takes the error of sctpnet.Available. If there is one it ends a test
// that needs SCTP in the kernel.
func NeedKernel(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv(NoKernelEnv) == "0":
		t.Fatalf("%s=0, and %v", NoKernelEnv, err)
	default:
		t.Skip(err)
	}
}
