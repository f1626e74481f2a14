package node

import (
	"encoding/json"
	"testing"
)

// GET /cluster tells each limit, how empty it is, and who decided.
func TestClusterViewShowsLimits(t *testing.T) {
	n := start(t, `global_rate_limit: {rps: 1000, burst: 2000, key_by: global}
routes:
  - {path: "/a/*", upstream: "${UPSTREAM}", methods: [GET], rate_limits: [{rps: 1, burst: 4, key_by: ip}, {rate: 600, per: hour, key_by: user, name: hourly, shadow: true}]}
  - {path: "/b", upstream: "http://127.0.0.1:1/x"}
`)
	var view clusterView
	eventually(t, "a view with what was denied", func() bool {
		n.do("GET", "/a/1")
		text, err := json.Marshal(n.clusterView())
		if err != nil {
			t.Fatal(err)
		}
		view = clusterView{}
		if err := json.Unmarshal(text, &view); err != nil {
			t.Fatal(err)
		}
		return len(view.Routes) == 2 && len(view.Routes[0].Limits) == 2 && view.Routes[0].Limits[0].Denied > 0 &&
			view.Routes[0].RPS > 0 && len(view.Members) == 1 && view.Members[0].Limited > 0 && view.Redis.Decisions["local"] > 0
	})
	if l := view.Routes[0].Limits[0]; l.Used < 0.5 || l.Used > 1 || l.KeyBy != "ip" || l.Rate != 1 || l.Burst != 4 || l.Per != "second" {
		t.Errorf("the first limit is %+v", l)
	}
	if l := view.Routes[0].Limits[1]; !l.Shadow || l.Name != "hourly" || l.Per != "hour" || l.KeyBy != "user" || l.Used <= 0 {
		t.Errorf("the second limit is %+v", l)
	}
	if view.Global == nil || view.Global.Burst != 2000 || view.Redis.Configured {
		t.Errorf("the cluster's limit is %+v, decisions are %+v", view.Global, view.Redis)
	}
}
