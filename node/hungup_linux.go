package node

import (
	"net"
	"syscall"
)

// established is TCP_ESTABLISHED of the kernel's tcp_states.h; any other state
// means that the other side has closed.
const established = 1

// hungUp asks the kernel whether the client has closed its side. Bytes that wait
// to be read do not hide it, as they would from a read.
func hungUp(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true // closed by this side
	}
	state := established
	err = raw.Control(func(fd uintptr) {
		// The first of the four bytes that the call returns is tcpi_state.
		info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
		if err == nil {
			state = info & 0xff
		}
	})
	return err != nil || state != established
}
