"use strict";
// Filters: hide what does not match, and add up the tiles again from the counts that the page carries.
(() => {
  const tally = JSON.parse(document.getElementById("tally").textContent);
  const boxes = [...document.querySelectorAll("#filters select")];
  const marked = [...document.querySelectorAll("[data-f]")].map((node) => [node, node.dataset.f.split(" ")]);
  const symbols = { bad: "✗", declared: "†", ok: "✓", none: "–" };

  const matches = (places, wanted) =>
    wanted.every((value, axis) => value === "" || places[axis] === "*" || String(places[axis]) === value);

  function count(wanted) {
    const found = new Map();
    for (const [name, check, device, dtype, pass, regime, status, number] of tally.counts) {
      if (!matches([device, dtype, pass, regime], wanted)) continue;
      const key = check < 0 ? `${name} ${dtype} ${regime}` : `${name} ${check}`;
      if (!found.has(key)) found.set(key, new Map());
      found.get(key).set(status, (found.get(key).get(status) || 0) + number);
    }
    return found;
  }

  function draw(tile, statuses) {
    const groups = { bad: 0, declared: 0, ok: 0, none: 0 };
    for (const [status, number] of statuses) groups[tally.kinds[status]] += number;
    const total = Object.values(groups).reduce((sum, number) => sum + number, 0);
    const name = Object.keys(groups).find((key) => groups[key]) || "none";
    const text = total ? `${symbols[name]} ${groups[name]}${groups[name] === total ? "" : ` of ${total}`}` : "";
    (tile.querySelector("a") || tile).textContent = text;
    tile.className = total ? name : "empty";
    tile.title = [...statuses].map(([status, number]) => `${number} ${tally.statuses[status]}`).join(", ");
  }

  function apply() {
    const wanted = boxes.map((box) => box.value);
    for (const [node, places] of marked) node.hidden = !matches(places, wanted);
    const found = count(wanted);
    for (const tile of document.querySelectorAll("[data-tile]")) draw(tile, found.get(tile.dataset.tile) || new Map());
    for (const group of document.querySelectorAll(".group, .verdicts")) {
      const inside = [...group.querySelectorAll("[data-f]")];
      group.hidden = inside.length > 0 && inside.every((node) => node.hidden);
    }
  }

  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const list = target && target.closest("details");
    if (list) list.open = true;
  }

  for (const box of boxes) box.addEventListener("change", apply);
  window.addEventListener("hashchange", reveal);
  reveal();
  apply(); // a browser may have kept the choices of an earlier visit
})();
