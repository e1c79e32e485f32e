// The list of runs, with what was found in each, so that a bad one among twenty is seen at once.

import { SEVERITIES } from "./alerts.js";
import { make } from "./dom.js";

/**
 * A table of the runs.
 * @param {Object[]} runs of the route `runs`
 * @param {string} selected run that is shown
 * @param {string} other run beside it
 * @param {function(Object)} set takes changes of the state
 */
export function runTable(runs, selected, other, set) {
  const rows = runs.map((run) => {
    const isSelected = run.run === selected;
    const grave = SEVERITIES.find((severity) => run.raised[severity]);
    return make(
      "tr",
      { class: `${isSelected ? "selected" : ""} ${grave || "healthy"}` },
      make(
        "td",
        {},
        make(
          "button",
          {
            type: "button",
            class: "name",
            "aria-pressed": String(isSelected),
            click: () => set({ run: run.run, step: "", from: "", to: "" }),
          },
          run.name,
        ),
      ),
      ...SEVERITIES.map((severity) => counted(run, severity)),
      make("td", { class: "number" }, String(run.last_update)),
      make(
        "td",
        {},
        make("input", {
          type: "checkbox",
          "aria-label": `compare with ${run.name}`,
          checked: run.run === other,
          disabled: isSelected,
          change: (event) => set({ other: event.target.checked ? run.run : "" }),
        }),
      ),
    );
  });
  return make(
    "table",
    { class: "runs" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["run", ...SEVERITIES, "updates", "beside"].map((title) =>
          make("th", { scope: "col" }, title),
        ),
      ),
    ),
    make("tbody", {}, ...rows),
  );
}

function counted(run, severity) {
  const [held, raised] = [run.holding[severity], run.raised[severity]];
  const cleared = raised - held;
  const text = held ? String(held) : cleared > 0 ? `(${cleared})` : "";
  const title = `${held} hold at the end, ${Math.max(cleared, 0)} were cleared`;
  return make("td", { class: `number ${raised ? severity : ""}`, title }, text);
}
