package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-api-gateway-pro/gateway/tests/harness"
)

const lookLimit = time.Second // for one look at a node

// view is what a node says of itself and the cluster.
type view struct {
	limits   string // redis or local
	members  int
	open     int // breakers that are not closed
	versions int // configurations in use
}

// look asks node i; it is false if there is no whole answer.
func (st *stage) look(i int) (view, bool) {
	var ready struct{ Limits string }
	var c harness.Cluster
	if !fetch("http://"+st.entries[i]+"/ready", &ready) || !fetch("http://"+st.admins[i]+"/cluster", &c) {
		return view{}, false
	}
	v := view{limits: ready.Limits, members: len(c.Members)}
	hashes := map[string]bool{}
	for _, m := range c.Members {
		hashes[m.Config.Hash] = true
	}
	for _, b := range c.Breakers {
		if b.State != "closed" {
			v.open++
		}
	}
	v.versions = len(hashes)
	return v, true
}

func fetch(url string, v any) bool {
	client := http.Client{Timeout: lookLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v) == nil
}

// ill says what is not as it should be, empty if all is well.
func (st *stage) ill() string {
	for i := range st.members {
		v, ok := st.look(i)
		if want := (view{limits: "redis", members: st.members, versions: 1}); !ok || v != want {
			return fmt.Sprintf("node %d: %+v, answered %t", i, v, ok)
		}
	}
	return ""
}

// everyNode reports whether ok is true of what all nodes say of themselves.
func (st *stage) everyNode(ok func(view) bool) bool {
	for i := range st.members {
		if v, answered := st.look(i); !answered || !ok(v) {
			return false
		}
	}
	return true
}

// someNode reports whether ok is true of what one of the nodes says.
func (st *stage) someNode(ok func(view) bool) bool {
	for i := range st.members {
		if v, answered := st.look(i); answered && ok(v) {
			return true
		}
	}
	return false
}

func listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, lookLimit)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
