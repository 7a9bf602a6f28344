package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

const networkEnv = "SCTPNET_SOAK_NETWORK" // set in a process that has a network of its own

// ownNetwork has the process continue in a network of its own: it starts itself
// again and exits as that does. It returns in the process that has the network, or
// if there can be none.
func ownNetwork() error {
	if os.Getenv(networkEnv) != "" {
		return run("ip", "link", "set", "lo", "up")
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can make a network that loses packets")
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), networkEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
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
	return run("tc", "qdisc", "replace", "dev", "lo", "root", "netem", "limit", "10000", "loss", fmt.Sprintf("%d%%", percent))
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		text := strings.Join(strings.Fields(string(out)), " ")
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return nil
}
