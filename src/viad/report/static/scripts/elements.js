"use strict";
/* Elements and numbers. All text goes in as text, so that no value can become markup. */

/** An element: attributes (`on…` are listeners, null is left out), then children, strings or elements. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const missing = (value) => value === null || value === undefined || value === "";

/** A number with fixed digits and a real minus sign; nothing where there is no number, never 0. */
function number(value, digits = 3) {
  return missing(value)
    ? ""
    : value
        .toFixed(digits)
        .replace(/^-(0\.?0*)$/, "$1")
        .replace("-", "−");
}

/** A score, of any size, in four digits. */
const short = (value) => (missing(value) ? "" : String(Number(value.toPrecision(4))));

/** A whole number in groups of three; a small one keeps a decimal. */
function parts(value) {
  if (missing(value)) return "";
  const digits = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

function interval(low, high, write = number) {
  return missing(low) || missing(high) ? "" : ` [${write(low)}, ${write(high)}]`;
}

function percent(share) {
  return missing(share) ? "" : `${(100 * share).toFixed(1)} %`;
}

/** Different values in the order of the alphabet, with numbers by their size. */
function distinct(values) {
  return [...new Set(values.filter((value) => !missing(value)))].sort((a, b) =>
    String(a).localeCompare(String(b), "en", { numeric: true }),
  );
}

/** Words in which `backticks` mark what is typed. */
const prose = (text) => (text ?? "").split("`").map((piece, i) => (i % 2 ? el("code", {}, piece) : piece));

const empty = (text) => el("p", { class: "empty" }, prose(text));

/** A select with its label; options are [value, text], or strings that are both. */
function select(label, options, onchange, value) {
  const box = el("select", { onchange: () => onchange(box.value) });
  fillSelect(box, options, value);
  return { label: el("label", { class: "field" }, el("span", {}, label), box), box };
}

function fillSelect(box, options, value) {
  box.replaceChildren(
    ...options.map((option) => {
      const [key, text] = Array.isArray(option) ? option : [option, option];
      return el("option", { value: key, selected: String(key) === String(value) }, String(text));
    }),
  );
}

/** Buttons of which one is pressed: [value, text] each. */
function segmented(label, options, onchange) {
  const group = el("div", { class: "segmented", role: "group", "aria-label": label });
  options.forEach(([value, text], i) => {
    const press = (event) => {
      group
        .querySelectorAll("button")
        .forEach((button) => button.setAttribute("aria-pressed", button === event.target));
      onchange(value);
    };
    group.append(
      el(
        "button",
        { type: "button", "aria-pressed": i === 0 ? "true" : "false", "data-value": value, onclick: press },
        text,
      ),
    );
  });
  return group;
}

/** The part of a section that scripts fill. */
const fill = (id) => document.querySelector(`#${id} > .fill`);
