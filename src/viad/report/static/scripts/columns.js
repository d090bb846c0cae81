"use strict";
/* The columns of the experiments table: how a value is shown, and by what it is sorted. */

const Columns = (() => {
  const LEVELS = { pixels: ["pixel"], cost: ["cost", "training"] }; // of the metrics, by group of columns
  const GROUPED = Object.values(LEVELS).flat();
  const INTERVALS = VIAD.columns.filter((metric) => metric.interval).map((metric) => metric.field);

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

  /** A metric of the catalogue, with its interval if it has one. */
  const metric = ({ field, title, hint, better, digits, interval: hasInterval }) =>
    column(field, title, hint, {
      minWidth: hasInterval ? 142 : 76,
      headerSortStartingDir: better === "lower" ? "asc" : "desc",
      formatter: (cell) => {
        const [row, value] = [cell.getData(), cell.getValue()];
        if (!hasInterval || missing(value)) return number(value, digits);
        const ends = interval(row[`${field}_low`], row[`${field}_high`]);
        return el("span", {}, number(value, digits), el("small", {}, ends));
      },
    });

  const metricsAt = (levels) => VIAD.columns.filter((one) => levels.includes(one.level)).map(metric);

  const whole = (field, title, hint) =>
    column(field, title, hint, {
      headerSortStartingDir: "asc",
      formatter: (cell) => number(cell.getValue(), 0),
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
      whole("image_size", "image size", "Side of the images, in pixels"),
      words("condition", "condition", { minWidth: 130 }),
      whole("seed", "seed", "What all random draws start from"),
    ],
    pixels: () => metricsAt(LEVELS.pixels),
    cost: () => metricsAt(LEVELS.cost),
  };

  function all() {
    const model = words("model", "model", { minWidth: 112, formatter: (cell) => Colours.named(cell.getValue()) });
    const narrow = Charts.narrow(); // a phone shows three columns at once: the third shall be a result
    return [
      experiment(),
      words("category", "category", { minWidth: 84 }),
      ...(narrow ? [] : [model]),
      ...GROUPS.settings(),
      ...VIAD.columns.filter((one) => !GROUPED.includes(one.level)).map(metric),
      ...GROUPS.pixels(),
      ...GROUPS.cost(),
      ...(narrow ? [model] : []),
    ];
  }

  const fields = (group) => GROUPS[group]().map((one) => one.field);

  /** Rows as comma-separated values: every number in full, with the ends of its interval. */
  function csv(rows) {
    const names = ["experiment", "category", "model", ...fields("settings")];
    for (const { field } of VIAD.columns)
      names.push(field, ...(INTERVALS.includes(field) ? [`${field}_low`, `${field}_high`] : []));
    names.push("caveats");
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
