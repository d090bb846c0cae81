"use strict";
/* Pairs of models on the same test images: differences with their intervals. */

const Pairs = (() => {
  const BEGINNING = 15;

  function section(all) {
    const heading = el("h3", {}, "Pairs on the same images");
    if (!all.length) return [heading, empty("No two models were run on the same images.")];
    let [shown, found] = [BEGINNING, all];
    const figure = Charts.chart("Difference of AUROC, with 95 % intervals", () => chart(found.slice(0, shown)));
    figure.id = "differences";
    const search = el("input", { type: "search", oninput: () => show(BEGINNING) });
    const find = el("label", { class: "field wide" }, el("span", {}, "find, such as a model's name"), search);
    const more = el("button", { type: "button", onclick: () => show(Infinity) });
    function show(most) {
      const words = search.value.toLowerCase().split(/\s+/);
      found = all.filter((one) => words.every((word) => `${one.title} ${one.category}`.toLowerCase().includes(word)));
      shown = most;
      more.hidden = found.length <= shown;
      more.textContent = `Show all ${found.length}`;
      figure.redraw();
    }
    show(BEGINNING);
    const words =
      "Both models saw the same test images, so what is hard about an image cancels out. Where the interval holds 0 (grey), the test images do not tell the two apart.";
    const filter = all.length > BEGINNING ? el("div", { class: "controls" }, find) : null;
    return [heading, el("p", {}, words), filter, figure, more].filter(Boolean);
  }

  const clear = (one) => !missing(one.low) && !missing(one.high) && (one.low > 0 || one.high < 0);

  function chart(some) {
    const width = Charts.narrow() ? 20 : 44;
    const values = some.map((one) => one.difference);
    const bars = {
      type: "bar",
      orientation: "h",
      y: some.map((_, i) => i),
      x: values,
      marker: { color: some.map((one) => Theme.colour(clear(one) ? "accent" : "neutral")) },
      error_x: Charts.bars(
        values,
        some.map((one) => one.low),
        some.map((one) => one.high),
        { color: Theme.colour("text") },
      ),
      customdata: some.map(
        (one) => `${Charts.text(one.title)}<br>${number(one.difference)}${interval(one.low, one.high)}`,
      ),
      hovertemplate: "%{customdata}<extra></extra>",
    };
    return {
      traces: [bars],
      layout: {
        bargap: 0.45,
        xaxis: { title: { text: "difference of AUROC" }, zeroline: true },
        yaxis: {
          tickvals: some.map((_, i) => i),
          ticktext: some.map((one) => Charts.wrapped(one.title, width)),
          autorange: "reversed",
          showgrid: false,
          zeroline: false,
        },
      },
      height: 90 + some.length * (Charts.narrow() ? 44 : 30),
      head: ["pair", "category", "difference", "95 % interval"],
      rows: some.map((one) => [one.title, one.category, number(one.difference), interval(one.low, one.high).trim()]),
    };
  }

  return { section };
})();
