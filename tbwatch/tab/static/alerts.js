// The alerts of a run: the gravest first, with evidence and remedy.

import { make, shown } from "./dom.js";

export const SEVERITIES = ["critical", "warning", "info"];
const MARKS = { critical: "▲", warning: "◆", info: "●" };

/** One entry for each cause: its last state, and all its changes. */
export function causes(alerts) {
  const found = new Map();
  for (const alert of alerts) {
    const key = `${alert.rule} ${alert.diagnosis}`;
    const cause = found.get(key) || { raised: alert, changes: [] };
    // A later one that is not a clearing has newer numbers; what was raised anew is news.
    if (alert.state !== "cleared") cause.raised = alert;
    cause.last = alert;
    cause.changes.push(alert);
    found.set(key, cause);
  }
  const rank = (cause) => SEVERITIES.indexOf(cause.raised.severity);
  const isOver = (cause) => (cause.last.state === "cleared" ? 1 : 0);
  return [...found.values()].sort(
    (a, b) => isOver(a) - isOver(b) || rank(a) - rank(b) || a.raised.step - b.raised.step,
  );
}

/** Whether a severity is as grave as another one, or graver. */
export function isAtLeast(severity, floor) {
  return SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(floor);
}

/**
 * The list.
 * @param {Object[]} alerts of the run
 * @param {Object} shownState `severity` (the least grave that is shown), `holding` (whether to
 *   leave out what was cleared), `row` and `step`
 * @param {function(string, number)} select called with a variable and an update
 */
export function alertList(alerts, shownState, select) {
  const every = causes(alerts);
  const kept = every.filter(
    ({ raised, last }) =>
      isAtLeast(raised.severity, shownState.severity) &&
      !(shownState.holding && last.state === "cleared"),
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

function entry({ raised, last, changes }, { row, step }, select) {
  const isOver = last.state === "cleared";
  const others = raised.variables.length - 1;
  const isSelected = raised.variables.includes(row) && String(raised.step) === String(step);
  const when = isOver
    ? `updates ${raised.first_seen} to ${last.step}, cleared`
    : `since update ${raised.first_seen}`;
  return make(
    "li",
    { class: `alert ${raised.severity}${isOver ? " over" : ""}${isSelected ? " selected" : ""}` },
    make(
      "button",
      { type: "button", click: () => select(raised.variables[0], raised.step) },
      make("span", { class: "mark", "aria-hidden": "true" }, MARKS[raised.severity]),
      make("strong", {}, raised.diagnosis.replaceAll("_", " ")),
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
