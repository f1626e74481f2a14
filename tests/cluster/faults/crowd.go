package faults

import (
	"net"
	"os"
	"os/exec"
	"strconv"
)

// crowd is connections that say nothing and take a process its descriptors.
type crowd struct{ conns []net.Conn }

const spareFiles = 60 // left to the node before the crowd comes

// exhaust leaves the last node a few descriptors more than it has open, and takes
// them.
func (st *stage) exhaust() {
	st.tb.Helper()
	pid := strconv.Itoa(st.nodes[last].PID())
	open, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		st.tb.Fatal(err)
	}
	st.limitFiles(strconv.Itoa(len(open) + spareFiles))
	for range spareFiles * 2 / 5 {
		c, err := net.DialTimeout("tcp", st.entries[last], lookLimit)
		if err != nil {
			st.tb.Fatal(err)
		}
		st.crowd.conns = append(st.crowd.conns, c)
	}
}

// relieve ends that.
func (st *stage) relieve() {
	st.tb.Helper()
	for _, c := range st.crowd.conns {
		c.Close()
	}
	st.limitFiles("4096")
}

// limitFiles sets the soft limit of the last node; the hard one stands, so that
// nobody needs to be root to lift it again.
func (st *stage) limitFiles(n string) {
	st.tb.Helper()
	out, err := exec.Command("prlimit", "--pid", strconv.Itoa(st.nodes[last].PID()), "--nofile="+n+":").CombinedOutput()
	if err != nil {
		st.tb.Fatalf("cannot limit the descriptors: %v\n%s", err, out)
	}
}
