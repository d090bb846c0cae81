"use strict";
/* Studies: a question, its tables, its curves, and which of its experiments are done. */

const Studies = (() => {
  function start() {
    const all = VIAD.studies;
    if (!all.length) return fill("studies").append(empty("No study has been run. `viad study NAME` runs one."));
    const list =
      all.length > 1
        ? el(
            "ul",
            { class: "toc" },
            all.map((one) => el("li", {}, el("a", { href: `#study-${one.name}` }, prose(split(one.question)[0])))),
          )
        : null;
    fill("studies").append(...[list, ...all.map(study)].filter(Boolean));
  }

  /** A question, and what is said after it. */
  function split(text) {
    const end = text.search(/[?.](\s|$)/) + 1 || text.length;
    return [text.slice(0, end), text.slice(end).trim()];
  }

  function study({ name, question, states, tables, curves }) {
    const [heading, more] = split(question);
    return el(
      "article",
      { class: "study", id: `study-${name}` },
      el("h3", {}, prose(heading)),
      more ? el("p", {}, prose(more)) : null,
      tables.length || curves.length ? null : empty("There are no results to show yet."),
      tables.flatMap((table) => [el("h4", {}, table.title), plainTable(table.head, table.rows)]),
      curves.length
        ? el(
            "div",
            { class: "curves" },
            curves.map((curve) => Charts.chart(curve.title, () => curveChart(curve))),
          )
        : null,
      statesOf(states),
    );
  }

  function statesOf(states) {
    const [failed, open, done] = ["failed", "missing", "done"].map((state) =>
      states.filter((one) => one.state === state),
    );
    const summary = [`${done.length} of ${states.length} experiments done`];
    if (failed.length) summary.push(`${failed.length} failed`);
    if (open.length) summary.push(`${open.length} missing`);
    const list = (some) => el("ul", {}, some.map(stateLine));
    const folded = (title, some) => (some.length ? el("details", {}, el("summary", {}, title), list(some)) : null);
    return el(
      "div",
      { class: "states" },
      el("p", {}, `${summary.join(", ")}.`),
      failed.length ? list(failed) : null,
      folded(`The ${open.length} missing`, open),
      folded(`The ${done.length} done`, done),
    );
  }

  function stateLine({ experiment, state, reason, log }) {
    return el(
      "li",
      { "data-state": state },
      el("span", { class: `state ${state}` }, state),
      " ",
      el("span", { class: "name" }, experiment),
      reason ? `: ${reason}` : "",
      log ? el("small", {}, ` (log: ${log})`) : null,
    );
  }

  function curveChart(curve) {
    const traces = curve.lines.flatMap((line, i) => (curve.categorical ? points(curve, line, i) : band(line, i)));
    const intervals = curve.lines.some((line) => (line.low ?? []).some((value) => !missing(value)));
    const categories = curve.categorical ? [...new Set(curve.lines.flatMap((line) => line.x))] : null;
    return {
      traces,
      layout: {
        xaxis: {
          title: { text: Charts.wrapped(curve.x, Charts.narrow() ? 30 : 70) },
          zeroline: false,
          ...(categories ? ticks(categories) : exactTicks(curve)),
        },
        yaxis: { title: { text: Charts.text(curve.y) } },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        margin: { l: 56, r: 12, t: 30 + 20 * Math.ceil(curve.lines.length / (Charts.narrow() ? 2 : 4)), b: 56 },
        hovermode: "closest",
      },
      height: 330 + 20 * Math.ceil(curve.lines.length / (Charts.narrow() ? 2 : 4)),
      head: ["line", curve.x, curve.y, ...(intervals ? ["95 % interval"] : [])],
      rows: curve.lines.flatMap((line) =>
        line.x.map((x, i) => [
          line.name,
          String(x),
          number(line.y[i]),
          ...(intervals ? [interval(line.low?.[i], line.high?.[i]).trim()] : []),
        ]),
      ),
    };
  }

  // Numeric places, so that the lines' error bars can stand beside each other.
  const ticks = (categories) => ({
    tickvals: categories.map((_, i) => i),
    ticktext: categories.map((name) => Charts.wrapped(name, Charts.narrow() ? 8 : 14)),
    range: [-0.5, categories.length - 0.5],
    showgrid: false,
    zeroline: false,
  });

  /** Ticks at the values that were measured, where they are few and not crowded. */
  function exactTicks(curve) {
    const values = [...new Set(curve.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const span = values.at(-1) - values[0];
    const close = values.some((value, i) => i && value - values[i - 1] < span / 12);
    return values.length < 9 && !close ? { tickvals: values, ticktext: values.map(String) } : {};
  }

  function hover(line) {
    return {
      customdata: line.x.map(
        (x, i) =>
          `${Charts.text(line.name)}<br>${Charts.text(x)}: ${number(line.y[i])}${interval(line.low?.[i], line.high?.[i])}`,
      ),
      hovertemplate: "%{customdata}<extra></extra>",
    };
  }

  function points(curve, line, i) {
    const { colour, symbol } = Colours.of(line.name, i);
    const categories = [...new Set(curve.lines.flatMap((one) => one.x))];
    const shift = ((i + 0.5) / curve.lines.length - 0.5) * 0.6;
    return {
      x: line.x.map((name) => categories.indexOf(name) + shift),
      y: line.y,
      name: Charts.text(line.name),
      mode: "markers",
      marker: { color: colour, symbol, size: 9 },
      error_y: Charts.bars(line.y, line.low ?? [], line.high ?? [], { color: colour }),
      ...hover(line),
    };
  }

  function band(line, i) {
    const { colour, symbol, dash } = Colours.of(line.name, i);
    const known = line.x.map((_, k) => k).filter((k) => !missing(line.low?.[k]) && !missing(line.high?.[k]));
    const at = (list) => known.map((k) => list[k]);
    const shade = {
      x: [...at(line.x), ...at(line.x).reverse()],
      y: known.length ? [...at(line.high), ...at(line.low).reverse()] : [],
      fill: "toself",
      fillcolor: `${colour}26`,
      line: { width: 0 },
      mode: "lines",
      hoverinfo: "skip",
      showlegend: false,
    };
    const curve = {
      x: line.x,
      y: line.y,
      name: Charts.text(line.name),
      mode: "lines+markers",
      line: { color: colour, dash },
      marker: { color: colour, symbol, size: 8 },
      ...hover(line),
    };
    return known.length > 1 ? [shade, curve] : [curve];
  }

  return { start };
})();
