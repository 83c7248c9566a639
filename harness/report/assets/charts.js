// The charts: accuracy, heat maps, time and bandwidth, memory against time, first call. Redrawn when a filter changes.
const MAX_PANELS = 8;

function facetsText(facets, carried) {
  return (places) => places.map((axis) => carried.facets[axis][+facets.split(" ")[axis]]).join(" · ");
}

function legend(names, shown) {
  return html("ul", { class: "legend" }, ...[...shown].sort((a, b) => a - b).map((name) =>
    html("li", {}, svg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", class: `k${name % COLOURS}`, "aria-hidden": "true" }, svg("path", { d: SHAPES[name % SHAPES.length] })), names[name])));
}

function panels(target, found, shown, names) {
  if (!found.length) return target.replaceChildren(html("p", { class: "dim" }, "Nothing to show for these filters."));
  const rest = found.length - MAX_PANELS;
  const more = rest > 0 ? html("p", { class: "dim" }, `… and ${rest} more; narrow the filters to see them.`) : "";
  return target.replaceChildren(legend(names, shown), html("div", { class: "panels" }, ...found.slice(0, MAX_PANELS)), more);
}

function accuracy(target, carried, errors, wanted) {
  const kept = errors.ulp.map((_, i) => i).filter((i) => matches(errors.facets[i].split(" "), wanted));
  const shown = new Set(), found = [], rows = [];
  for (const [key, indices] of groups(kept, (i) => `${errors.facets[i].split(" ").slice(1, 3).join(" ")}|${errors.region[i]}`)) {
    const positive = indices.filter((i) => errors.ulp[i] > 0);
    if (!positive.length) continue;
    const title = `${facetsText(`0 ${key.split("|")[0]}`, carried)([1, 2])} · ${key.split("|")[1]}`;
    const budgets = positive.filter((i) => errors.budget[i] > 0);
    const { root, px, py } = plot({
      xs: positive.map((i) => errors.classes[i]), ys: [...positive.map((i) => errors.ulp[i]), ...budgets.map((i) => errors.budget[i])],
      x: { label: "classes", format: (v) => figures(v) }, y: { label: "error, ulp", format: (v) => figures(v, 2) }, label: `Error against classes: ${title}`,
    });
    const band = [...groups(budgets, (i) => errors.classes[i])].sort((a, b) => a[0] - b[0]).map(([classes, own]) => {
      const values = own.map((i) => errors.budget[i]);
      return [px(classes), py(Math.min(...values)), py(Math.max(...values))];
    });
    for (const [x, low, high] of band) root.append(svg("line", { x1: x, x2: x, y1: low + 1, y2: high - 1, class: "budgets" }, svg("title", {}, "budgets")));
    if (band.length > 1) {
      root.append(path([...band.map(([x, low]) => [x, low]), ...band.map(([x, , high]) => [x, high]).reverse()], "band"));
      root.append(path(band.map(([x, low]) => [x, low]), "budget"));
    }
    for (const own of groups(positive, (i) => `${errors.name[i]} ${errors.classes[i]}`).values()) {
      const worst = own.reduce((a, b) => (errors.ulp[b] > errors.ulp[a] ? b : a));
      const name = errors.name[worst], bad = own.some((i) => errors.bad[i]);
      const text = `${carried.names[name]}: ${figures(errors.ulp[worst])} ulp, budget ${figures(errors.budget[worst])}, ${errors.classes[worst]} classes`;
      shown.add(name);
      rows.push([carried.names[name], title, errors.classes[worst], figures(errors.ulp[worst]), figures(errors.budget[worst]), bad ? "yes" : ""]);
      root.append(marker(name, px(errors.classes[worst]), py(errors.ulp[worst]), text, bad));
    }
    found.push(panel(title, root));
  }
  panels(target, found, shown, carried.names);
  if (found.length) target.append(asTable(["implementation", "dtype, region", "classes", "error, ulp", "budget, ulp", "at fault"], rows, "Accuracy"));
}

// Blue and orange stay apart for every kind of colour blindness; the figure stands in each tile.
function shade(speedup) {
  const strength = Math.min(1, Math.abs(Math.log2(speedup)) / 2);
  return `background: color-mix(in srgb, var(${speedup >= 1 ? "--faster" : "--slower"}) ${Math.round(12 + 60 * strength)}%, var(--ground))`;
}

function heat(target, carried, cells, kept) {
  const timed = kept.filter((i) => cells.speedup[i] > 0 && !cells.base[i]);
  const found = [];
  for (const [name, indices] of [...groups(timed, (i) => cells.name[i])].sort((a, b) => a[0] - b[0])) {
    const batches = [...new Set(indices.map((i) => cells.batch[i]))].sort((a, b) => a - b);
    const sizes = [...new Set(indices.map((i) => cells.classes[i]))].sort((a, b) => a - b);
    const place = groups(indices, (i) => `${cells.batch[i]} ${cells.classes[i]}`);
    const rows = batches.map((batch) => [String(batch), ...sizes.map((size) => {
      const own = place.get(`${batch} ${size}`);
      if (!own) return html("td", { class: "n dim" }, "");
      const mean = Math.exp(own.reduce((sum, i) => sum + Math.log(cells.speedup[i]), 0) / own.length);
      return html("td", { class: "n tile", style: shade(mean), title: `${own.length} cells` }, `${figures(mean)}×`);
    })]);
    found.push(html("figure", { class: "panel" }, html("figcaption", {}, carried.names[name]), table(["batch ╲ classes", ...sizes.map(String)], rows, `Speedup of ${carried.names[name]}`)));
  }
  target.replaceChildren(found.length ? html("div", { class: "panels broad" }, ...found) : html("p", { class: "dim" }, "Nothing was timed for these filters."));
}

function time(target, carried, cells, kept) {
  const timed = kept.filter((i) => cells.time[i] > 0), shown = new Set(), found = [], rows = [];
  for (const [key, indices] of groups(timed, (i) => `${cells.facets[i].split(" ").slice(0, 4).join(" ")} ${cells.batch[i]}`)) {
    if (new Set(indices.map((i) => cells.classes[i])).size < 2) continue;
    const batch = key.split(" ")[4], title = `${facetsText(key, carried)([1, 2, 3])} · batch ${batch}`;
    const device = carried.facets[1][+key.split(" ")[1]], ceiling = carried.ceilings[device];
    const spans = (i) => (cells.low[i] > 0 && cells.high[i] > 0 && !cells.base[i] ? [cells.time[i] * cells.speedup[i] / cells.high[i], cells.time[i] * cells.speedup[i] / cells.low[i]] : null);
    const xs = indices.map((i) => cells.classes[i]), floors = indices.filter((i) => cells.floor[i] > 0);
    const left = plot({ xs, ys: [...indices.map((i) => cells.time[i]), ...floors.map((i) => cells.floor[i])], x: { label: "classes", format: (v) => figures(v) }, y: { label: "time", format: duration }, label: `Time against classes: ${title}` });
    const moved = indices.filter((i) => cells.bandwidth[i] > 0);
    const right = moved.length ? plot({ xs, ys: [...moved.map((i) => cells.bandwidth[i]), ...(ceiling ? [ceiling] : [])], x: { label: "classes", format: (v) => figures(v) }, y: { label: "least traffic ÷ time", format: rate }, label: `Bandwidth against classes: ${title}` }) : null;
    const floor = [...groups(floors, (i) => cells.classes[i])].sort((a, b) => a[0] - b[0]);
    if (floor.length) left.root.append(path(floor.map(([size, own]) => [left.px(size), left.py(Math.min(...own.map((i) => cells.floor[i])))]), "limit"));
    if (ceiling && right) right.root.append(path([Math.min(...xs), Math.max(...xs)].map((size) => [right.px(size), right.py(ceiling)]), "limit"));
    for (const [name, own] of groups(indices, (i) => cells.name[i])) {
      const points = [...groups(own, (i) => cells.classes[i])].sort((a, b) => a[0] - b[0]).map(([size, same]) => ({ size, same, value: median(same.map((i) => cells.time[i])), moved: median(same.map((i) => cells.bandwidth[i] || 0)) }));
      shown.add(name);
      left.root.append(svg("g", { class: `k${name % COLOURS}` }, path(points.map((p) => [left.px(p.size), left.py(p.value)]), "series")));
      if (right) right.root.append(svg("g", { class: `k${name % COLOURS}` }, path(points.filter((p) => p.moved > 0).map((p) => [right.px(p.size), right.py(p.moved)]), "series")));
      for (const p of points) {
        const ends = p.same.length === 1 ? spans(p.same[0]) : null;
        if (ends) left.root.append(svg("g", { class: `k${name % COLOURS}` }, svg("line", { x1: left.px(p.size), x2: left.px(p.size), y1: left.py(ends[0]), y2: left.py(ends[1]) })));
        const text = `${carried.names[name]}: ${duration(p.value)}${ends ? ` (${duration(ends[0])} to ${duration(ends[1])})` : ""}, ${p.size} classes`;
        left.root.append(marker(name, left.px(p.size), left.py(p.value), text));
        if (right && p.moved > 0) right.root.append(marker(name, right.px(p.size), right.py(p.moved), `${carried.names[name]}: ${rate(p.moved)}, ${p.size} classes`));
        rows.push([carried.names[name], title, p.size, duration(p.value), duration(Math.min(...p.same.map((i) => cells.floor[i] || Infinity))), rate(p.moved || null)]);
      }
    }
    found.push(html("figure", { class: "panel wide" }, html("figcaption", {}, title), left.root, right ? right.root : null));
  }
  panels(target, found, shown, carried.names);
  if (found.length) target.append(asTable(["implementation", "where", "classes", "time", "least possible", "least traffic ÷ time"], rows, "Time against classes"));
}

function pareto(target, carried, cells, kept, box) {
  const usable = kept.filter((i) => cells.time[i] > 0 && cells.peak[i] > 0);
  const size = (shape) => shape.split("x").reduce((product, part) => product * +part, 1);
  const shapes = [...new Set(usable.map((i) => cells.shape[i]))].sort((a, b) => size(b) - size(a));
  const chosen = shapes.includes(box.value) ? box.value : shapes[0];
  box.replaceChildren(...shapes.map((shape) => html("option", shape === chosen ? { selected: "" } : {}, shape)));
  const shown = new Set(), found = [], rows = [];
  for (const [key, indices] of groups(usable.filter((i) => cells.shape[i] === chosen), (i) => cells.facets[i].split(" ").slice(0, 4).join(" "))) {
    const title = facetsText(key, carried)([1, 2, 3]);
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
