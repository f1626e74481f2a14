package push

import (
	"strings"
	"testing"
	"testing/synctest"
)

// What no member says must not stop one that listens.
func TestStrangeMessagesAreHarmless(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.on(0).push
		for _, raw := range []string{
			"", "{", "null", `{"push":"x"}`, `{"from":"x"}`, `{"push":"x","from":"n1.0"}`,
			`{"protocol":1,"kind":"prepare","push":"x","from":"n1.0","base":"old"}`,
			`{"protocol":1,"kind":"decision","push":"x","from":"n1.0","row":"AAAA"}`,
			`{"protocol":1,"kind":"answer","push":"x","from":"n1.0","result":"prepared"}`,
			`{"protocol":1,"kind":"abort","push":"y","from":"nobody"}`,
			`{"protocol":99,"kind":"later","push":"z","from":"n1.0"}`,
			`{"push":"x","from":"n1.0","text":"` + strings.Repeat("A", maxMessage) + `"}`,
		} {
			p.take([]byte(raw))
			synctest.Wait()
		}
		for range 2 * inbox {
			p.take([]byte("{")) // more than fit are lost, and nobody waits
		}
		synctest.Wait()
		if r := p.Push(w.ctx, []byte("new")); r.Outcome != Committed {
			t.Errorf("the next push: %+v", r)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(message{Protocol: protocol, Kind: kindPrepare, Push: "x", From: "y", Base: "b", Text: []byte("text")}.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decode(raw)
		if err != nil {
			return
		}
		if again, err := decode(m.encode()); err != nil || string(again.encode()) != string(m.encode()) {
			t.Errorf("not the same after a round trip: %v", err)
		}
	})
}
