"use strict";
/* Plain tables: of strings, scrolling inside themselves where they are too wide, and begun where they are long. */

const AT_FIRST = 20; // rows
const OF_MODELS = new Set(["model", "detector"]); // headings of columns whose cells get a model's colour

function plainTable(head, rows) {
  if (!rows.length) return empty("There is nothing in this table yet.");
  const numeric = head.map((_, i) => rows.every((row) => missing(row[i]) || /^[-−+]?\d/.test(row[i])));
  const cell = (value, i) => {
    const text = missing(value) ? "" : String(value);
    const attributes = { class: numeric[i] ? "number" : null, scope: i ? null : "row" };
    return el(i ? "td" : "th", attributes, OF_MODELS.has(head[i]) ? Colours.named(text) : text);
  };
  const line = (row) => el("tr", {}, row.map(cell));
  const heading = head.map((text, i) => el("th", { class: numeric[i] ? "number" : null, scope: "col" }, text));
  const body = el("tbody", {}, rows.slice(0, AT_FIRST).map(line));
  const table = el("table", {}, el("thead", {}, el("tr", {}, heading)), body);
  const box = el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "table" }, table);
  if (rows.length <= AT_FIRST) return box;
  const more = el("button", { type: "button", class: "quiet", onclick: () => all() }, `Show all ${rows.length} rows`);
  function all() {
    more.remove();
    body.append(...rows.slice(AT_FIRST).map(line));
  }
  return el("div", { class: "long" }, box, more);
}
