package testnet

import (
	"os"
	"os/exec"
)

const env = "SCTPNET_TEST_NETWORK" // set in a process that Again has started

// Again returns a command that runs this program again, with arguments, in a network
// of its own, whose loopback interface is down.
func Again(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector otherwise has each process sleep for a second at its end.
	cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0"}, append(os.Environ(), env+"=1")...)
	isolate(cmd)
	return cmd
}

// IsAgain reports whether this process was started so.
func IsAgain() bool { return os.Getenv(env) != "" }
