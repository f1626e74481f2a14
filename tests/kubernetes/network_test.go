package kubernetes

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Every selector finds the pods.
func TestSelectorsMatch(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		template, _ := o.pod(t)
		f := func(what string, s *metav1.LabelSelector) {
			t.Helper()
			selector, err := metav1.LabelSelectorAsSelector(s)
			if err != nil || selector.Empty() || !selector.Matches(labels.Set(template.Labels)) {
				t.Errorf("the selector of %s is %s (%v); the pods have %v", what, selector, err, template.Labels)
			}
		}
		f("the Deployment", o.deployments["gateway"].Spec.Selector)
		f("the PodDisruptionBudget", o.budgets["gateway"].Spec.Selector)
		for name, s := range o.services {
			f("Service "+name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		}
		for name, p := range o.policies {
			f("NetworkPolicy "+name, &p.Spec.PodSelector)
		}
		for _, c := range template.Spec.TopologySpreadConstraints {
			f("the spread over "+c.TopologyKey, c.LabelSelector)
		}
		for name, a := range o.autoscalers {
			if r := a.Spec.ScaleTargetRef; r.Kind != "Deployment" || r.APIVersion != "apps/v1" || o.deployments[r.Name] == nil {
				t.Errorf("HorizontalPodAutoscaler %s scales %+v", name, r)
			}
		}
		if len(o.services) != 2 || len(o.policies) != 2 || len(template.Spec.TopologySpreadConstraints) != 2 {
			t.Errorf("%d Services, %d policies, %d spreads: want two each", len(o.services), len(o.policies), len(template.Spec.TopologySpreadConstraints))
		}
	})
}

// The pod's ports are those of its configuration, and of the shipped one.
func TestPortsAreTheConfigurations(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bothBuilds(t, func(t *testing.T, o *objects) {
		_, c := o.pod(t)
		cfg := o.config(t)
		_, gossip, _ := strings.Cut(cfg.Cluster.Bind, ":")
		want := []string{
			"admin " + port(cfg.Admin.Port) + "/TCP", "gossip-tcp " + gossip + "/TCP",
			"gossip-udp " + gossip + "/UDP", "http " + port(cfg.Server.Port) + "/TCP",
		}
		var got []string
		for _, p := range c.Ports {
			got = append(got, fmt.Sprintf("%s %d/%s", p.Name, p.ContainerPort, protocol(p.Protocol)))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the container's ports are %q, the configuration's %q", got, want)
		}
		for name, n := range map[string]int64{"PORT": cfg.Server.Port, "ADMIN_PORT": cfg.Admin.Port} {
			found := regexp.MustCompile(`\$\{` + name + `:-(\d+)\}`).FindSubmatch(shipped)
			if found == nil || string(found[1]) != port(n) {
				t.Errorf("%s of the shipped config.yaml is %q, here %d", name, found, n)
			}
		}
		if want := "gateway-gossip:" + gossip; !slices.Equal(cfg.Cluster.Join, []string{want}) {
			t.Errorf("cluster.join is %q, want the headless Service %s", cfg.Cluster.Join, want)
		}
	})
}

// Services lead to ports the container has, and pods are found before they are ready.
func TestServicesLeadToPorts(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		_, c := o.pod(t)
		for name, s := range o.services {
			for _, p := range s.Spec.Ports {
				if !slices.ContainsFunc(c.Ports, func(at corev1.ContainerPort) bool {
					return at.Name == p.TargetPort.StrVal && protocol(at.Protocol) == protocol(p.Protocol)
				}) {
					t.Errorf("Service %s: no port %s/%s", name, p.TargetPort.String(), protocol(p.Protocol))
				}
			}
		}
		if g := o.services["gateway-gossip"]; g == nil || g.Spec.ClusterIP != "None" || !g.Spec.PublishNotReadyAddresses || len(g.Spec.Ports) != 2 {
			t.Errorf("want a headless Service gateway-gossip that publishes what is not ready, got %+v", g)
		}
		s := o.services["gateway"]
		if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].TargetPort.StrVal != "http" {
			t.Errorf("Service gateway offers %+v, want requests alone", s.Spec.Ports)
		}
	})
}

// Who may reach what, as a whole.
func TestPolicies(t *testing.T) {
	bothBuilds(t, func(t *testing.T, o *objects) {
		var got []string
		for _, p := range o.policies {
			if !slices.Equal(p.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
				t.Errorf("%s is a policy for %v", p.Name, p.Spec.PolicyTypes)
			}
			for _, rule := range p.Spec.Ingress {
				for _, at := range rule.Ports {
					got = append(got, at.Port.String()+"/"+protocolOf(at.Protocol)+" from "+sources(rule.From))
				}
			}
		}
		slices.Sort(got)
		want := []string{
			"admin/TCP from pods app.kubernetes.io/name=prometheus in namespaces kubernetes.io/metadata.name=monitoring",
			"gossip-tcp/TCP from pods app.kubernetes.io/name=gateway",
			"gossip-udp/UDP from pods app.kubernetes.io/name=gateway",
			"http/TCP from anywhere",
		}
		if !slices.Equal(got, want) {
			t.Errorf("allowed:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func sources(peers []networkingv1.NetworkPolicyPeer) string {
	if len(peers) == 0 {
		return "anywhere"
	}
	var all []string
	for _, p := range peers {
		text := "pods " + metav1.FormatLabelSelector(p.PodSelector)
		if p.NamespaceSelector != nil {
			text += " in namespaces " + metav1.FormatLabelSelector(p.NamespaceSelector)
		}
		if p.IPBlock != nil {
			text += " at " + p.IPBlock.CIDR
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func protocol(p corev1.Protocol) string { return protocolOf(&p) }

// protocolOf is TCP where none is said.
func protocolOf(p *corev1.Protocol) string {
	if p == nil || *p == "" {
		return "TCP"
	}
	return string(*p)
}
