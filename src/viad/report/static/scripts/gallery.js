"use strict";
/* Test images under a threshold that the reader moves. */

const Gallery = (() => {
  const STEPS = 1000;
  const VERDICTS = { 11: "caught", 10: "missed", "01": "false alarm", "00": "passed" };
  const state = { gallery: null, images: [], threshold: 0, low: 0, high: 1, form: "image" };
  const part = {};

  function start() {
    const all = VIAD.galleries;
    if (!all.length) return fill("images").append(empty("No pictures were put into this report."));
    const experiments = distinct(all.map((one) => one.experiment));
    const box = select("experiment", experiments, (name) => categories(name));
    part.category = select("category", [], (name) => open(box.box.value, name));
    box.box.id = "gallery-experiment";
    part.category.box.id = "gallery-category";
    const form = segmented(
      "What the pictures show",
      [
        ["image", "Image"],
        ["map", "Anomaly map"],
      ],
      toggle,
    );
    fill("images").append(el("div", { class: "controls" }, box.label, part.category.label, form), ...panel());
    categories(all[0].experiment);
    box.box.value = all[0].experiment;
  }

  function panel() {
    part.caveats = el("p", { class: "caveats" });
    part.svg = Histogram.empty();
    part.svg.setAttribute("aria-hidden", "true");
    part.slider = el("input", {
      type: "range",
      id: "threshold",
      "aria-label": "threshold",
      oninput: () => move(Number(part.slider.value)),
    });
    part.exact = el("input", {
      type: "number",
      id: "exact",
      step: "any",
      onchange: () => part.exact.value && move(Number(part.exact.value)),
    });
    part.reset = el(
      "button",
      { type: "button", id: "reset", onclick: () => move(initial(state.gallery)) },
      "Back to the experiment's threshold",
    );
    part.counts = el("p", { class: "counts", "aria-live": "polite" });
    part.grid = el("div", { class: "pictures" });
    part.scale = el(
      "p",
      { class: "scale", hidden: true },
      "anomaly map: low",
      el("i", { "aria-hidden": "true" }),
      "high. A mask, where there is one, is outlined in cyan.",
    );
    part.note = el("p", { class: "note" });
    const sides = el(
      "p",
      { class: "sides", "aria-hidden": "true" },
      el("span", {}, el("i", { class: "dot good" }), "good images (up)"),
      el("span", {}, el("i", { class: "dot bad" }), "defective images (down)"),
      el("span", {}, "score: low on the left, high on the right"),
    );
    const strip = el("div", { class: "strip" }, sides, part.svg, part.slider);
    return [
      part.caveats,
      strip,
      el(
        "div",
        { class: "line" },
        el("label", { class: "field" }, el("span", {}, "threshold"), part.exact),
        part.reset,
      ),
      part.counts,
      part.scale,
      part.grid,
      part.note,
    ];
  }

  function categories(experiment) {
    const names = VIAD.galleries.filter((one) => one.experiment === experiment).map((one) => one.category);
    fillSelect(part.category.box, names, names[0]);
    open(experiment, names[0]);
  }

  function open(experiment, category) {
    const gallery = VIAD.galleries.find((one) => one.experiment === experiment && one.category === category);
    const scores = gallery.scores.map((one) => one[0]);
    const [least, most] = [scores.reduce((a, b) => Math.min(a, b)), scores.reduce((a, b) => Math.max(a, b))];
    const margin = (most - least || 1) / 50;
    // From the highest score down, so that the threshold is a cut through the pictures.
    Object.assign(state, {
      gallery,
      low: least - margin,
      high: most + margin,
      images: [...gallery.images].sort((a, b) => b.score - a.score),
    });
    Object.assign(part.slider, { min: state.low, max: state.high, step: (state.high - state.low) / STEPS });
    part.line = Histogram.draw(part.svg, gallery.scores, state.low, state.high);
    part.caveats.replaceChildren(...[Choices.badges(experiment)].filter(Boolean));
    part.reset.hidden = missing(gallery.threshold);
    const none = missing(gallery.threshold)
      ? "This experiment has no threshold of its own: no good images were held out for one. "
      : "";
    part.note.textContent = none + (gallery.attribution ? `Images: ${gallery.attribution}` : "");
    pictures();
    move(initial(gallery));
  }

  const initial = (gallery) => (missing(gallery.threshold) ? (state.low + state.high) / 2 : gallery.threshold);

  function pictures() {
    part.grid.replaceChildren(
      ...state.images.map((one, i) =>
        el(
          "button",
          { type: "button", class: "picture", onclick: () => Enlarge.open(state.images, i, describe) },
          el("img", { loading: "lazy", width: 192, height: 192, alt: "" }),
          el("span", { class: "verdict" }),
          el(
            "span",
            { class: "about" },
            one.defect || (one.label ? "defective" : "good"),
            el("small", {}, short(one.score)),
          ),
        ),
      ),
    );
    toggle(state.form);
  }

  function toggle(form) {
    state.form = form;
    part.scale.hidden = form !== "map";
    part.grid.querySelectorAll("img").forEach((img, i) => (img.src = state.images[i][form] ?? state.images[i].image));
  }

  const verdict = (label, score) => VERDICTS[`${label}${score > state.threshold ? 1 : 0}`];
  const describe = (one) =>
    `${one.sample}: ${one.defect || (one.label ? "defective" : "good")}, score ${short(one.score)}, ${verdict(one.label, one.score)}`;

  function move(threshold) {
    state.threshold = threshold;
    part.slider.value = threshold;
    part.slider.setAttribute("aria-valuetext", short(threshold));
    part.exact.value = Number(threshold.toPrecision(6));
    part.line(threshold);
    count();
    part.grid.querySelectorAll(".picture").forEach((button, i) => {
      const one = state.images[i];
      const said = verdict(one.label, one.score);
      button.dataset.verdict = said;
      button.querySelector(".verdict").textContent = said;
      button.setAttribute("aria-label", describe(one));
    });
  }

  function count() {
    const seen = { caught: 0, missed: 0, "false alarm": 0, passed: 0 };
    for (const [score, label] of state.gallery.scores) seen[verdict(label, score)] += 1;
    const share = (some, all) => (all ? ` (${percent(some / all)})` : "");
    const one = (id, some, all, words) =>
      el("span", {}, el("b", { id }, String(some)), ` of ${all} ${words}${share(some, all)}`);
    part.counts.replaceChildren(
      one("misses", seen.missed, seen.missed + seen.caught, "defective images missed"),
      one("false-alarms", seen["false alarm"], seen["false alarm"] + seen.passed, "good images give a false alarm"),
    );
  }

  return { start };
})();
