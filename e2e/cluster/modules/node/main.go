// The few programs that the node needs of its own, in one static binary chosen by the name it is called by.
//
//	finetune-node  process 1 of the node's namespaces: waits, and collects what has ended
//	pause          the same for a pod: the sandbox container
//	volume         makes or removes the folder of a volume for local-path-provisioner
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	var err error
	switch name := filepath.Base(os.Args[0]); name {
	case "finetune-node", "pause":
		wait()
	case "volume":
		err = volume()
	default:
		err = fmt.Errorf("no program is called %q; call it finetune-node, pause or volume", name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func wait() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		// Signals are merged while one is pending: collect all that have ended.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}

func volume() error {
	path := flag.String("p", "", "the volume's folder")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "size in bytes; a folder has no quota")
	flag.String("m", "", "volume mode")
	flag.Parse()
	switch *action {
	case "create":
		if err := os.MkdirAll(*path, 0o777); err != nil {
			return err
		}
		return os.Chmod(*path, 0o777) // pods run as any user, and the umask has narrowed MkdirAll's mode
	case "delete":
		return os.RemoveAll(*path)
	}
	return fmt.Errorf("volume: -a %q; it is create or delete", *action)
}
