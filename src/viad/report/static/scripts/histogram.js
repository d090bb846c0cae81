"use strict";
/* The scores of all test images: good ones above the line, defective ones below it, and the threshold across. */

const Histogram = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT, BINS] = [600, 110, 60];

  function shape(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function counts(scores, low, high) {
    const bins = new Array(BINS).fill(0);
    for (const score of scores) bins[Math.min(BINS - 1, Math.floor(((score - low) / (high - low)) * BINS))] += 1;
    return bins;
  }

  /** Draw it into `svg`; returns a function that moves the threshold. */
  function draw(svg, scores, low, high) {
    const middle = HEIGHT / 2;
    const [good, bad] = [0, 1].map((label) =>
      counts(
        scores.filter((one) => one[1] === label).map((one) => one[0]),
        low,
        high,
      ),
    );
    const most = Math.max(...good, ...bad, 1);
    const bars = [good, bad].flatMap((bins, label) =>
      bins.map((count, i) => {
        const height = (count / most) * (middle - 4);
        const y = label ? middle + 1 : middle - 1 - height;
        return shape("rect", {
          x: (i * WIDTH) / BINS,
          y,
          width: WIDTH / BINS - 1,
          height,
          class: label ? "bad" : "good",
        });
      }),
    );
    const line = shape("line", { y1: 0, y2: HEIGHT, class: "limit" });
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.replaceChildren(...bars, shape("line", { x1: 0, x2: WIDTH, y1: middle, y2: middle, class: "base" }), line);
    return (threshold) => {
      const x = Math.min(WIDTH, Math.max(0, ((threshold - low) / (high - low)) * WIDTH));
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    };
  }

  return { draw, empty: () => document.createElementNS(SVG, "svg") };
})();
