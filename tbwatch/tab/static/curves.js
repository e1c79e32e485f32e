// Curves over updates: of one variable, one activation, or the whole run; those of two runs beside
// each other on the same scale.

import { isWide, lineChart } from "./chart.js";
import { make } from "./dom.js";

// Without `isLog` the values decide.
const CHARTS = [
  { title: "Loss", of: ["loss"] },
  { title: "Norm of all gradients", isLog: true, of: ["global_gradient_norm"] },
  { title: "Learning rate", of: ["learning_rate"] },
  { title: "Norms", isLog: true, of: ["weight_norm", "gradient_norm", "update_norm"] },
  {
    title: "Relative change",
    isLog: true,
    of: ["update_ratio", "window_change"],
    band: [1e-4, 1e-2],
  },
  { title: "Shares", isLog: false, of: ["gradient_zero_fraction", "update_zero_fraction"] },
  { title: "Activation", isLog: false, of: ["activation_mean", "activation_std", "unit_std"] },
  {
    title: "Units",
    isLog: false,
    of: ["activation_zero_fraction", "dead_units", "saturated_fraction"],
  },
];

/** One column of a series. */
function column(series, at) {
  const { rows, columns, values } = series;
  return Array.from({ length: rows }, (_, row) => values[row * columns + at]);
}

/**
 * A figure for each kind of quantity that any of the runs recorded.
 * @param {Object[]} sources one for each run: `run` (its details), `of` ("variables", "activations"
 *   or "run") and `at`, the column
 * @param {{view: number[], step: string}} shownState
 * @param {function(string, string)} load gives the series of a run and a quantity
 */
export async function curves(sources, { view, step }, load) {
  const found = await Promise.all(
    CHARTS.map(async (chart) => {
      const lines = await Promise.all(sources.map((source) => linesOf(source, chart.of, load)));
      return { chart, lines };
    }),
  );
  return found
    .filter(({ lines }) => lines.some((one) => one.length))
    .map(({ chart, lines }) => {
      const every = lines.flat();
      const isLog = chart.isLog ?? isWide(every);
      const figures = lines.map((own, at) => {
        const whose = sources.length > 1 ? ` of ${sources[at].run.name}` : "";
        const title = chart.title + whose;
        return lineChart({ ...chart, isLog, title, lines: own, every, view, step });
      });
      return figures.length > 1 ? make("div", { class: "pair" }, ...figures) : figures[0];
    });
}

async function linesOf({ run, of, at }, names, load) {
  const held = new Set(run.quantities.filter((q) => q.of === of).map((q) => q.name));
  const kept = names.filter((name) => held.has(name));
  const lines = await Promise.all(
    kept.map(async (name) => {
      const series = await load(run.run, name);
      return { name: name.replaceAll("_", " "), steps: series.steps, values: column(series, at) };
    }),
  );
  return lines.every(({ values }) => values.every(Number.isNaN)) ? [] : lines;
}
