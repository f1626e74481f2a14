// The cluster page: one state in, the whole page brought up to date.
import { attribute, each, el, text } from "./dom.js";
import { clock, count, measure } from "./format.js";
import { breakers } from "./breakers.js";
import { members } from "./members.js";
import { decisions, routes } from "./routes.js";
import { listen } from "./stream.js";

const byId = (id) => document.getElementById(id);
const sum = (list, of) => list.reduce((total, x) => total + of(x), 0);

/** The figures on top: what there is, and whether it is a reason to worry. */
function figures(state) {
  const configs = new Set(state.members.map((m) => m.config.hash).filter(Boolean)).size;
  const open = state.breakers.filter((b) => b.state === "open" || b.state === "half_open").length;
  const local = state.redis.configured && state.redis.members_local > 0;
  const failed = sum(state.members, (m) => m.errors_5xx);
  const silent = state.members.filter((m) => m.silent_ms > 0).length;
  return [
    ["Members", silent > 0 ? `${count(state.members.length)}, ${silent} silent` : count(state.members.length), silent > 0],
    ["Requests/s", count(sum(state.members, (m) => m.rps)), false],
    ["Worst p99", `${measure(Math.max(0, ...state.members.map((m) => m.p99_ms)))} ms`, false],
    ["429/s", count(sum(state.members, (m) => m.answers_429)), false],
    ["5xx/s", count(failed), failed > 0],
    ["Open breakers", count(open), open > 0],
    ["Configurations", configs > 1 ? `${configs}, drift` : count(configs), configs > 1],
    ["Limits by", limitsBy(state.redis), local],
  ];
}

function limitsBy(redis) {
  if (!redis.configured) return "this cluster has no Redis";
  return redis.members_local > 0 ? `own share on ${redis.members_local}` : "Redis";
}

function summary(state) {
  each(byId("summary"), figures(state), ([name]) => name,
    ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
    (box, [, value, worry]) => {
      attribute(box, "class", worry ? "worry" : null);
      text(box.lastElementChild, worry ? `▲ ${value}` : value);
    });
}

function warnings(state) {
  each(byId("warnings"), state.warnings, (w) => w, (w) => el("li", { class: "warning" }, `▲ ${w}`), () => {});
}

const signs = { good: "●", bad: "▲", plain: "·" };

function events(state) {
  const seen = new Map();
  const keyed = state.events.map((e) => {
    const base = [e.at, e.kind, e.subject, e.text].join("|");
    seen.set(base, (seen.get(base) ?? 0) + 1);
    return { ...e, key: `${base}|${seen.get(base)}` };
  });
  each(byId("events"), keyed, (e) => e.key, (e) => {
    const time = el("time", { datetime: e.at }, clock(e.at));
    const sign = el("span", { class: `sign ${e.tone}` }, signs[e.tone] ?? "·");
    return el("li", {}, time, sign, el("p", {}, el("b", {}, e.subject), ` ${e.text}`));
  }, () => {});
}

function title(state) {
  const worries = figures(state).filter(([, , worry]) => worry).length;
  document.title = `${worries > 0 ? "▲ " : ""}Gateway cluster, ${state.members.length} members`;
}

function show(state) {
  link("live", "● live");
  text(byId("self"), `as ${state.self} sees it`);
  byId("logout").hidden = !state.writable;
  title(state);
  warnings(state);
  summary(state);
  members(state);
  breakers(state);
  routes(state);
  decisions(state);
  events(state);
}

/** The word on the connection; it is read out only when it changes. */
function link(tone, word) {
  attribute(byId("link"), "class", `link ${tone}`);
  text(byId("link"), word);
  attribute(document.body, "class", tone);
}

const reasons = {
  login: () => el("a", { href: "login" }, "the session has ended, log in again"),
  full: () => "too many pages are open on this node",
};

function lost(since, why) {
  link("lost", `✕ disconnected since ${clock(since)}`);
  if (why) byId("link").append(", ", reasons[why]());
  document.title = "✕ Gateway cluster, disconnected";
}

listen(show, lost);
