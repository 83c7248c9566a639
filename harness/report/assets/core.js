"use strict";
// Shared by the page's scripts: what the page carries, the filters, and elements made from text alone, never from markup.
const started = performance.now();
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-4,-4h8v8h-8z", "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
  "M0,-5L5,4H-5z", "M0,5L5,-4H-5z", "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
];
const COLOURS = 8;
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const boxes = [...document.querySelectorAll("#filters select")];
const wantedNow = () => boxes.map((box) => box.value);
const matches = (places, wanted) =>
  wanted.every((value, axis) => value === "" || places[axis] === "*" || String(places[axis]) === value);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
const html = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// Columns as the page carries them: text columns are places in a list of values.
function columns(packed) {
  const found = {};
  for (const [name, values] of Object.entries(packed))
    found[name] = Array.isArray(values) ? values : values.places.map((place) => values.values[place]);
  return found;
}

const figures = (value, digits = 3) => (value === null || value === undefined || !isFinite(value) ? "–" : String(+value.toPrecision(digits)));
const scaled = (units) => (value) => {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  const [factor, unit] = units.find(([size]) => Math.abs(value) >= size) || units[units.length - 1];
  return `${figures(value / factor)} ${unit}`;
};
const duration = scaled([[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]);
const bytes = scaled([[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
const rate = scaled([[1e12, "TB/s"], [1e9, "GB/s"], [1e6, "MB/s"], [1, "B/s"]]);

const median = (values) => {
  const ordered = [...values].sort((a, b) => a - b), middle = ordered.length >> 1;
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
};
const groups = (indices, key) => {
  const found = new Map();
  for (const index of indices) {
    const name = key(index);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(index);
  }
  return found;
};

// A table of texts; the first cell of a row is its heading.
function table(heads, rows, caption) {
  const head = html("tr", {}, ...heads.map((text) => html("th", { scope: "col" }, text)));
  const body = rows.map((cells) =>
    html("tr", {}, html("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((cell) => (cell instanceof Node ? cell : html("td", { class: "n" }, String(cell))))),
  );
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...body)));
}

// The same figures for those who do not see the drawing; made when it is opened.
function asTable(heads, rows, caption) {
  const details = html("details", { class: "figures" }, html("summary", {}, "As a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(table(heads, rows, caption));
  });
  return details;
}

function ticks(low, high) {
  const found = [], decades = Math.log10(high / low);
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const lead of decades < 1.5 ? [1, 2, 5] : [1]) found.push(lead * 10 ** power);
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const step = Math.ceil(inside.length / 6);
  return inside.filter((_, index) => index % step === 0);
}

// Logarithmic axes over the positive values given; returns the drawing and where a value stands.
function plot({ xs, ys, x, y, label }) {
  const [width, height, left, bottom] = [360, 230, 56, 34];
  const spread = (values) => {
    const kept = values.filter((value) => value > 0 && isFinite(value));
    const low = Math.min(...kept), high = Math.max(...kept);
    return low < high ? [low / 1.15, high * 1.15] : [low / 2, high * 2];
  };
  const [x0, x1] = spread(xs), [y0, y1] = spread(ys);
  const px = (value) => left + ((width - left - 12) * Math.log(value / x0)) / Math.log(x1 / x0);
  const py = (value) => height - bottom - ((height - bottom - 10) * Math.log(Math.max(value, y0) / y0)) / Math.log(y1 / y0);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "plot" });
  for (const value of ticks(x0, x1)) {
    root.append(svg("line", { x1: px(value), x2: px(value), y1: 10, y2: height - bottom, class: "grid" }));
    root.append(svg("text", { x: px(value), y: height - bottom + 14, "text-anchor": "middle" }, x.format(value)));
  }
  for (const value of ticks(y0, y1)) {
    root.append(svg("line", { x1: left, x2: width - 12, y1: py(value), y2: py(value), class: "grid" }));
    root.append(svg("text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, y.format(value)));
  }
  root.append(svg("text", { x: (width + left) / 2, y: height - 4, "text-anchor": "middle", class: "axis" }, x.label));
  root.append(svg("text", { x: 12, y: height / 2, "text-anchor": "middle", class: "axis", transform: `rotate(-90 12 ${height / 2})` }, y.label));
  return { root, px, py };
}

const marker = (name, x, y, title, bad) =>
  svg("g", { class: `k${name % COLOURS}`, transform: `translate(${x} ${y})` },
    svg("title", {}, title), bad ? svg("circle", { r: 8, class: "ring" }) : null, svg("path", { d: SHAPES[name % SHAPES.length] }));
const path = (points, kind) => svg("path", { d: points.map(([x, y], index) => `${index ? "L" : "M"}${x},${y}`).join(""), class: kind });
const panel = (title, drawing) => html("figure", { class: "panel" }, html("figcaption", {}, title), drawing);
