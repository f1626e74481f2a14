package harness

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what a run stands on.
type Machine struct{ Cores, Go, Redis, Commit string }

// Inspect asks the tools; what one does not tell is "unknown".
func Inspect() Machine {
	return Machine{
		Cores:  strconv.Itoa(runtime.NumCPU()),
		Go:     runtime.Version(),
		Redis:  redisVersion(output("redis-server", "--version")),
		Commit: output("git", "describe", "--always", "--dirty", "--abbrev=12"),
	}
}

func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func redisVersion(text string) string {
	for _, field := range strings.Fields(text) {
		if version, ok := strings.CutPrefix(field, "v="); ok {
			return version
		}
	}
	return "unknown"
}
