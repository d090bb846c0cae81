"use strict";
/* Light or dark: as the system says, until the reader chooses. Loaded first, so that nothing flashes. */

const Theme = (() => {
  const KEY = "viad-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];

  function chosen() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // some browsers give files no storage; then the choice lasts as long as the page
    }
  }

  function apply(name) {
    document.documentElement.dataset.theme = name;
    label();
    listeners.forEach((listener) => listener(name));
  }

  function label() {
    const button = document.getElementById("theme");
    if (!button) return;
    const other = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark";
    button.textContent = other;
    button.title = `${other} colours`;
  }

  function toggle() {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, name);
    } catch {
      // see above
    }
    apply(name);
  }

  apply(chosen() ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => chosen() ?? apply(system.matches ? "dark" : "light"));
  document.addEventListener("DOMContentLoaded", () => {
    label();
    document.getElementById("theme").addEventListener("click", toggle);
  });

  return {
    colour: (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(),
    onChange: (listener) => listeners.push(listener),
  };
})();
