"use strict";
/* Models against each other: means and ranks; pareto.js and pairs.js have the rest. */

const SPREAD =
  "After ± stands the spread (standard deviation) between categories and, after a slash, between seeds; a dash where there is only one.";

function showModels() {
  fill("models").append(
    el("h3", {}, "Means"),
    el("p", {}, SPREAD),
    plainTable(VIAD.models.head, VIAD.models.rows),
    ...ranks(VIAD.ranks),
    ...pareto(VIAD.pareto),
    ...Pairs.section(VIAD.differences),
  );
}

function ranks({ models, blocks, p, critical_difference: critical, words, figure }) {
  const heading = el("h3", {}, "Mean ranks");
  if (!models.length) return [heading, empty(words || "Ranks need several models that were all run on the same data.")];
  const rows = [...models].sort((a, b) => a.rank - b.rank).map((row) => [row.model, number(row.rank, 2)]);
  // As a picture, so that nothing in it can run; the dark theme turns its black lines white.
  const source = figure && `data:image/svg+xml;charset=utf-8,${encodeURIComponent(figure)}`;
  const picture =
    source &&
    el(
      "figure",
      { class: "ranks" },
      el("img", { src: source, alt: "Critical-difference diagram; the mean ranks are in the table." }),
    );
  const said = [
    `${blocks ?? "?"} test sets`,
    missing(p) ? null : `Friedman's p = ${number(p)}`,
    missing(critical) ? null : `critical difference ${number(critical, 2)}`,
  ].filter(Boolean);
  const numbers = [plainTable(["model", "mean rank (1 is best)"], rows), el("p", { class: "note" }, said.join(", "))];
  return [
    heading,
    el("p", {}, prose(words)),
    picture,
    ...(picture ? [el("details", {}, el("summary", {}, "Numbers"), numbers)] : numbers),
  ].filter(Boolean);
}
