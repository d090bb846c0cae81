"use strict";
/* One test image, large, with its map; the arrow keys go to the next. */

const Enlarge = (() => {
  let dialog = null;
  let [images, place, describe] = [[], 0, null];

  function build() {
    const step = (by) => el("button", { type: "button", onclick: () => go(by) }, by < 0 ? "← Before" : "Next →");
    const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
    dialog = el(
      "dialog",
      { class: "enlarged", "aria-label": "One image enlarged", onkeydown: keys },
      el("div", { class: "content" }),
      el("div", { class: "line" }, step(-1), step(1), close),
    );
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
  }

  function keys(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) go(by);
  }

  function go(by) {
    place = (place + by + images.length) % images.length;
    const one = images[place];
    const picture = (source, text) =>
      source ? el("figure", {}, el("img", { src: source, alt: "" }), el("figcaption", {}, text)) : null;
    dialog
      .querySelector(".content")
      .replaceChildren(
        ...[
          el("p", { "aria-live": "polite" }, describe(one)),
          el(
            "div",
            { class: "both" },
            picture(one.image, "image"),
            picture(one.map, "anomaly map over the image; a mask is outlined in cyan"),
          ),
        ],
      );
  }

  /** Show `list[index]`; `words` says what an image is. */
  function open(list, index, words) {
    if (!dialog) build();
    [images, place, describe] = [list, index, words];
    go(0);
    dialog.showModal();
  }

  return { open };
})();
