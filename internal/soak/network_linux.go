package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/testnet"
)

// ownNetwork has the process continue in a network of its own: it starts itself
// again and exits as that does. It returns in the process that has the network, or
// if there can be none.
func ownNetwork() error {
	if testnet.IsAgain() {
		return testnet.Own().IP("link set lo up")
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can make a network that loses packets")
	}
	cmd := testnet.Again(os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err := cmd.Run()
	var status *exec.ExitError
	switch {
	case errors.As(err, &status) && status.ExitCode() >= 0:
		os.Exit(status.ExitCode())
	case err != nil:
		return fmt.Errorf("a process with a network of its own: %w", err)
	}
	os.Exit(0)
	return nil
}

// lose has the loopback interface lose so many percent of the packets.
func lose(percent int) error {
	return testnet.Own().Netem("lo", fmt.Sprintf("loss %d%%", percent))
}
