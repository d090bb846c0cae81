"use strict";
/* What PG2 and PB2 mean for a shift: parts that need no second look, and what that costs. */

const Operator = (() => {
  const ACCEPTED = 0.02; // the share that PG2 and PB2 allow to go wrong
  const MOST = 4;
  const NOTE =
    "Brackets are what the 95 % interval of PG2 or PB2 gives. The numbers hold for parts and defects like those of the " +
    "test images, with limits chosen on them; on your line, the limit must be found on your own parts.";
  const shift = { volume: 10000, rate: 1 };
  const chosen = [];
  let cards, more;

  function start() {
    if (!VIAD.experiments.length) return fill("operator").append(empty("No experiment has been run yet."));
    const input = (name, label, attributes) =>
      el(
        "label",
        { class: "field" },
        el("span", {}, label),
        el("input", {
          type: "number",
          id: name,
          value: shift[name],
          oninput: (event) => change(name, event.target),
          ...attributes,
        }),
      );
    cards = el("div", { class: "shifts" });
    more = el("button", { type: "button", id: "compare", onclick: () => add() }, "Compare with another");
    fill("operator").append(
      el(
        "div",
        { class: "controls" },
        input("volume", "parts a shift", { min: 1, step: 1 }),
        input("rate", "defective parts, %", { min: 0, max: 100, step: "any" }),
      ),
      cards,
      more,
      formulas(),
    );
    add();
    add();
  }

  function change(name, box) {
    if (!box.value || !box.checkValidity()) return;
    shift[name] = Number(box.value);
    chosen.forEach((one) => one.show());
  }

  /** What no card shows yet: first what the answers name, then what was run on the same data. */
  function next() {
    const shown = new Set(chosen.map((one) => one.name()));
    const named = VIAD.answers.flatMap((one) => one.experiments).filter((name) => Choices.of(name).length);
    const alike = chosen.length ? Choices.partners(chosen[0].name()) : [];
    return [...named, ...alike, ...Choices.names].find((name) => !shown.has(name));
  }

  function add() {
    const first = next();
    if (first === undefined) return;
    const card = el("article", { class: "shift" });
    const results = el("div");
    const experiment = select("experiment", Choices.names, (name) => fillCategories(name), first);
    const category = select("category", [], show);
    const remove = el("button", { type: "button", class: "quiet", onclick: () => drop(card, entry) }, "Remove");
    const entry = { show, name: () => experiment.box.value };
    function fillCategories(name) {
      const names = Choices.of(name).map((row) => row.category);
      fillSelect(category.box, names, names[0]);
      show();
    }
    function show() {
      const row = Choices.of(experiment.box.value).find((one) => one.category === category.box.value);
      const badges = Choices.badges(row.experiment);
      results.replaceChildren(...[badges, el("div", { class: "rules" }, rules(row, shift))].filter(Boolean));
    }
    chosen.push(entry);
    card.append(
      el("div", { class: "controls" }, experiment.label, category.label),
      results,
      ...(chosen.length > 1 ? [remove] : []),
    );
    cards.append(card);
    fillCategories(first);
    more.hidden = chosen.length >= MOST;
  }

  function drop(card, entry) {
    card.remove();
    chosen.splice(chosen.indexOf(entry), 1);
    more.hidden = false;
    more.focus();
  }

  /** The two rules, each used by itself. */
  function rules(row, { volume, rate }) {
    const bad = (volume * rate) / 100;
    const good = volume - bad;
    return [
      rule("Accept unseen what scores low", "presorted good", { volume, done: good, wrong: bad, field: "pg2", row }, [
        "good parts that need no second look",
        "defective parts missed, at most",
      ]),
      rule("Reject unseen what scores high", "presorted bad", { volume, done: bad, wrong: good, field: "pb2", row }, [
        "defective parts rejected unseen",
        "good parts wrongly rejected, at most",
      ]),
    ];
  }

  function rule(title, name, { volume, done, wrong, field, row }, [saved, lost]) {
    const share = row[field];
    const heading = el("h4", {}, title, el("small", {}, ` ${name}, ${field.toUpperCase()} ${number(share)}`));
    if (missing(share))
      return el("div", { class: "rule" }, heading, empty(`${field.toUpperCase()} was not measured here.`));
    const [right, mistakes] = [share * done, ACCEPTED * wrong];
    const rest = volume - right - mistakes;
    const range = missing(row[`${field}_low`])
      ? ""
      : interval(row[`${field}_low`] * done, row[`${field}_high`] * done, parts);
    const line = (id, words, value, more = "") =>
      el(
        "div",
        {},
        el("dt", {}, el("i", { class: `dot ${id}`, "aria-hidden": "true" }), words),
        el("dd", {}, el("data", { value, "data-id": id }, parts(value)), el("small", {}, more)),
      );
    return el(
      "div",
      { class: "rule", "data-rule": field },
      heading,
      bar(
        [
          ["right", right],
          ["wrong", mistakes],
          ["rest", rest],
        ],
        volume,
      ),
      el(
        "dl",
        {},
        line("right", saved, right, range),
        line("wrong", lost, mistakes),
        line("rest", "parts still to be looked at", rest),
      ),
    );
  }

  const bar = (pieces, volume) =>
    el(
      "div",
      { class: "bar", "aria-hidden": "true" },
      pieces.map(([name, value]) => el("i", { class: name, style: `width:${(100 * value) / volume}%` })),
    );

  function formulas() {
    const list = (title, lines) => [
      el("p", {}, title),
      el(
        "ul",
        {},
        lines.map((text) => el("li", {}, text)),
      ),
    ];
    return el(
      "div",
      { class: "formulas" },
      el("h3", {}, "How this is worked out"),
      ...list("V parts a shift, of which a share d is defective:", [
        "good parts N = V · (1 − d)",
        "defective parts A = V · d",
      ]),
      ...list("Accept unseen what scores low:", [
        "good parts that need no second look = PG2 · N",
        "defective parts missed: at most 2 % · A",
        "parts still to be looked at = V − PG2 · N − 2 % · A",
      ]),
      ...list("Or reject unseen what scores high:", [
        "defective parts rejected unseen = PB2 · A",
        "good parts wrongly rejected: at most 2 % · N",
        "parts still to be looked at = V − PB2 · A − 2 % · N",
      ]),
      el("p", { class: "note" }, NOTE),
    );
  }

  return { start };
})();
