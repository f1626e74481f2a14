package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is what Linux counts processor time in.
const tick = 10 * time.Millisecond

// CPUTime returns a process' own, user and system, in steps of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	user, system, err := CPUTimes(pid)
	return user + system, err
}

// CPUTimes returns what CPUTime adds up: the process' own part, and what the kernel
// did for it.
func CPUTimes(pid int) (user, system time.Duration, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("cannot read %q", text)
	}
	own, err1 := strconv.Atoi(fields[11])
	kernel, err2 := strconv.Atoi(fields[12])
	return time.Duration(own) * tick, time.Duration(kernel) * tick, errors.Join(err1, err2)
}

// CoreTime returns how long the processes of all kinds have used a core, and other
// machines that share it, since the machine started.
func CoreTime(core string) (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return coreTime(string(text), core)
}

// coreTime adds up all columns but idle, waiting for disks and guests, whose time is in
// the first two already.
func coreTime(stat, core string) (time.Duration, error) {
	_, rest, found := strings.Cut(stat, "\ncpu"+core+" ")
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	if !found || len(fields) < 8 {
		return 0, fmt.Errorf("cannot find core %s in /proc/stat", core)
	}
	ticks := 0
	for _, i := range []int{0, 1, 2, 5, 6, 7} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// ResidentMiB returns the memory of a process that is in RAM.
func ResidentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	if !found {
		return 0, errors.New("no VmRSS in /proc")
	}
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kib / 1024, err
}
