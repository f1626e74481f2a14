// The breakers, and the buttons that override them.
import { attribute, badge, cell, each, el, text } from "./dom.js";
import { between, duration } from "./format.js";

const byId = (id) => document.getElementById(id);
const states = {
  closed: ["good", "●", "closed"], suspect: ["warn", "▲", "suspect"],
  half_open: ["warn", "◐", "half open"], open: ["bad", "✕", "open"],
};
const words = { open: "Open", closed: "Close", auto: "Auto" };
const worst = { open: 0, half_open: 1, suspect: 2, closed: 3 };

export function breakers(state) {
  byId("hold").hidden = !state.writable;
  byId("read-only").hidden = state.writable;
  const sorted = [...state.breakers].sort((a, b) => worst[a.state] - worst[b.state] || a.backend.localeCompare(b.backend));
  each(byId("breakers"), sorted, (b) => b.backend, row, (tr, b) => fill(tr.parts, b, state));
}

function row(b) {
  const parts = {
    state: el("span"), by: cell("Held open by", "by"), since: cell("For", "number"), probe: cell("Next probe", "number"),
    forced: el("small"), buttons: {},
  };
  const stateCell = cell("State");
  stateCell.append(parts.state);
  const group = el("div", { class: "buttons", role: "group", "aria-label": `Override the breaker of ${b.backend}` });
  for (const mode of ["open", "closed", "auto"]) {
    const button = el("button", { type: "button", "data-mode": mode, "aria-label": `${words[mode]} ${b.backend}` }, words[mode]);
    button.addEventListener("click", () => override(b.backend, mode));
    parts.buttons[mode] = button;
    group.append(button);
  }
  const overrideCell = cell("Override", "override");
  overrideCell.append(group, parts.forced);
  const tr = el("tr", { role: "row", "data-backend": b.backend }, el("th", { scope: "row", role: "rowheader", "data-label": "Backend" }, b.backend),
    stateCell, parts.by, parts.since, parts.probe, overrideCell);
  tr.parts = parts;
  return tr;
}

function fill(parts, b, state) {
  badge(parts.state, ...(states[b.state] ?? ["plain", "?", b.state]));
  text(parts.by, b.by.map((name) => (name === state.self ? `${name} (this node)` : name)).join(", ") || "–");
  text(parts.since, b.since && b.state !== "closed" ? duration(between(b.since, state.now)) : "–");
  text(parts.probe, b.next_probe ? inTime(between(state.now, b.next_probe)) : "–");
  const forced = b.override?.state ?? "auto";
  for (const [mode, button] of Object.entries(parts.buttons)) {
    attribute(button, "aria-pressed", mode === forced ? "true" : "false");
    button.disabled = !state.writable;
  }
  text(parts.forced, b.override ? `forced ${forced} for ${duration(between(state.now, b.override.until))} more, by ${b.override.by}` : "");
}

const inTime = (seconds) => (seconds <= 0 ? "due" : `in ${duration(seconds)}`);

/** Asks the node to override a breaker, and says how that went. */
async function override(backend, mode) {
  const seconds = Number(byId("hold-for").value);
  const body = mode === "auto" ? { backend, state: mode } : { backend, state: mode, for_s: seconds };
  say("", `asking to set ${backend} to ${mode}`);
  try {
    const answer = await fetch("cluster/breakers", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await complaint(answer));
    const kept = mode === "auto" ? "decides by itself again" : `is forced ${mode} for ${duration(seconds)}`;
    say("good", `● ${backend} ${kept}, on all members`);
  } catch (error) {
    say("bad", `▲ ${backend} was not changed: ${error.message}`);
  }
}

async function complaint(answer) {
  if (answer.status === 401) return "the session has ended, log in again";
  const said = await answer.text();
  try {
    return JSON.parse(said).errors.map((e) => [e.field, e.error].filter(Boolean).join(" ")).join("; ");
  } catch {
    return said.trim() || `status ${answer.status}`;
  }
}

function say(tone, words) {
  attribute(byId("said"), "class", `said ${tone}`);
  text(byId("said"), words);
}
