// Package cli asks the real binary what somebody at a shell asks it.
package cli
