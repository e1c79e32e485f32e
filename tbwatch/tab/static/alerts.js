// The alerts of a run: the gravest first, with evidence and remedy.

import { make, shown } from "./dom.js";

export const SEVERITIES = ["critical", "warning", "info"];
const MARKS = { critical: "▲", warning: "◆", info: "●" };

/** Whether an alert's name means a row: the output of a layer is called <layer>/activation there. */
export function isSame(name, row) {
  return name === row || name === `${row}/activation` || row === `${name}/activation`;
}

/**
 * One entry for each cause: its last state, and all its changes.
 * @param {Object[]} alerts of the run
 * @param {string[]} holding "rule diagnosis" of the causes that hold: one that was not cleared may
 *   have been taken over by a cause of its own
 */
export function causes(alerts, holding) {
  const found = new Map();
  for (const alert of alerts) {
    const key = `${alert.rule} ${alert.diagnosis}`;
    const cause = found.get(key) || { raised: alert, changes: [] };
    // A later one that is not a clearing has newer numbers; what was raised anew is news.
    if (alert.state !== "cleared") cause.raised = alert;
    if (alert.state === "raised") cause.begun = alert.step;
    cause.last = alert;
    cause.changes.push(alert);
    found.set(key, cause);
  }
  for (const [key, cause] of found) cause.isOver = !holding.includes(key);
  const rank = (cause) => SEVERITIES.indexOf(cause.raised.severity);
  return [...found.values()].sort(
    (a, b) => a.isOver - b.isOver || rank(a) - rank(b) || a.raised.step - b.raised.step,
  );
}

/** Whether a severity is as grave as another one, or graver. */
export function isAtLeast(severity, floor) {
  return SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(floor);
}

/**
 * The list.
 * @param {Object[]} every what `causes` gives
 * @param {Object} shownState `severity` (the least grave that is shown), `holding` (whether to
 *   leave out what was cleared), `row` and `step`
 * @param {function(string, number)} select called with a variable and an update
 */
export function alertList(every, shownState, select) {
  const kept = every.filter(
    ({ raised, isOver }) =>
      isAtLeast(raised.severity, shownState.severity) && !(shownState.holding && isOver),
  );
  if (!every.length) {
    return make("p", { class: "calm" }, "No alerts: nothing that tbwatch looks for was found.");
  }
  const hidden = every.length - kept.length;
  return make(
    "div",
    {},
    make("ul", { class: "alerts" }, ...kept.map((cause) => entry(cause, shownState, select))),
    hidden ? make("p", { class: "soft" }, `${hidden} more not shown`) : null,
  );
}

function entry({ raised, last, isOver, changes, begun = raised.step }, { row, step }, select) {
  const others = raised.variables.length - 1;
  const isSelected = 
    raised.variables.some((name) => isSame(name, row)) && String(begun) === String(step);
  let when = `since update ${raised.first_seen}`;
  if (last.state === "cleared") when = `updates ${raised.first_seen} to ${last.step}, cleared`;
  else if (isOver) when += ", now told under another cause";
  return make(
    "li",
    { class: `alert ${raised.severity}${isOver ? " over" : ""}${isSelected ? " selected" : ""}` },
    make(
      "button",
      { type: "button", click: () => select(raised.variables[0], begun) },
      make("span", { class: "mark", "aria-hidden": "true" }, MARKS[raised.severity]),
      make("strong", {}, raised.diagnosis),
      ` ${raised.severity}, ${when}`,
      make("br"),
      make("code", {}, raised.variables[0]),
      others ? ` and ${others} more` : "",
    ),
    make("p", {}, raised.message),
    raised.remedy ? make("p", { class: "remedy" }, make("b", {}, "Remedy: "), raised.remedy) : null,
    make("details", {}, make("summary", {}, "Evidence"), evidence(raised, changes, select)),
  );
}

function evidence(alert, changes, select) {
  const rows = Object.entries({
    value: alert.value,
    threshold: alert.threshold,
    records: alert.samples,
    ...alert.evidence,
  }).map(([name, value]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name.replaceAll("_", " ")),
      make("td", {}, typeof value === "number" ? shown(value) : String(value)),
    ),
  );
  const names = alert.variables.slice(0, 200).map((name) =>
    make("button", { type: "button", class: "name", click: () => select(name, alert.step) }, name),
  );
  const history = changes.map((one) => `${one.state} at update ${one.step}`).join(", ");
  return make(
    "div",
    {},
    make("table", {}, make("tbody", {}, ...rows)),
    make("p", { class: "soft" }, history),
    make("div", { class: "names" }, ...names),
  );
}
