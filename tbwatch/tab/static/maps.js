// The heat maps of one run or two, with what belongs to them: choices, legend, and the hover text.

import { isAtLeast, isSame } from "./alerts.js";
import { levels, table } from "./colors.js";
import { choice, make, shown } from "./dom.js";
import { Heatmap } from "./heatmap.js";
import { legend } from "./legend.js";
import { scaleOf } from "./metrics.js";
import { GROUPS, rowLevels, rowsOf } from "./rows.js";

const MOST_LINES = 4; // of the hover text, where a row stands for many variables
const TIP_WIDTH = 280;

export class Maps {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    this.controls = make("div", { class: "controls" });
    this.area = make("div", { class: "maps" });
    this.legend = make("div");
    this.tip = make("div", { class: "tip", role: "status", "aria-live": "polite", hidden: true });
    this.element = make(
      "section",
      { "aria-label": "Heat map" },
      this.controls,
      this.area,
      this.legend,
      this.tip,
    );
    this.heatmaps = [];
    this.shown = [];
  }

  /** The updates at the edges. */
  get view() {
    const { from, to } = this.state.values;
    return { from: Number(from) || 0, to: to === "" ? Infinity : Number(to) || Infinity };
  }

  zoomed() {
    for (const map of this.heatmaps) map.show(this.view);
  }

  /**
   * Show one run or two on the same scale.
   * @param {{details: Object, series: Object}[]} runs `series` is null where there is none
   * @param {boolean} isDark
   */
  show(runs, isDark) {
    const { quantity } = this.state.values;
    const every = runs.map(({ series }) => series).filter(Boolean);
    const scale = scaleOf(quantity, every);
    const colors = table(scale.kind, isDark);
    while (this.heatmaps.length < runs.length) this.heatmaps.push(this.newMap());
    this.heatmaps.length = this.shown.length = runs.length;
    const steps = every.flatMap((series) => [series.steps[0], series.steps.at(-1)]);
    const extent = [Math.min(...steps.filter(Boolean)), Math.max(...steps.filter(Boolean))];
    const parts = runs.flatMap((run, at) => [
      title(run),
      this.showOne(run, at, { scale, colors, extent }),
    ]);
    const isSame =
      parts.length === this.parts?.length &&
      parts.every((part, at) => part === this.parts[at] || at % 2 === 0);
    // A map that is where it was keeps the focus of the keyboard.
    if (isSame) this.parts.forEach((part, at) => at % 2 || part.replaceWith(parts[at]));
    else this.area.replaceChildren(...parts);
    this.parts = parts;
    this.legend.replaceChildren(every.length ? legend(quantity, scale, colors) : "");
    this.showControls(runs[0].details);
  }

  showOne({ details, series }, at, { scale, colors, extent }) {
    const { quantity, group, filter, axis, row, step, severity } = this.state.values;
    const held = details.quantities.find(({ name, of }) => name === quantity && of !== "run");
    const names = details[held ? held.of : "variables"].map(({ name }) => name);
    const rows = rowsOf(names, group, filter);
    this.shown[at] = null;
    if (!series) return told(`This run did not record ${quantity.replaceAll("_", " ")}.`);
    if (!series.steps.length) return told("No sample of this quantity has been recorded yet.");
    if (!rows.length) return told("No name contains this text.");
    const isDiverging = scale.kind === "diverging" || scale.kind === "signed";
    const selected = rows.find(({ members }) => members.some((m) => isSame(row, names[m])));
    this.shown[at] = { details, series, rows, names };
    this.heatmaps[at].show({
      rows,
      steps: series.steps,
      levels: rowLevels(levels(scale, series.values), series.columns, rows, isDiverging),
      colors,
      isDiverging,
      marks: details.alerts.filter((alert) => isAtLeast(alert.severity, severity)),
      axis,
      extent,
      selected: selected ? selected.name : "",
      step,
      ...this.view,
    });
    return this.heatmaps[at].element;
  }

  newMap() {
    const map = new Heatmap({
      select: (row, sample) => this.selected(map, row, sample),
      zoom: (from, to) =>
        this.state.set({
          from: from <= 0 ? "" : Math.floor(from),
          to: to === Infinity ? "" : Math.ceil(to),
        }),
      hover: (cell, event) => this.hovered(map, cell, event),
    });
    return map;
  }

  selected(map, row, sample) {
    const { series, rows, names } = this.shown[this.heatmaps.indexOf(map)];
    this.state.set({ row: names[rows[row].members[0]], step: series.steps[sample] });
  }

  hovered(map, cell, event) {
    const found = this.shown[this.heatmaps.indexOf(map)];
    this.tip.hidden = !cell || !found;
    if (this.tip.hidden) return;
    const { series, rows, names } = found;
    const { members } = rows[cell.row];
    const lines = members.slice(0, MOST_LINES).map((member) => {
      const value = series.values[cell.sample * series.columns + member];
      return `${names[member]}: ${shown(value)}`;
    });
    if (members.length > MOST_LINES) lines.push(`and ${members.length - MOST_LINES} more`);
    this.tip.replaceChildren(
      make("b", {}, `update ${series.steps[cell.sample]}`),
      ...lines.map((line) => make("div", {}, line)),
    );
    const box = event ? { x: event.clientX, y: event.clientY } : map.canvas.getBoundingClientRect();
    this.tip.style.left = `${Math.min(box.x + 14, window.innerWidth - TIP_WIDTH)}px`;
    this.tip.style.top = `${box.y + 14}px`;
  }

  showControls(details) {
    const { quantity, group, filter, axis } = this.state.values;
    const signature = JSON.stringify([details.run, details.quantities, quantity, group, axis]);
    if (this.controls.dataset.signature === signature) return; // somebody may be typing
    this.controls.dataset.signature = signature;
    const set = (key) => (value) => this.state.set({ [key]: value });
    const quantities = details.quantities
      .filter(({ of }) => of !== "run")
      .map(({ name }) => [name, name.replaceAll("_", " ")]);
    if (!quantities.some(([name]) => name === quantity)) {
      quantities.unshift([quantity, `${quantity.replaceAll("_", " ")} (not recorded)`]);
    }
    this.controls.replaceChildren(
      choice("Show", quantities, quantity, set("quantity")),
      choice("by", GROUPS, group, set("group")),
      choice("over", [["update", "updates"], ["sample", "samples"]], axis, (value) =>
        this.state.set({ axis: value, from: "", to: "" }),
      ),
      make(
        "label",
        { class: "choice" },
        "Names with",
        make("input", {
          type: "search",
          value: filter,
          placeholder: "conv1 dense",
          input: (event) => this.state.set({ filter: event.target.value }),
        }),
      ),
      make("button", { type: "button", click: () => this.state.set({ from: "", to: "" }) }, "Whole run"),
    );
  }
}

function title({ details, series }) {
  const left = series && series.left_out ? `, ${series.left_out} records left out` : "";
  const sampled = series ? `${series.steps.length} of ${details.last_update} updates sampled` : "";
  return make(
    "div",
    { class: "title" },
    make("h2", {}, details.name),
    make("span", { class: "soft" }, sampled + left),
  );
}

function told(sentence) {
  return make("p", { class: "soft" }, sentence);
}
