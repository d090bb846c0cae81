"use strict";
/* The answers in words. Each names the experiments that it rests on. */

function showAnswers() {
  if (!VIAD.answers.length) {
    fill("answers").append(empty("There are no answers yet: they come with the first experiments."));
    return;
  }
  const link = (experiment) =>
    el("a", { href: "#experiments", onclick: () => ExperimentTable.find(experiment) }, experiment);
  const answer = ({ question, words, experiments }) =>
    el(
      "article",
      { class: "answer" },
      el("h3", {}, question),
      el("p", {}, prose(words)),
      experiments.length
        ? el(
            "p",
            { class: "links" },
            "From: ",
            experiments.flatMap((name, i) => [i ? ", " : "", link(name)]),
          )
        : null,
    );
  fill("answers").append(el("div", { class: "answers" }, VIAD.answers.map(answer)));
}
