package testnet

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// unshare gives the thread a new network.
func unshare() error { return unix.Unshare(unix.CLONE_NEWNET) }

func isMainThread() bool { return unix.Gettid() == unix.Getpid() }

// enter gives the thread the network of a file.
func enter(file *os.File) error { return unix.Setns(int(file.Fd()), unix.CLONE_NEWNET) }

// isolate gives a process that is to start a new network.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
}
