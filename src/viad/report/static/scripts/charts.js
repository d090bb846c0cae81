"use strict";
/* Charts, drawn when they come near the screen, in the colours of the theme.

Plotly is large, so it is loaded with the first chart. A chart has its numbers as a table too. */

const Charts = (() => {
  const drawn = new Set();
  let plotly = null;

  function load() {
    plotly ??= new Promise((resolve, reject) => {
      document.head.append(el("script", { src: "plotly.min.js", onload: resolve, onerror: reject }));
    });
    return plotly;
  }

  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target.parentElement)),
    { rootMargin: "300px" },
  );

  /** A figure. `build()` gives {traces, layout, height, head, rows}, and is asked again when something changes. */
  function chart(title, build) {
    const plot = el("div", {
      class: "plot",
      role: "img",
      "aria-label": `Chart: ${title}. Its numbers are in the table below it.`,
    });
    const numbers = el("details", { ontoggle: () => fillNumbers(figure) }, el("summary", {}, "Numbers"));
    const save = el("button", { type: "button", class: "quiet", onclick: () => download(figure) }, "Save picture");
    const figure = el(
      "figure",
      { class: "chart" },
      el("figcaption", {}, title),
      plot,
      el("div", { class: "below" }, numbers, save),
    );
    figure.build = build;
    figure.redraw = () => {
      if (drawn.has(figure)) draw(figure);
      fillNumbers(figure);
    };
    observer.observe(plot);
    return figure;
  }

  async function draw(figure) {
    const plot = figure.querySelector(".plot");
    observer.unobserve(plot);
    drawn.add(figure);
    try {
      await load();
    } catch {
      plot.replaceChildren(
        empty("This chart needs the file plotly.min.js, which is not beside this page. Copy the whole folder."),
      );
      return;
    }
    const { traces, layout, height } = figure.build();
    plot.style.minHeight = `${height ?? 360}px`;
    await Plotly.react(
      plot,
      traces,
      { ...themed(layout ?? {}), height: height ?? 360 },
      { displayModeBar: false, responsive: true },
    );
    figure.dataset.drawn = "yes";
  }

  function fillNumbers(figure) {
    const details = figure.querySelector("details");
    if (!details.open) return;
    const { head, rows } = figure.build();
    details.replaceChildren(details.firstElementChild, plainTable(head, rows));
  }

  async function download(figure) {
    const name = figure
      .querySelector("figcaption")
      .textContent.replace(/[^\w]+/g, "-")
      .slice(0, 60);
    await draw(figure);
    await Plotly.downloadImage(figure.querySelector(".plot"), { format: "svg", filename: name });
  }

  function themed(layout) {
    const [text, line, muted, surface] = ["text", "line", "muted", "surface"].map(Theme.colour);
    const axis = {
      gridcolor: line,
      zerolinecolor: muted,
      linecolor: line,
      tickcolor: line,
      fixedrange: true,
      automargin: true,
    };
    const polar = layout.polar && {
      bgcolor: surface,
      radialaxis: { gridcolor: line, linecolor: line, ...layout.polar.radialaxis },
      angularaxis: { gridcolor: line, linecolor: line, ...layout.polar.angularaxis },
    };
    return {
      margin: { l: 56, r: 12, t: 12, b: 56 },
      legend: { orientation: "h", x: 0, y: -0.2, yanchor: "top", font: { color: text } },
      hoverlabel: { bgcolor: surface, bordercolor: muted, font: { color: text } },
      dragmode: false, // a finger on a chart scrolls the page
      ...layout,
      paper_bgcolor: surface,
      plot_bgcolor: surface,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
      polar,
    };
  }

  /** Text for a chart, where Plotly would take tags for markup. */
  const text = (value) => String(value).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  /** The same in lines of about `width` letters. */
  function wrapped(value, width) {
    const lines = [""];
    for (const word of String(value).split(/\s+/)) {
      if (lines.at(-1) && (lines.at(-1) + word).length >= width) lines.push(word);
      else lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
    }
    return lines.map(text).join("<br>");
  }

  const narrow = () => document.documentElement.clientWidth < 640;

  /** Error bars from a value's interval; none where it has none. */
  function bars(values, low, high, more) {
    const width = (end, sign) =>
      values.map((value, i) => (missing(end[i]) || missing(value) ? 0 : Math.max(0, sign * (end[i] - value))));
    return {
      type: "data",
      symmetric: false,
      array: width(high, 1),
      arrayminus: width(low, -1),
      thickness: 1.2,
      width: 3,
      ...more,
    };
  }

  Theme.onChange(() => drawn.forEach((figure) => figure.redraw()));

  return { chart, text, wrapped, narrow, bars };
})();
