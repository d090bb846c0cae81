"use strict";
/* What quality costs: AUROC against time. */

function pareto(charts) {
  const heading = el("h3", {}, "Quality against time");
  if (!charts.length) return [heading, empty("No times were measured.")];
  let current = charts[0];
  const figure = Charts.chart("AUROC and milliseconds an image: up and to the left is better", () =>
    paretoChart(current),
  );
  figure.id = "pareto";
  const box = select(
    "data",
    charts.map((chart, i) => [i, chart.title]),
    (i) => {
      current = charts[i];
      figure.redraw();
    },
  );
  const words =
    "The line joins the models that no other beats in AUROC and time: each is the best for those who have that much time. A large mark: no other beats it in AUROC, time and memory at once.";
  return [
    heading,
    el("p", {}, words),
    charts.length > 1 ? el("div", { class: "controls" }, box.label) : el("p", { class: "note" }, current.title),
    figure,
  ];
}

/** From the quickest on, each model that is better than all quicker ones. */
function paretoLine(points) {
  const known = points.filter((point) => !missing(point.latency_p50_ms) && !missing(point.image_auroc));
  const order = known.sort((a, b) => a.latency_p50_ms - b.latency_p50_ms || b.image_auroc - a.image_auroc);
  let best = -Infinity;
  return order.filter((point) => point.image_auroc > best && ((best = point.image_auroc), true));
}

function paretoChart({ points }) {
  const front = paretoLine(points);
  const line = {
    x: front.map((point) => point.latency_p50_ms),
    y: front.map((point) => point.image_auroc),
    mode: "lines",
    line: { color: Theme.colour("muted"), width: 1.5, dash: "dot" },
    hoverinfo: "skip",
    showlegend: false,
  };
  const times = points.map((point) => point.latency_p50_ms).filter((time) => time > 0);
  const log = Math.max(...times) > 5 * Math.min(...times);
  const narrow = Charts.narrow();
  return {
    traces: [line, ...points.map(paretoPoint)],
    layout: {
      xaxis: {
        title: { text: "milliseconds an image" },
        ...(log ? { type: "log", tickvals: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] } : {}),
      },
      yaxis: { title: { text: "AUROC" } },
      annotations: paretoLabels(front, log),
      legend: {
        x: 0,
        y: -0.22,
        yanchor: "top",
        orientation: "h",
        ...(narrow ? { entrywidth: 0.48, entrywidthmode: "fraction", font: { size: 10 } } : {}),
      },
      margin: { l: 56, r: 12, t: 20, b: 56 },
    },
    height: 390 + 22 * Math.ceil(points.length / (narrow ? 2 : 6)),
    head: ["model", "AUROC", "milliseconds an image", "memory, MB", "front"],
    rows: points.map((point) => [
      point.model,
      number(point.image_auroc),
      number(point.latency_p50_ms, 1),
      number(point.peak_memory_megabytes, 0),
      point.front ? "yes" : "",
    ]),
  };
}

function paretoPoint(point) {
  const { colour, symbol } = Colours.of(point.model);
  const memory = missing(point.peak_memory_megabytes) ? "" : `<br>${number(point.peak_memory_megabytes, 0)} MB`;
  return {
    x: [point.latency_p50_ms],
    y: [point.image_auroc],
    name: Charts.text(point.model),
    mode: "markers",
    marker: { color: colour, symbol, size: point.front ? 12 : 9, opacity: point.front ? 1 : 0.85 },
    hovertemplate: `${Charts.text(point.model)}<br>AUROC %{y:.3f}<br>%{x:.1f} ms${memory}<extra></extra>`,
  };
}

/** Names of the models on the line: up and to the left, where there is no model, and higher where they would crowd. */
function paretoLabels(front, log) {
  const place = (point) => (log ? Math.log10(point.latency_p50_ms) : point.latency_p50_ms);
  const span = place(front.at(-1) ?? {}) - place(front[0] ?? {}) || 1;
  let crowd = 0;
  return front.map((point, i) => {
    crowd = i && (place(point) - place(front[i - 1])) / span < 0.25 ? crowd + 1 : 0;
    return {
      x: place(point),
      y: point.image_auroc,
      text: Charts.text(point.model),
      ax: -24,
      ay: -16 - 15 * (crowd % 4),
      arrowwidth: 0.8,
      arrowhead: 0,
      arrowcolor: Theme.colour("muted"),
      standoff: 6,
      font: { color: Theme.colour("text") },
    };
  });
}
