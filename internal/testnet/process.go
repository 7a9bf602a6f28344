package testnet

import (
	"os"
	"os/exec"
	"slices"
)

const env = "SCTPNET_TEST_NETWORK" // set in a process that Again has started

// Again returns a command that runs this program again, with arguments, in a network
// of its own, whose loopback interface is down.
func Again(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector has each process sleep for a second at its end, if it is not told
	// otherwise. What the environment says of it holds.
	cmd.Env = slices.Concat([]string{"GORACE=atexit_sleep_ms=0"}, os.Environ(), []string{env + "=1"})
	isolate(cmd)
	return cmd
}

// IsAgain reports whether this process was started so.
func IsAgain() bool { return os.Getenv(env) != "" }
