"""Style and script of the report, written into the page: it needs no network."""

STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --quiet: #4a4a4a; --line: #b8b8b8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1rem; background: #fff;
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; border-top: 2px solid var(--ink); padding-top: 1rem;
  margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p, li { max-width: 75ch; }
.quiet, figcaption { color: var(--quiet); font-size: .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; }
figure img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line);
  display: block; }
.large { width: min(17rem, 100%); }
.small { width: 7.5rem; }
.map:focus, polyline:focus { outline: 3px solid #0072B2; outline-offset: 2px; }
.value { font-variant-numeric: tabular-nums; min-height: 1.5em; font-size: .9rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child, .text, caption { text-align: left; }
@media (min-width: 45rem) { td.text:last-child { white-space: normal; } }
th button { font: inherit; font-weight: 600; background: none; border: 0;
  padding: .2rem; cursor: pointer; color: inherit; text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
svg text { font-size: 11px; text-anchor: middle; fill: var(--ink);
  stroke: #fff; stroke-width: 3px; paint-order: stroke; }
svg text.layer { font-size: 12px; font-weight: 600; }
polyline:hover { stroke: #000; }
.key span { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em;
  border: 1px solid var(--line); }
"""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const sign = v => (v > 0 ? "+" : "") + Number(v).toPrecision(4);

for (const figure of document.querySelectorAll("[data-map]")) {
  const grid = data.maps[figure.dataset.map];
  const image = figure.querySelector("img");
  const out = figure.querySelector(".value");
  const height = grid.length, width = grid[0].length;
  let row = Math.floor(height / 2), column = Math.floor(width / 2);
  const tell = () => {
    const v = grid[row][column];
    out.textContent = v === null ? "" : `row ${row}, column ${column}: ${sign(v)}`;
  };
  const point = event => {
    const box = image.getBoundingClientRect();
    const inside = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
    column = inside((event.clientX - box.left) / box.width, width);
    row = inside((event.clientY - box.top) / box.height, height);
    tell();
  };
  image.addEventListener("pointermove", point);
  image.addEventListener("pointerdown", point);
  image.addEventListener("focus", tell);
  image.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1],
      ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    row = Math.min(height - 1, Math.max(0, row + step[0]));
    column = Math.min(width - 1, Math.max(0, column + step[1]));
    tell();
  });
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = button.closest("table");
    const k = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const key = row => {
      const cell = row.children[k];
      return cell.dataset.value === undefined ? cell.textContent
        : Number(cell.dataset.value);
    };
    const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
    [...body.rows].sort((a, b) => order(key(a), key(b)))
      .forEach(row => body.append(row));
  });
}
document.documentElement.dataset.ready = "yes";
"""
