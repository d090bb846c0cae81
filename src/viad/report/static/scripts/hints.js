"use strict";
/* Explanations of caveats and headings: one bubble, shown while its element has the focus or the mouse. */

const Hints = (() => {
  let shown = null;
  const bubble = () => document.getElementById("hint");

  function show(element) {
    shown = element;
    const box = bubble();
    box.replaceChildren(...prose(element.dataset.hint));
    box.hidden = false;
    element.setAttribute("aria-describedby", "hint");
    place(box, element.getBoundingClientRect());
  }

  function place(box, at) {
    const margin = 8;
    const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - margin);
    const above = at.top - box.offsetHeight - margin;
    box.style.left = `${Math.max(margin, left)}px`;
    box.style.top = `${above > margin ? above : at.bottom + margin}px`;
  }

  function hide() {
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    shown = null;
    bubble().hidden = true;
  }

  function over(event) {
    const element = event.target.closest?.("[data-hint]");
    if (element) show(element);
    else if (event.type === "mouseover" && shown && shown !== document.activeElement) hide();
  }

  document.addEventListener("mouseover", over);
  document.addEventListener("focusin", over);
  document.addEventListener("focusout", hide);
  // Tab may scroll to what it reaches, so the bubble goes along.
  document.addEventListener("scroll", () => shown && place(bubble(), shown.getBoundingClientRect()), {
    passive: true,
    capture: true,
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

  /** A badge for one caveat of an experiment. */
  function badge(name) {
    const { title, sentence } = explained(name);
    return el(
      "button",
      { type: "button", class: "badge", "data-caveat": name, "data-hint": `${title}: ${sentence}` },
      title,
    );
  }

  /** What the caveats in `names` mean, as a list. */
  function legend(names) {
    const entries = names.map((name) => {
      const { title, sentence } = explained(name);
      return el("div", { "data-caveat": name }, el("dt", { class: "badge" }, title), el("dd", {}, prose(sentence)));
    });
    return entries.length ? el("dl", { class: "legend" }, entries) : null;
  }

  function explained(name) {
    return VIAD.caveats[name] ?? { title: name, sentence: "This caveat has no explanation." };
  }

  return { badge, legend, title: (name) => explained(name).title };
})();
