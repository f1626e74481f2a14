// The members: who is there, how they do, what they run.
import { attribute, badge, cell, draw, each, el, sparkline, text } from "./dom.js";
import { count, duration, measure } from "./format.js";

export function members(state) {
  each(document.getElementById("members"), state.members, (m) => m.name, row, (tr, m) => fill(tr.parts, m, state));
}

function row(m) {
  const parts = {
    name: el("b", {}), self: el("span", { class: "self" }), address: el("small"),
    state: el("span"), health: el("small"),
    config: el("code"), version: el("small"), drift: el("span"),
    rps: el("span"), rpsLine: sparkline(), p99: el("span"), p99Line: sparkline(),
    limited: cell("429/s", "number"), failed: cell("5xx/s", "number"), up: cell("Up", "number"),
  };
  const name = el("th", { scope: "row", role: "rowheader", "data-label": "Node" });
  name.append(parts.name, " ", parts.self, parts.address);
  const of = (label, className, ...children) => {
    const td = cell(label, className);
    td.append(...children);
    return td;
  };
  const tr = el("tr", { role: "row", "data-name": m.name }, name,
    of("State", "", parts.state, parts.health),
    of("Configuration", "config", parts.config, " ", parts.version, parts.drift),
    of("Requests/s", "number lined", parts.rpsLine, parts.rps),
    of("p99 ms", "number lined", parts.p99Line, parts.p99),
    parts.limited, parts.failed, parts.up);
  tr.parts = parts;
  return tr;
}

function fill(parts, m, state) {
  text(parts.name, m.name);
  text(parts.self, m.name === state.self ? "this node" : "");
  text(parts.address, [m.address, m.version].filter(Boolean).join(" · "));
  mode(parts.state, m, state);
  text(parts.health, m.health_score > 0 ? `answers gossip late, ${m.health_score} of 7` : "");
  text(parts.config, m.config.hash.slice(0, 8));
  text(parts.version, m.config.hash ? `v${m.config.version}` : "");
  drift(parts.drift, m);
  text(parts.rps, count(m.rps));
  draw(parts.rpsLine, m.trail.rps ?? []);
  text(parts.p99, measure(m.p99_ms));
  draw(parts.p99Line, m.trail.p99_ms ?? []);
  text(parts.limited, count(m.answers_429));
  text(parts.failed, count(m.errors_5xx));
  attribute(parts.failed, "class", m.errors_5xx > 0 ? "number bad" : "number");
  text(parts.up, duration(m.uptime_s));
}

function mode(node, m, state) {
  if (m.mode === "") badge(node, "plain", "○", "no word yet");
  else if (m.silent_ms > 0) badge(node, "bad", "✕", `silent for ${Math.round(m.silent_ms / 1000)} s`);
  else if (m.draining) badge(node, "warn", "◐", "draining");
  else if (m.mode === "local" && state.redis.configured) badge(node, "warn", "▲", "without Redis");
  else badge(node, "good", "●", m.mode === "local" ? "local buckets" : "with Redis");
}

function drift(node, m) {
  if (m.drifted) badge(node, "bad", "≠", "drift");
  else if (m.config.result === "refused") badge(node, "warn", "▲", "refused a file");
  else {
    attribute(node, "class", null);
    text(node, "");
  }
}
