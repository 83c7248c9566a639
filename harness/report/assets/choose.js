// Which one to use: the winner per shape under the limits typed in, from the cells that the filters leave.
function choose(target, carried, cells, kept, limits) {
  const found = [];
  const name = naming(kept.map((i) => cells.facets[i]), carried);
  const order = (a, b) => a[0].split(" ").slice(0, 4).join(" ").localeCompare(b[0].split(" ").slice(0, 4).join(" ")) || cells.classes[a[1][0]] - cells.classes[b[1][0]] || cells.batch[a[1][0]] - cells.batch[b[1][0]];
  for (const [key, indices] of [...groups(kept, (i) => `${cells.facets[i].split(" ").slice(0, 4).join(" ")} ${cells.shape[i]}`)].sort(order)) {
    const candidates = [...groups(indices, (i) => cells.name[i])].map(([name, own]) => candidate(name, own, cells)).filter((c) => keeps(c, limits));
    const where = [cells.shape[indices[0]], name(key)];
    if (!candidates.length) {
      found.push([...where, html("td", { class: "dim" }, "none"), "", "", "", "", "", ""]);
      continue;
    }
    candidates.sort((a, b) => b.speedup - a.speedup);
    const best = candidates[0], names = (list) => list.map((c) => carried.names[c.name]).join(", ");
    const front = candidates.filter((p) => !candidates.some((o) => o !== p && o.speedup >= p.speedup && o.peak <= p.peak && (o.speedup > p.speedup || o.peak < p.peak)));
    found.push([...where, html("td", { class: "best" }, carried.names[best.name]), candidates.length > 1 && best.low === null ? "not told (too few rounds)" : names(candidates.slice(1).filter((c) => c.speedup >= best.low)),
      ratio(best.speedup), duration(best.time), bytes(best.peak), figures(best.ulp), names(front)]);
  }
  const heads = ["shape", "where", "winner", "as fast", "speedup", "time", "peak", "ulp", "Pareto"];
  target.replaceChildren(found.length ? table(heads, found, "Winners") : html("p", { class: "dim" }, "Nothing was timed for these filters."));
}

// An implementation at its worst over the cells of one shape.
function candidate(name, own, cells) {
  const timed = own.filter((i) => cells.speedup[i] > 0);
  const known = (values) => values.filter((value) => value !== null);
  const slowest = timed.length ? timed.reduce((a, b) => (cells.speedup[b] < cells.speedup[a] ? b : a)) : null;
  const largest = (values) => (values.length ? Math.max(...values) : null);
  return {
    name, right: timed.length > 0 && own.every((i) => cells.right[i] === 2), speedup: slowest === null ? 0 : cells.speedup[slowest],
    low: slowest === null || !(cells.low[slowest] > 0) ? null : cells.low[slowest], time: largest(timed.map((i) => cells.time[i])),
    peak: largest(known(own.map((i) => cells.peak[i]))), ulp: largest(known(own.map((i) => cells.ulp[i]))),
  };
}

const keeps = (c, limits) =>
  c.right && (limits.memory === null || (c.peak !== null && c.peak <= limits.memory)) && (limits.ulp === null || (c.ulp !== null && c.ulp <= limits.ulp));
