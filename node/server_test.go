package node

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
)

func TestPanicAroundTheChainIsSurvived(t *testing.T) {
	logs := &strings.Builder{}
	n := &Node{logger: zerolog.New(logs)}
	var ctx fasthttp.RequestCtx
	n.survive(func(ctx *fasthttp.RequestCtx) {
		ctx.Response.SetBodyString("half an answer")
		panic("in a step of its own")
	})(&ctx)
	if r := &ctx.Response; r.StatusCode() != 500 || len(r.Body()) > 0 || !r.ConnectionClose() {
		t.Errorf("got %d %q", r.StatusCode(), r.Body())
	}
	if !strings.Contains(logs.String(), "in a step of its own") || !strings.Contains(logs.String(), "server_test.go") {
		t.Errorf("the log tells neither cause nor place: %s", logs)
	}
}
