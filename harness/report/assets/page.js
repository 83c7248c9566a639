// The page at work: filters hide what does not match, tiles are added up again, charts are drawn again.
{
  const tally = read("tally"), carried = read("figures");
  const cells = columns(carried.cells), errors = columns(carried.errors);
  const marked = [...document.querySelectorAll("[data-f]")].map((node) => [node, node.dataset.f.split(" ")]);
  const targets = Object.fromEntries([...document.querySelectorAll("[data-chart]")].map((node) => [node.dataset.chart, node]));
  const symbols = { bad: "✗", declared: "†", ok: "✓", none: "–" };

  const count = (wanted) => {
    const found = new Map();
    for (const [name, check, loss, device, dtype, pass, regime, status, number] of tally.counts) {
      if (!matches([loss, device, dtype, pass, regime], wanted)) continue;
      const key = check < 0 ? `${name} ${dtype} ${regime}` : `${name} ${check}`;
      if (!found.has(key)) found.set(key, new Map());
      found.get(key).set(status, (found.get(key).get(status) || 0) + number);
    }
    return found;
  };

  const paint = (tile, statuses) => {
    const sums = { bad: 0, declared: 0, ok: 0, none: 0 };
    for (const [status, number] of statuses) sums[tally.kinds[status]] += number;
    const total = Object.values(sums).reduce((sum, number) => sum + number, 0);
    const name = Object.keys(sums).find((key) => sums[key]) || "none";
    const text = total ? `${symbols[name]} ${sums[name]}${sums[name] === total ? "" : ` of ${total}`}` : "";
    (tile.querySelector("a") || tile).textContent = text;
    tile.className = total ? name : "empty";
    tile.title = [...statuses].map(([status, number]) => `${number} ${tally.statuses[status]}`).join(", ");
  };

  const limit = (id, factor) => {
    const text = document.getElementById(id).value;
    return text === "" || !isFinite(+text) ? null : +text * factor;
  };

  const charts = (wanted) => {
    const every = wanted.every((value) => value === "");
    const kept = cells.name.map((_, i) => i).filter((i) => every || matches(cells.facets[i].split(" "), wanted));
    choose(targets.choose, carried, cells, kept, { memory: limit("limit-memory", 2 ** 20), ulp: limit("limit-ulp", 1) });
    accuracy(targets.accuracy, carried, errors, wanted, document.getElementById("accuracy-regime"));
    heat(targets.heat, carried, cells, kept);
    time(targets.time, carried, cells, kept);
    pareto(targets.pareto, carried, cells, kept, document.getElementById("pareto-shape"));
    first(targets.first, carried, cells, kept);
  };

  const apply = () => {
    const wanted = wantedNow();
    for (const [node, places] of marked) node.hidden = !matches(places, wanted);
    const found = count(wanted);
    for (const tile of document.querySelectorAll("[data-tile]")) paint(tile, found.get(tile.dataset.tile) || new Map());
    for (const group of document.querySelectorAll(".group, .verdicts")) {
      const inside = [...group.querySelectorAll("[data-f]")];
      group.hidden = inside.length > 0 && inside.every((node) => node.hidden);
    }
    charts(wanted);
  };

  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const list = target && target.closest("details");
    if (list) list.open = true;
  };

  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
  for (const box of [...boxes, ...document.querySelectorAll(".limits input, .limits select")]) box.addEventListener("change", apply);
  window.addEventListener("hashchange", reveal);
  reveal();
  apply(); // a browser may have kept the choices of an earlier visit
  document.documentElement.dataset.ready = [started, performance.now()].map(Math.round).join(" "); // ms: parsed, drawn
}
