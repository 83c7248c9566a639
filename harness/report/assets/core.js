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

const figures = (value, digits = 3) => {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  return Math.abs(value) >= 1e6 ? value.toExponential(Math.min(digits - 1, 1)).replace(".0e", "e").replace("e+", "e") : String(+value.toPrecision(digits));
};
const ratio = (value) => `${value < 10 ? value.toFixed(2) : figures(value)}×`;
// Powers of ten on an axis, from 10⁴ on and below 0.01 with their exponent.
const power = (value) => {
  const exponent = Math.log10(value), whole = Math.round(exponent);
  if (Math.abs(exponent - whole) > 1e-9 || (whole > -3 && whole < 4)) return figures(value, 2);
  return `10${[...String(whole)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[+digit])).join("")}`;
};
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
  const isFigure = (cell) => (cell instanceof Node ? cell.classList.contains("n") : /^[-–\d]/.test(String(cell)));
  const right = heads.map((_, place) => place > 0 && rows.length > 0 && rows.every((cells) => cells[place] === "" || isFigure(cells[place])));
  const side = (place) => (right[place] ? { class: "n" } : {});
  const head = html("tr", {}, ...heads.map((text, place) => html("th", { scope: "col", ...side(place) }, text)));
  const body = rows.map((cells) =>
    html("tr", {}, html("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((cell, place) => (cell instanceof Node ? cell : html("td", side(place + 1), String(cell))))),
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

// Round values of a logarithmic axis: powers of ten, or of two for bytes, with steps between where it is short.
function ticks(low, high, base) {
  const found = [], log = (value) => Math.log(value) / Math.log(base), long = log(high / low);
  const leads = base === 2 ? [1] : long < 0.7 ? [1, 1.5, 2, 3, 4, 5, 6, 7, 8] : long < 1.5 ? [1, 2, 5] : [1];
  for (let power = Math.floor(log(low)); power <= Math.ceil(log(high)); power++) for (const lead of leads) found.push(lead * base ** power);
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const step = Math.ceil(inside.length / 6);
  return inside.filter((_, index) => index % step === 0);
}

// Logarithmic axes over the positive values given; returns the drawing and where a value stands.
function plot({ xs, ys, x, y, label }) {
  const [width, height, left, top, bottom] = [360, 240, 62, 24, 34];
  const spread = (values) => {
    const kept = values.filter((value) => value > 0 && isFinite(value));
    const low = Math.min(...kept), high = Math.max(...kept);
    return low < high ? [low / 1.15, high * 1.15] : [low / 2, high * 2];
  };
  const [x0, x1] = spread(xs), [y0, y1] = spread(ys);
  const px = (value) => left + ((width - left - 12) * Math.log(value / x0)) / Math.log(x1 / x0);
  const py = (value) => height - bottom - ((height - bottom - top) * Math.log(Math.max(value, y0) / y0)) / Math.log(y1 / y0);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "plot" });
  for (const value of ticks(x0, x1, x.base || 10)) {
    root.append(svg("line", { x1: px(value), x2: px(value), y1: top, y2: height - bottom, class: "grid" }));
    root.append(svg("text", { x: px(value), y: height - bottom + 14, "text-anchor": "middle" }, x.format(value)));
  }
  for (const value of ticks(y0, y1, y.base || 10)) {
    root.append(svg("line", { x1: left, x2: width - 12, y1: py(value), y2: py(value), class: "grid" }));
    root.append(svg("text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, y.format(value)));
  }
  root.append(svg("text", { x: (width + left) / 2, y: height - 4, "text-anchor": "middle", class: "axis" }, x.label));
  root.append(svg("text", { x: 0, y: 12, class: "axis" }, y.label));
  return { root, px, py };
}

const marker = (name, x, y, title, bad) =>
  svg("g", { class: `k${name % COLOURS}`, transform: `translate(${x} ${y})` },
    svg("title", {}, title), bad ? svg("circle", { r: 8, class: "ring" }) : null, svg("path", { d: SHAPES[name % SHAPES.length] }));
const path = (points, kind) => svg("path", { d: points.map(([x, y], index) => `${index ? "L" : "M"}${x},${y}`).join(""), class: kind });
const panel = (title, drawing) => html("figure", { class: "panel" }, html("figcaption", {}, title), drawing);
