"use strict";
/* Any two experiments: B minus A in the metrics that have intervals, for each category that both were tested on. */

const Difference = (() => {
  const METRICS = VIAD.columns.filter((metric) => metric.interval);
  const HELD = { backbone: "backbone", preset: "preset", image_size: "input size", condition: "condition", seed: "seed" };
  const LEAST = 3; // spokes that make a radar
  const chosen = { a: null, b: null, form: "bars" };
  let figure, boxB, said, caveats;

  function start() {
    const names = Choices.names.filter(Choices.hasPartners);
    if (!names.length) return fill("difference").append(empty("Two experiments on the same data are needed."));
    const first = VIAD.differences.find((one) => names.includes(one.a) && Choices.partners(one.a).includes(one.b));
    chosen.a = first ? first.a : names[0];
    const boxA = select("A", names, (name) => choose("a", name), chosen.a);
    boxB = select("B", Choices.partners(chosen.a), (name) => choose("b", name));
    boxA.box.id = "difference-a";
    boxB.box.id = "difference-b";
    chosen.b = first ? first.b : boxB.box.value;
    boxB.box.value = chosen.b;
    figure = Charts.chart("B minus A", build);
    figure.id = "difference-chart";
    said = el("p", { class: "note", "aria-live": "polite" });
    caveats = el("p", { class: "caveats" });
    const form = segmented(
      "Form of the chart",
      [
        ["bars", "Bars"],
        ["radar", "Radar"],
      ],
      (value) => choose("form", value),
    );
    fill("difference").append(el("div", { class: "controls pair" }, boxA.label, boxB.label, form), caveats, figure, said);
    show();
  }

  function choose(name, value) {
    chosen[name] = value;
    if (name === "a") {
      const options = Choices.partners(value);
      if (!options.includes(chosen.b)) chosen.b = options[0];
      fillSelect(boxB.box, options, chosen.b);
    }
    show();
  }

  function show() {
    figure.redraw();
    const pairs = Choices.common(chosen.a, chosen.b);
    const better = pairs.filter(([a, b]) => b.image_auroc > a.image_auroc).length;
    said.textContent = `B has the higher AUROC on ${better} of ${pairs.length} ${pairs.length === 1 ? "category" : "categories"}. These differences have no intervals; for pairs with intervals see above.${unlike(pairs[0])}`;
    const badges = (letter, name) => {
      const found = Choices.badges(name);
      return found ? [`${letter}: `, found, " "] : [];
    };
    caveats.replaceChildren(...badges("A", chosen.a), ...badges("B", chosen.b));
  }

  /** What the two differ in beside the detector, which a fair comparison holds. */
  function unlike([a, b]) {
    const found = Object.entries(HELD).filter(([field]) => a[field] !== b[field]);
    const words = found.map(([field, word]) => `${word} (A ${a[field]}, B ${b[field]})`);
    return words.length ? ` Not alike: ${words.join(", ")}.` : "";
  }

  /** [place, metric, difference] of all that can be compared. */
  function values() {
    const pairs = Choices.common(chosen.a, chosen.b);
    const places = pairs.map(([row]) => `${row.dataset} ${row.category}`);
    return METRICS.map(({ field, title }) => ({
      title,
      places,
      differences: pairs.map(([a, b]) => (missing(a[field]) || missing(b[field]) ? null : b[field] - a[field])),
    }));
  }

  function build() {
    const all = values();
    const chart = chosen.form === "radar" ? radar(all) : bars(all);
    const places = all[0].places;
    return {
      ...chart,
      head: ["data", ...all.map((one) => `${one.title}, B − A`)],
      rows: places.map((place, i) => [place, ...all.map((one) => number(one.differences[i]))]),
    };
  }

  function bars(all) {
    const traces = all.map(({ title, places, differences }, i) => ({
      type: "bar",
      orientation: "h",
      name: title,
      y: places.map((place) => Charts.wrapped(place, 16)),
      x: differences,
      marker: { color: Theme.colour(`metric-${i}`) },
      hovertemplate: `%{y}: ${title} %{x:+.3f}<extra></extra>`,
    }));
    return {
      traces,
      layout: {
        xaxis: { title: { text: "B − A" }, zeroline: true },
        yaxis: { autorange: "reversed", type: "category" },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
        margin: { l: 56, r: 12, t: 40, b: 56 },
      },
      height: 130 + 66 * all[0].places.length,
    };
  }

  /** A spoke for each category; with fewer than three, a spoke for each category and metric. */
  function radar(all) {
    const few = all[0].places.length < LEAST;
    const rings = few
      ? [
          {
            title: "B − A",
            places: all.flatMap((one) => one.places.map((place) => `${place} ${one.title}`)),
            differences: all.flatMap((one) => one.differences),
          },
        ]
      : all;
    const closed = (list) => [...list, list[0]];
    const far = Math.max(0.01, ...all.flatMap((one) => one.differences.map((value) => Math.abs(value ?? 0)))) * 1.1;
    const traces = rings.map(({ title, places, differences }, i) => ({
      type: "scatterpolar",
      mode: "lines+markers",
      name: title,
      theta: closed(places.map((place) => Charts.wrapped(place, 12))),
      r: closed(differences),
      connectgaps: true,
      line: { color: Theme.colour(`metric-${i}`) },
      hovertemplate: `%{theta}: ${title} %{r:+.3f}<extra></extra>`,
    }));
    const zero = {
      type: "scatterpolar",
      mode: "lines",
      name: "no difference",
      theta: traces[0].theta,
      r: traces[0].theta.map(() => 0),
      line: { color: Theme.colour("muted"), dash: "dot" },
      hoverinfo: "skip",
    };
    return {
      traces: [zero, ...traces],
      layout: {
        polar: { radialaxis: { range: [-far, far], nticks: 5, tickformat: "+.2f", angle: 90, tickangle: 90 } },
        legend: { orientation: "h", x: 0, y: -0.12, yanchor: "top" },
        margin: { l: 70, r: 70, t: 40, b: 40 },
      },
      height: 440,
    };
  }

  return { start };
})();
