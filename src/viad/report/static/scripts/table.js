"use strict";
/* The table of all experiments: sorting, filters, groups of columns, export. */

const ExperimentTable = (() => {
  const SELECTS = { dataset: "dataset", category: "category", model: "model", condition: "condition" };
  const chosen = { text: "", caveats: "" };
  let table = null;
  let count = null;
  let search = null;

  const haystack = (row) =>
    ["experiment", "category", "dataset", "model", "learning_type", "backbone", "image_size", "condition", "seed"]
      .map((field) => row[field] ?? "")
      .concat(row.caveats.map(Hints.title))
      .join(" ")
      .toLowerCase();

  function passes(row) {
    const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
    const marked = { "": true, without: !row.caveats.length }[chosen.caveats] ?? row.caveats.includes(chosen.caveats);
    const selected = Object.keys(SELECTS).every((field) => !chosen[field] || String(row[field]) === chosen[field]);
    return marked && selected && (!words.length || words.every((word) => haystack(row).includes(word)));
  }

  const refresh = () => table.setFilter(passes);

  function filters(rows, caveats) {
    search = el("input", { type: "search", id: "search", oninput: () => choose("text", search.value) });
    const boxes = Object.entries(SELECTS).map(([field, label]) => {
      const one = select(label, [["", "all"], ...distinct(rows.map((row) => row[field]))], (value) =>
        choose(field, value),
      );
      one.box.id = `filter-${field}`;
      return one.label;
    });
    const options = [["", "all"], ["without", "without caveats"], ...caveats.map((name) => [name, Hints.title(name)])];
    const caveatBox = caveats.length ? select("caveats", options, (value) => choose("caveats", value)).label : null;
    return el(
      "div",
      { class: "controls" },
      el("label", { class: "field wide" }, el("span", {}, "find"), search),
      boxes,
      caveatBox,
    );
  }

  function choose(name, value) {
    chosen[name] = value;
    refresh();
  }

  function groups() {
    const box = (name, label, shown) =>
      el(
        "label",
        { class: "check" },
        el("input", {
          type: "checkbox",
          "data-group": name,
          checked: shown,
          onchange: (event) => show(name, event.target.checked),
        }),
        label,
      );
    return el(
      "div",
      { class: "checks", role: "group", "aria-label": "Columns" },
      "Columns:",
      box("settings", "settings", false),
      box("pixels", "pixels", false),
      box("cost", "time and memory", true),
    );
  }

  const show = (group, shown) =>
    Columns.fields(group).forEach((field) => (shown ? table.showColumn(field) : table.hideColumn(field)));

  function exported() {
    const file = URL.createObjectURL(new Blob([Columns.csv(table.getData("active"))], { type: "text/csv" }));
    el("a", { href: file, download: "experiments.csv" }).click();
    URL.revokeObjectURL(file);
  }

  function byKeyboard(holder) {
    holder.querySelectorAll(".tabulator-col.tabulator-sortable").forEach((heading) => {
      heading.tabIndex = 0;
      heading.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        heading.click();
      });
    });
  }

  function build(holder, rows) {
    const hidden = new Set([...Columns.fields("settings"), ...Columns.fields("pixels")]);
    const columns = Columns.all().map((column) => ({ ...column, visible: !hidden.has(column.field) }));
    table = new Tabulator(holder, {
      data: rows,
      columns,
      layout: "fitColumns",
      renderVertical: "basic",
      movableColumns: false,
      resizableColumnFit: false,
      columnDefaults: { resizable: false },
      pagination: true,
      paginationSize: 25,
      paginationSizeSelector: [10, 25, 100, true],
      langs: { default: { pagination: { page_size: "rows a page", all: "all" } } },
      placeholder: "No experiment matches. Clear a filter.",
    });
    table.on("dataFiltered", (_filters, left) => (count.textContent = `${left.length} of ${rows.length} rows`));
    table.on("tableBuilt", () => {
      byKeyboard(holder);
      holder.dataset.built = "yes";
    });
  }

  function start() {
    const rows = VIAD.experiments;
    if (!rows.length) return fill("experiments").append(empty("No experiment has been run yet."));
    const caveats = distinct(rows.flatMap((row) => row.caveats));
    const holder = el("div", { id: "table" });
    count = el("p", { class: "count", "aria-live": "polite" }, `${rows.length} of ${rows.length} rows`);
    const save = el("button", { type: "button", id: "csv", onclick: exported }, "Save these rows as CSV");
    const legend = caveats.length ? [el("h3", {}, "What the caveats mean"), Hints.legend(caveats)] : [];
    fill("experiments").append(
      filters(rows, caveats),
      el("div", { class: "line" }, count, groups(), save),
      holder,
      ...legend,
    );
    build(holder, rows);
  }

  /** Leave only this experiment in the table. */
  function find(experiment) {
    Object.keys(chosen).forEach((name) => (chosen[name] = ""));
    document.querySelectorAll("#experiments .controls select").forEach((box) => (box.value = ""));
    search.value = experiment;
    choose("text", experiment);
  }

  return { start, find };
})();
