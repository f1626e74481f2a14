// Command loop is the least that a proxy on fasthttp can do: it hands each request
// to one upstream and its answer back, without a route, a header of its own, a
// deadline or a look at anything. What it costs is the floor for the gateway.
//
//	loop LISTEN UPSTREAM
package main

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: loop LISTEN UPSTREAM")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "loop:", err)
		os.Exit(1)
	}
}

func serve(listen, upstream string) error {
	client := &fasthttp.HostClient{Addr: upstream, MaxConns: math.MaxInt32, MaxIdleConnDuration: time.Minute}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Request.Header.SetHost(upstream)
		if err := client.Do(&ctx.Request, &ctx.Response); err != nil {
			ctx.Error("Bad Gateway", fasthttp.StatusBadGateway)
		}
	}}
	return server.ListenAndServe(listen)
}
