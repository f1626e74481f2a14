// What the page needs of the DOM: nodes are kept and changed in place, so that
// focus and selection survive the state that comes each second.

/** Makes an element; children are nodes or text. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Sets the text of an element, if it is another one. */
export function text(node, value) {
  const next = String(value);
  if (node.textContent !== next) node.textContent = next;
}

/** Sets or, for null, removes an attribute, if that changes it. */
export function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/**
 * Makes the children of parent one for each item, in that order. What was made
 * for a key is used again as long as the key is there.
 */
export function each(parent, items, key, make, fill) {
  const known = parent.made ?? new Map();
  const next = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const node = known.get(name) ?? make(item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    next.set(name, node);
    fill(node, item);
  }
  for (const [name, node] of known) if (next.get(name) !== node) node.remove();
  parent.made = next;
}

/**
 * Makes a cell that knows the name of its column, for narrow screens. There rows
 * are drawn as cards, and only the role says that it is still a table.
 */
export function cell(label, className = "") {
  return el("td", { role: "cell", "data-label": label, class: className });
}

/** Shows a state: a sign, a word and a tone. None of the three stands alone. */
export function badge(node, tone, sign, word) {
  attribute(node, "class", `badge ${tone}`);
  text(node, `${sign} ${word}`);
}

const svg = "http://www.w3.org/2000/svg";
const width = 64;
const height = 16;

/** Makes an empty line of a minute. */
export function sparkline() {
  const root = document.createElementNS(svg, "svg");
  for (const [key, value] of Object.entries({ class: "spark", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" })) root.setAttribute(key, value);
  root.append(document.createElementNS(svg, "polyline"));
  return root;
}

/** Draws values as a line, the newest at the right end; it begins at zero. */
export function draw(spark, values) {
  const top = Math.max(...values, 1e-9);
  const step = width / 59;
  const points = values.map((v, i) => {
    const x = width - (values.length - 1 - i) * step;
    return `${x.toFixed(1)},${(height - 1 - (v / top) * (height - 2)).toFixed(1)}`;
  });
  attribute(spark.firstElementChild, "points", points.join(" "));
}
