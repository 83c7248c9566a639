// The charts: accuracy, heat maps, time and bandwidth, memory against time, first call. Redrawn when a filter changes.
const MAX_PANELS = 12;
const REGIONS = ["loss", "target", "other", "ignored", "probability", "weight"];

// Names a group of cells by those of its first four facets that differ among ``all``; the pass where none does.
function naming(all, carried) {
  const seen = [0, 1, 2, 3].map((axis) => new Set(all.map((facets) => facets.split(" ")[axis])));
  const told = [0, 1, 2, 3].filter((axis) => seen[axis].size > 1);
  return (facets) => (told.length ? told : [3]).map((axis) => carried.facets[axis][+facets.split(" ")[axis]]).join(" · ");
}

function legend(names, shown) {
  return html("ul", { class: "legend" }, ...[...shown].sort((a, b) => a - b).map((name) =>
    html("li", {}, svg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", class: `k${name % COLOURS}`, "aria-hidden": "true" }, svg("path", { d: SHAPES[name % SHAPES.length] })), names[name])));
}

function panels(target, found, shown, names) {
  if (!found.length) return target.replaceChildren(html("p", { class: "dim" }, "Nothing to show for these filters."));
  return target.replaceChildren(legend(names, shown), ...grid(found));
}

function grid(found) {
  const rest = found.length - MAX_PANELS;
  const more = rest > 0 ? [html("p", { class: "dim" }, `… and ${rest} more; narrow the filters to see them.`)] : [];
  return [html("div", { class: "panels" }, ...found.slice(0, MAX_PANELS)), ...more];
}

// One regime at a time: budgets of different regimes lie orders of magnitude apart, and one line cannot show them all.
function regimeOf(errors, kept, carried, box, wanted) {
  const places = [...new Set(kept.map((i) => errors.facets[i].split(" ")[4]))].sort((a, b) => a - b);
  const usual = places.find((place) => carried.facets[4][+place] === "normal") || places[0];
  const chosen = wanted || (places.includes(box.value) || box.value === "every" ? box.value : usual);
  const options = [...places.map((place) => [place, carried.facets[4][+place]]), ["every", "every regime"]];
  box.replaceChildren(...options.map(([value, text]) => html("option", { value, ...(value === chosen ? { selected: "" } : {}) }, text)));
  box.disabled = wanted !== "";
  return chosen;
}

function accuracy(target, carried, errors, wanted, box) {
  const inside = errors.ulp.map((_, i) => i).filter((i) => errors.ulp[i] > 0 && matches(errors.facets[i].split(" "), wanted));
  const regime = regimeOf(errors, inside, carried, box, wanted[4]);
  const kept = inside.filter((i) => regime === "every" || errors.facets[i].split(" ")[4] === regime);
  const shown = new Set(), found = [], rows = [];
  const name = naming(kept.map((i) => errors.facets[i].split(" ").slice(0, 3).concat("0").join(" ")), carried);
  const order = (key) => [key.split("|")[0], String(REGIONS.indexOf(key.split("|")[1]) + 1)].join(" ");
  const parts = [...groups(kept, (i) => `${errors.facets[i].split(" ").slice(0, 3).join(" ")} 0|${errors.region[i]}`)].sort((a, b) => (order(a[0]) < order(b[0]) ? -1 : 1));
  for (const [key, indices] of parts) {
    const facets = key.split("|")[0], region = key.split("|")[1], several = parts.some(([other]) => other.split("|")[0] !== facets);
    const title = several ? `${name(facets)} · ${region}` : region;
    found.push(panel(title, drawErrors(title, errors, indices, carried)));
    for (const own of groups(indices, (i) => `${errors.name[i]} ${errors.classes[i]}`).values()) {
      const worst = largestError(errors, own);
      shown.add(errors.name[worst]);
      rows.push([carried.names[errors.name[worst]], title, errors.classes[worst], figures(errors.ulp[worst]), figures(errors.budget[worst]), own.some((i) => errors.bad[i]) ? "yes" : ""]);
    }
  }
  panels(target, found, shown, carried.names);
  if (found.length) target.append(asTable(["implementation", "where", "classes", "error, ulp", "budget, ulp", "at fault"], rows, "Accuracy"));
}

const largestError = (errors, own) => own.reduce((a, b) => (errors.ulp[b] > errors.ulp[a] ? b : a));

function drawErrors(title, errors, indices, carried) {
  const budgets = indices.filter((i) => errors.budget[i] > 0);
  const { root, px, py } = plot({
    xs: indices.map((i) => errors.classes[i]), ys: [...indices.map((i) => errors.ulp[i]), ...budgets.map((i) => errors.budget[i])],
    x: { label: "classes", format: power }, y: { label: "error, ulp", format: power }, label: `Error against classes: ${title}`,
  });
  const band = [...groups(budgets, (i) => errors.classes[i])].sort((a, b) => a[0] - b[0]).map(([classes, own]) => {
    const values = own.map((i) => errors.budget[i]);
    return [px(classes), py(Math.min(...values)), py(Math.max(...values))];
  });
  if (band.length > 1) root.append(path([...band.map(([x, low]) => [x, low]), ...band.map(([x, , high]) => [x, high]).reverse()], "band"), path(band.map(([x, low]) => [x, low]), "budget"));
  else for (const [x, low] of band) root.append(svg("line", { x1: x - 24, x2: x + 24, y1: low, y2: low, class: "budget" }));
  const names = [...new Set(indices.map((i) => errors.name[i]))].sort((a, b) => a - b);
  for (const own of groups(indices, (i) => `${errors.name[i]} ${errors.classes[i]}`).values()) {
    const worst = largestError(errors, own), bad = own.some((i) => errors.bad[i]);
    const text = `${carried.names[errors.name[worst]]}: ${figures(errors.ulp[worst])} ulp, budget ${figures(errors.budget[worst])}, ${errors.classes[worst]} classes`;
    // side by side: implementations often have the very same error
    const aside = (names.indexOf(errors.name[worst]) - (names.length - 1) / 2) * Math.min(7, 40 / names.length);
    root.append(marker(errors.name[worst], px(errors.classes[worst]) + aside, py(errors.ulp[worst]), text, bad));
  }
  return root;
}

// Blue and orange stay apart for every kind of colour blindness; the figure stands in each tile.
function shade(speedup) {
  const strength = Math.min(1, Math.abs(Math.log2(speedup)) / 2);
  return `background: color-mix(in srgb, var(${speedup >= 1 ? "--faster" : "--slower"}) ${Math.round(12 + 60 * strength)}%, var(--ground))`;
}

function scale() {
  const marks = [[0.25, "≤ 0.25×"], [0.5, "0.5×"], [1, "1×"], [2, "2×"], [4, "≥ 4×"]];
  return html("ul", { class: "scale", "aria-label": "Colour scale of the speedup" }, ...marks.map(([value, text]) => html("li", { style: shade(value) }, text)));
}

function heat(target, carried, cells, kept) {
  const timed = kept.filter((i) => cells.speedup[i] > 0 && !cells.base[i]);
  const found = [], several = new Set(timed.map((i) => cells.facets[i].split(" ")[0])).size > 1;
  for (const [key, indices] of [...groups(timed, (i) => `${cells.facets[i].split(" ")[0]} ${cells.name[i]}`)]) {
    const [loss, name] = key.split(" ").map(Number), title = several ? `${carried.names[name]} · ${carried.facets[0][loss]}` : carried.names[name];
    const batches = [...new Set(indices.map((i) => cells.batch[i]))].sort((a, b) => a - b);
    const sizes = [...new Set(indices.map((i) => cells.classes[i]))].sort((a, b) => a - b);
    const place = groups(indices, (i) => `${cells.batch[i]} ${cells.classes[i]}`);
    const rows = batches.map((batch) => [String(batch), ...sizes.map((size) => {
      const own = place.get(`${batch} ${size}`);
      if (!own) return html("td", { class: "n dim" }, "");
      const mean = Math.exp(own.reduce((sum, i) => sum + Math.log(cells.speedup[i]), 0) / own.length);
      return html("td", { class: "n tile", style: shade(mean), title: `${own.length} cells` }, ratio(mean));
    })]);
    found.push(html("figure", { class: "panel" }, html("figcaption", {}, title), table(["batch ╲ classes", ...sizes.map(String)], rows, `Speedup of ${title}`)));
  }
  target.replaceChildren(...(found.length ? [scale(), html("div", { class: "panels" }, ...found)] : [html("p", { class: "dim" }, "Nothing was timed for these filters.")]));
}

function time(target, carried, cells, kept) {
  const timed = kept.filter((i) => cells.time[i] > 0), shown = new Set(), times = [], rates = [], rows = [];
  const name = naming(timed.map((i) => cells.facets[i]), carried);
  for (const [key, indices] of groups(timed, (i) => `${cells.facets[i].split(" ").slice(0, 4).join(" ")}|${cells.batch[i]}`)) {
    if (new Set(indices.map((i) => cells.classes[i])).size < 2) continue;
    const [facets, batch] = key.split("|"), title = `${name(facets)} · batch ${batch}`;
    const ceiling = carried.ceilings[carried.facets[1][+facets.split(" ")[1]]];
    const lines = [...groups(indices, (i) => cells.name[i])].sort((a, b) => b[0] - a[0]).map(([own, places]) => ({ name: own, points: alongClasses(cells, places) }));
    times.push(panel(title, drawTimes(title, cells, indices, lines, carried)));
    if (indices.some((i) => cells.bandwidth[i] > 0)) rates.push(panel(title, drawRates(title, cells, indices, lines, carried, ceiling)));
    for (const line of lines) for (const p of line.points) {
      shown.add(line.name);
      rows.push([carried.names[line.name], title, p.size, duration(p.time), duration(p.floor), rate(p.rate || null)]);
    }
  }
  panels(target, times, shown, carried.names);
  if (rates.length) target.append(html("h3", {}, "Least traffic ÷ time"), ...grid(rates));
  if (times.length) target.append(asTable(["implementation", "where", "classes", "time", "least possible", "least traffic ÷ time"], rows, "Time against classes"));
}

// One implementation's cells by classes; the interval where one cell stands behind the point.
function alongClasses(cells, indices) {
  return [...groups(indices, (i) => cells.classes[i])].sort((a, b) => a[0] - b[0]).map(([size, same]) => {
    const i = same[0], floors = same.map((j) => cells.floor[j]).filter((value) => value > 0);
    const known = same.length === 1 && cells.low[i] > 0 && cells.high[i] > 0 && !cells.base[i];
    return {
      size, time: median(same.map((j) => cells.time[j])), rate: median(same.map((j) => cells.bandwidth[j] || 0)),
      floor: floors.length ? Math.min(...floors) : null,
      ends: known ? [cells.time[i] * cells.speedup[i] / cells.high[i], cells.time[i] * cells.speedup[i] / cells.low[i]] : null,
    };
  });
}

function drawTimes(title, cells, indices, lines, carried) {
  const floor = alongClasses(cells, indices).filter((p) => p.floor);
  const { root, px, py } = plot({
    xs: indices.map((i) => cells.classes[i]), ys: [...indices.map((i) => cells.time[i]), ...floor.map((p) => p.floor)],
    x: { label: "classes", format: power }, y: { label: "time of one call", format: duration }, label: `Time against classes: ${title}`,
  });
  if (floor.length) root.append(path(floor.map((p) => [px(p.size), py(p.floor)]), "limit"));
  for (const { name, points } of lines) {
    root.append(svg("g", { class: `k${name % COLOURS}` }, path(points.map((p) => [px(p.size), py(p.time)]), "series")));
    for (const p of points) {
      if (p.ends) root.append(svg("g", { class: `k${name % COLOURS}` }, svg("line", { x1: px(p.size), x2: px(p.size), y1: py(p.ends[0]), y2: py(p.ends[1]) })));
      const told = p.ends ? ` (${duration(p.ends[0])} to ${duration(p.ends[1])})` : "";
      root.append(marker(name, px(p.size), py(p.time), `${carried.names[name]}: ${duration(p.time)}${told}, ${p.size} classes`));
    }
  }
  return root;
}

function drawRates(title, cells, indices, lines, carried, ceiling) {
  const xs = indices.map((i) => cells.classes[i]), moved = indices.map((i) => cells.bandwidth[i]).filter((value) => value > 0);
  const { root, px, py } = plot({ xs, ys: [...moved, ...(ceiling ? [ceiling] : [])], x: { label: "classes", format: power }, y: { label: "least traffic ÷ time", format: rate }, label: `Bandwidth against classes: ${title}` });
  if (ceiling) root.append(path([Math.min(...xs), Math.max(...xs)].map((size) => [px(size), py(ceiling)]), "limit"));
  for (const { name, points } of lines) {
    const known = points.filter((p) => p.rate > 0);
    root.append(svg("g", { class: `k${name % COLOURS}` }, path(known.map((p) => [px(p.size), py(p.rate)]), "series")));
    for (const p of known) root.append(marker(name, px(p.size), py(p.rate), `${carried.names[name]}: ${rate(p.rate)}, ${p.size} classes`));
  }
  return root;
}

function pareto(target, carried, cells, kept, box) {
  const usable = kept.filter((i) => cells.time[i] > 0 && cells.peak[i] > 0);
  const size = (shape) => shape.split("x").reduce((product, part) => product * +part, 1);
  const shapes = [...new Set(usable.map((i) => cells.shape[i]))].sort((a, b) => size(b) - size(a));
  const chosen = shapes.includes(box.value) ? box.value : shapes[0];
  box.replaceChildren(...shapes.map((shape) => html("option", shape === chosen ? { selected: "" } : {}, shape)));
  const shown = new Set(), found = [], rows = [];
  const here = usable.filter((i) => cells.shape[i] === chosen), name = naming(here.map((i) => cells.facets[i]), carried);
  for (const [key, indices] of groups(here, (i) => cells.facets[i].split(" ").slice(0, 4).join(" "))) {
    const title = name(key);
    const points = [...groups(indices, (i) => cells.name[i])].map(([name, own]) => ({ name, time: median(own.map((i) => cells.time[i])), peak: Math.max(...own.map((i) => cells.peak[i])) }));
    const { root, px, py } = plot({ xs: points.map((p) => p.time), ys: points.map((p) => p.peak), x: { label: "time", format: duration }, y: { label: "peak memory", format: bytes, base: 2 }, label: `Memory against time: ${chosen}, ${title}` });
    const front = points.filter((p) => !points.some((o) => o !== p && o.time <= p.time && o.peak <= p.peak && (o.time < p.time || o.peak < p.peak))).sort((a, b) => a.time - b.time);
    root.append(path(front.map((p) => [px(p.time), py(p.peak)]), "limit"));
    for (const p of points) {
      shown.add(p.name);
      root.append(marker(p.name, px(p.time), py(p.peak), `${carried.names[p.name]}: ${duration(p.time)}, ${bytes(p.peak)}`));
      rows.push([carried.names[p.name], title, duration(p.time), bytes(p.peak), front.includes(p) ? "yes" : ""]);
    }
    found.push(panel(title, root));
  }
  panels(target, found, shown, carried.names);
  if (found.length) target.append(asTable(["implementation", "where", "time", "peak memory", "on the line"], rows, "Memory against time"));
}

function first(target, carried, cells, kept) {
  const told = [...groups(kept.filter((i) => cells.first[i] > 0), (i) => cells.name[i])].sort((a, b) => a[0] - b[0]);
  if (!told.length) return target.replaceChildren(html("p", { class: "dim" }, "No first call was measured for these filters."));
  const values = told.map(([name, own]) => [name, median(own.map((i) => cells.first[i])), Math.max(...own.map((i) => cells.first[i]))]);
  const top = Math.max(...values.map(([, value]) => value)), low = Math.min(...values.map(([, value]) => value)) / 2;
  const rows = values.map(([name, value, worst]) => [carried.names[name], html("td", { class: "meter" }, html("span", { style: `width: ${(100 * Math.log(value / low)) / Math.log(top / low)}%`, class: `k${name % COLOURS}` })), duration(value), duration(worst)]);
  return target.replaceChildren(table(["implementation", "logarithmic", "median", "longest"], rows, "First call"));
}
