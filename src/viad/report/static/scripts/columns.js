"use strict";
/* The columns of the experiments table: how a value is shown, and by what it is sorted. */

const Columns = (() => {
  const INTERVALS = ["auroc", "pg2", "pb2"];

  /** By value, in either direction with what is missing last. */
  function byValue(a, b, _rowA, _rowB, _column, direction) {
    if (missing(a) || missing(b)) return (Number(missing(a)) - Number(missing(b))) * (direction === "asc" ? 1 : -1);
    return typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function column(field, title, hint, more) {
    return {
      field,
      title,
      sorter: byValue,
      minWidth: 76,
      headerWordWrap: true,
      hozAlign: "right",
      headerHozAlign: "right",
      titleFormatter: () => el("span", hint ? { "data-hint": hint } : {}, title),
      formatter: (cell) => number(cell.getValue()),
      headerSortStartingDir: "desc",
      ...more,
    };
  }

  const withInterval = (field, title, hint) =>
    column(field, title, hint, {
      minWidth: 142,
      formatter: (cell) => {
        const row = cell.getData();
        return missing(row[field])
          ? ""
          : el("span", {}, number(row[field]), el("small", {}, interval(row[`${field}_low`], row[`${field}_high`])));
      },
    });

  const lower = (field, title, hint, digits, more) =>
    column(field, title, hint, {
      headerSortStartingDir: "asc",
      formatter: (cell) => number(cell.getValue(), digits),
      ...more,
    });

  const words = (field, title, more) =>
    column(field, title, null, {
      hozAlign: "left",
      headerHozAlign: "left",
      headerSortStartingDir: "asc",
      formatter: (cell) => (missing(cell.getValue()) ? "" : document.createTextNode(cell.getValue())),
      ...more,
    });

  const experiment = () =>
    words("experiment", "experiment", {
      frozen: true,
      minWidth: Charts.narrow() ? 124 : 195,
      cssClass: "first",
      formatter: (cell) =>
        el(
          "div",
          {},
          el("span", { class: "name" }, cell.getValue()),
          cell.getData().caveats.length ? el("span", { class: "badges" }, cell.getData().caveats.map(Hints.badge)) : null,
        ),
    });

  const GROUPS = {
    settings: () => [
      words("dataset", "dataset"),
      words("learning_type", "learning type", { minWidth: 120 }),
      words("backbone", "backbone", { minWidth: 150 }),
      lower("image_size", "image size", "Side of the images, in pixels", 0),
      words("condition", "condition", { minWidth: 130 }),
      lower("seed", "seed", "What all random draws start from", 0),
    ],
    pixels: () => [
      column("pixel_auroc", "pixel AUROC", "AUROC over all pixels of the test images; only where masks exist"),
      column(
        "aupro",
        "AUPRO",
        "Overlap with the marked regions, averaged over regions, up to 30 % false pixels; only where masks exist",
      ),
    ],
    cost: () => [
      lower("latency_ms", "latency, ms", "Milliseconds for one image, from the decoded image to score and map", 1),
      lower("train_seconds", "training, s", "Seconds of training", 0),
      lower("memory_mb", "memory, MB", "Peak memory while predicting, in megabytes", 0),
    ],
  };

  function all() {
    const model = words("model", "model", { minWidth: 112, formatter: (cell) => Colours.named(cell.getValue()) });
    const narrow = Charts.narrow(); // a phone shows three columns at once: the third shall be a result
    return [
      experiment(),
      words("category", "category", { minWidth: 84 }),
      ...(narrow ? [] : [model]),
      ...GROUPS.settings(),
      withInterval("auroc", "AUROC", "How often a defective image scores above a good one, and the 95 % interval"),
      withInterval(
        "pg2",
        "PG2",
        "Presorted good: share of good parts that need no second look, missing 2 % of the defective ones",
      ),
      withInterval(
        "pb2",
        "PB2",
        "Presorted bad: share of defective parts rejected unseen, rejecting 2 % of the good ones",
      ),
      lower("false_positive_rate", "false alarms", "Share of good test images above the threshold", 3),
      lower("false_negative_rate", "misses", "Share of defective test images not above the threshold", 3),
      ...GROUPS.pixels(),
      ...GROUPS.cost(),
      ...(narrow ? [model] : []),
    ];
  }

  const fields = (group) => GROUPS[group]().map((one) => one.field);

  /** Rows as comma-separated values: every number in full, with the ends of its interval. */
  function csv(rows) {
    const names = ["experiment", "category", "model", ...fields("settings")];
    names.push(...INTERVALS.flatMap((field) => [field, `${field}_low`, `${field}_high`]));
    names.push("false_positive_rate", "false_negative_rate", ...fields("pixels"), ...fields("cost"), "caveats");
    const cell = (value) => {
      const text = missing(value) ? "" : Array.isArray(value) ? value.join(" ") : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return (
      [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(",")).join("\n") +
      "\n"
    );
  }

  return { all, fields, csv };
})();
