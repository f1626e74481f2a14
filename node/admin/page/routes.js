// The routes with their limits, and who decides on these.
import { attribute, cell, each, el, text } from "./dom.js";
import { count, percent, rate } from "./format.js";

const byId = (id) => document.getElementById(id);

/** The cluster's own limit stands first, as the one that all routes share. */
export function routes(state) {
  const all = state.routes.map((r, i) => ({ ...r, key: `${i} ${r.route} ${r.limits.length}` }));
  if (state.global_rate_limit) {
    all.unshift({ key: "global", route: "all routes", upstreams: [], methods: [], auth: "none", rps: null, limits: [state.global_rate_limit] });
  }
  each(byId("routes"), [{ key: "head" }, ...all], (r) => r.key, group, fill);
}

/** A route is a group of rows, one for each limit. */
function group(r) {
  if (r.key === "head") return byId("routes").tHead;
  const lines = Math.max(r.limits.length, 1);
  const body = el("tbody", { role: "rowgroup", "data-route": r.route });
  const parts = { about: el("small"), rps: cell("Requests/s", "number"), failed: cell("5xx/s", "number"), limits: [] };
  const first = [el("th", { scope: "rowgroup", role: "rowheader", rowspan: lines, "data-label": "Route" }, el("b", {}, r.route), parts.about), parts.rps, parts.failed];
  parts.rps.rowSpan = parts.failed.rowSpan = lines;
  for (let i = 0; i < lines; i++) {
    const limit = { about: cell("Limit", "limit"), bar: bar(), denied: cell("Denied/s", "number") };
    parts.limits.push(limit);
    const level = cell("Emptiest bucket, used", "level");
    level.append(limit.bar);
    body.append(el("tr", { role: "row" }, ...(i === 0 ? first : []), limit.about, level, limit.denied));
  }
  body.parts = parts;
  return body;
}

function fill(body, r) {
  if (!body.parts) return;
  const { parts } = body;
  text(parts.about, [r.methods.join(" "), { required: "with token", optional: "token optional" }[r.auth], r.upstreams.length > 0 && `→ ${r.upstreams.join(", ")}`].filter(Boolean).join(" · "));
  text(parts.rps, r.rps === null ? "" : count(r.rps));
  text(parts.failed, r.rps === null ? "" : count(r.errors_5xx));
  attribute(parts.failed, "class", r.errors_5xx > 0 ? "number bad" : "number");
  parts.limits.forEach((line, i) => fillLimit(line, r.limits[i]));
}

function fillLimit(line, l) {
  if (!l) {
    text(line.about, "no limit");
    line.bar.hidden = true;
    return;
  }
  const kind = [l.strict && "strict", l.shadow && "shadow, denies nothing", l.name].filter(Boolean).join(", ");
  text(line.about, `${rate(l)}, burst ${count(l.burst)}, by ${l.key_by}${kind ? ` (${kind})` : ""}`);
  level(line.bar, l.used, percent(l.used));
  attribute(line.bar, "class", l.used >= 0.9 ? "bar bad" : l.used >= 0.6 ? "bar warn" : "bar");
  text(line.denied, count(l.denied));
  attribute(line.denied, "class", l.denied > 0 ? "number warn" : "number");
}

function bar() {
  return el("div", { class: "bar" }, el("div", { class: "track" }, el("div", { class: "filled" })), el("span"));
}

function level(node, part, words) {
  node.querySelector(".filled").style.width = `${(part * 100).toFixed(1)}%`;
  text(node.lastElementChild, words);
}

const sources = [
  ["lease", "tokens drawn ahead"], ["redis", "asking Redis"], ["deny_cache", "a denial that still holds"],
  ["local", "a node's own share"], ["open", "on_redis_down: open"], ["closed", "on_redis_down: closed"],
];

export function decisions(state) {
  const { redis } = state;
  const local = redis.members_local;
  const words = !redis.configured
    ? "● No Redis is configured: each node counts for itself."
    : local === 0 ? "● All members reach Redis." : `▲ ${local} of ${state.members.length} members are without Redis.`;
  text(byId("redis"), words);
  attribute(byId("redis"), "class", redis.configured && local > 0 ? "redis warn" : "redis");
  const total = Object.values(redis.decisions).reduce((a, b) => a + b, 0);
  const rare = (name) => name === "open" || name === "closed";
  const shown = sources.filter(([name]) => !rare(name) || redis.decisions[name] > 0);
  each(byId("decisions"), shown, ([name]) => name, ([name, about]) => {
    const share = el("td", {}, bar());
    return el("tr", { "data-source": name }, el("th", { scope: "row" }, name, el("small", {}, about)), share, el("td", { class: "number" }));
  }, (tr, [name]) => {
    const n = redis.decisions[name] ?? 0;
    level(tr.querySelector(".bar"), total > 0 ? n / total : 0, "");
    text(tr.lastElementChild, count(n));
    attribute(tr, "class", n === 0 ? "none" : null);
  });
}
