"use strict";
/* What the datasets and models are, and published numbers beside ours. */

function showCards() {
  const used = (field) => new Set(VIAD.experiments.map((row) => row[field]));
  fill("cards").append(
    ...cardGroup("Datasets", VIAD.cards.datasets, used("dataset")),
    ...cardGroup("Models", VIAD.cards.models, used("model")),
  );
}

/** Cards of what was used, then, folded, of what can be. */
function cardGroup(title, entries, used) {
  if (!entries.length) return [el("h3", {}, title), empty("None in this report.")];
  const cards = (some) => el("div", { class: "cards" }, some.map(card));
  const [mine, others] = [true, false].map((is) => entries.filter((one) => used.has(one.name) === is));
  const more = `${others.length} more that no experiment of this report used`;
  const folded = others.length ? el("details", {}, el("summary", {}, more), cards(others)) : null;
  return [el("h3", {}, title), mine.length ? cards(mine) : null, folded].filter(Boolean);
}

function card({ name, title, facts, words }) {
  const shown = title || name;
  return el(
    "article",
    { class: "card" },
    el("h4", {}, Colours.named(shown, name), shown === name ? null : el("small", {}, ` ${name}`)),
    words ? el("p", {}, prose(words)) : null,
    el("dl", {}, facts.map(fact)),
  );
}

function fact([name, value]) {
  if (missing(value)) return null;
  const address = /^https?:\/\/\S+$/.test(value);
  const shown = address ? el("a", { href: value, rel: "noopener" }, new URL(value).host) : prose(value);
  return el("div", {}, el("dt", {}, name), el("dd", {}, shown));
}

function showPublished() {
  const words =
    "Published numbers come from other hardware, backbones and settings, so a gap is not an error by itself.";
  const { head, rows } = VIAD.published;
  fill("published").append(
    ...(rows.length
      ? [el("p", {}, words), plainTable(head, rows)]
      : [empty("Nothing published is put beside these experiments.")]),
  );
}
