"use strict";
/* Choosing experiments: what several sections share. */

const Choices = (() => {
  const rows = VIAD.experiments;
  const byName = new Map();
  for (const row of rows) byName.set(row.experiment, [...(byName.get(row.experiment) ?? []), row]);

  /** All experiments' names, those of one dataset together. */
  const names = [...byName.keys()].sort((a, b) => {
    const [one, other] = [byName.get(a)[0], byName.get(b)[0]];
    return String(one.dataset).localeCompare(String(other.dataset)) || a.localeCompare(b, "en", { numeric: true });
  });

  const key = (row) => JSON.stringify([row.dataset, row.category]);

  const users = new Map(); // names of the experiments on each data
  for (const row of rows) users.set(key(row), (users.get(key(row)) ?? new Set()).add(row.experiment));

  const hasPartners = (name) => byName.get(name).some((row) => users.get(key(row)).size > 1);

  /** The other experiments that share data with this one. */
  function partners(name) {
    const found = new Set((byName.get(name) ?? []).flatMap((row) => [...users.get(key(row))]));
    return names.filter((other) => other !== name && found.has(other));
  }

  /** Pairs of rows, of `a` and of `b`, on the same data. */
  function common(a, b) {
    const others = new Map((byName.get(b) ?? []).map((row) => [key(row), row]));
    return (byName.get(a) ?? []).filter((row) => others.has(key(row))).map((row) => [row, others.get(key(row))]);
  }

  /** The caveats of an experiment, as badges; null if it has none. */
  function badges(experiment) {
    const caveats = distinct((byName.get(experiment) ?? []).flatMap((row) => row.caveats));
    return caveats.length ? el("span", { class: "badges" }, caveats.map(Hints.badge)) : null;
  }

  return { names, hasPartners, partners, common, badges, of: (name) => byName.get(name) ?? [] };
})();
