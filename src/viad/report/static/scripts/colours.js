"use strict";
/* A colour, a symbol and a dash for each model, the same everywhere on the page.

Eight colours that people with red-green blindness can tell apart (the least distance between two is 28 in CIE Lab under
simulated protanopia and deuteranopia); from the ninth model on the symbol and the dash tell who is who. */

const Colours = (() => {
  const COUNT = 8;
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const ofExperiments = distinct(VIAD.experiments.map((row) => row.model));
  const others = [...VIAD.ranks.models, ...VIAD.pareto.flatMap((chart) => chart.points)].map((one) => one.model);
  const names = [...ofExperiments, ...distinct(others).filter((name) => owner(name, ofExperiments) < 0)];

  /** The place of the model with this name, or that it begins with: "patchcore, 20 %"; -1 if there is none. */
  function owner(name, models = names) {
    const begins = (model) => name.startsWith(model) && !/\w/.test(name[model.length] ?? " ");
    const exact = models.indexOf(name);
    return exact >= 0 ? exact : models.findIndex(begins);
  }

  function style(index) {
    const turn = Math.floor(index / COUNT);
    return {
      colour: Theme.colour(`series-${index % COUNT}`),
      symbol: SYMBOLS[turn % SYMBOLS.length],
      dash: DASHES[turn % DASHES.length],
    };
  }

  /** Of a model, or of what is named for one; else of the place in its chart. */
  function of(name, place = 0) {
    const index = owner(name);
    return style(index >= 0 ? index : place);
  }

  /** A model's name, or another text for it, with a dot of its colour, which follows the theme by itself. */
  function named(text, model = text) {
    const index = owner(model);
    if (index < 0) return text;
    const dot = `dot series-${index % COUNT} turn-${Math.floor(index / COUNT)}`;
    return el("span", { class: "model" }, el("i", { class: dot, "aria-hidden": "true" }), text);
  }

  return { of, named };
})();
