"use strict";
/* Fill the page, section by section, and show in the navigation where the reader is. */

function showFooter() {
  const { commit, date, experiments } = VIAD.made;
  document
    .querySelector("footer")
    .append(
      el("p", {}, `Made from ${experiments} experiments at commit ${commit}, ${date}.`),
      el(
        "p",
        {},
        "95 % intervals are percentile bootstraps: the test images are drawn again many times, good and defective ones apart. They say what other test images of the same kind might give. They do not say what another seed, camera or product would give.",
      ),
    );
}

function followReader() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        links.forEach((link) => link.removeAttribute("aria-current"));
        const link = links.get(entry.target.id);
        link.setAttribute("aria-current", "true");
        const bar = link.parentElement;
        bar.scrollTo({ left: link.offsetLeft - bar.clientWidth / 2 });
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  links.forEach((_, id) => observer.observe(document.getElementById(id)));
}

showAnswers();
ExperimentTable.start();
showModels();
Difference.start();
Studies.start();
Gallery.start();
Operator.start();
showCards();
showPublished();
showFooter();
followReader();
