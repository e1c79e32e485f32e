// Everything about one variable or activation: curves, histograms, kernels, links.

import { lineChart } from "./chart.js";
import { make, shown } from "./dom.js";
import { byPower, histogramPicture, power } from "./histograms.js";

const CHARTS = [
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
export function column(series, at) {
  const { rows, columns, values } = series;
  return Array.from({ length: rows }, (_, row) => values[row * columns + at]);
}

/**
 * The panel of a variable.
 * @param {Object} shownState `name`, `run` (details of the run), `view`, `step`, `isDark`
 * @param {Object} data the api
 */
export async function variablePanel({ name, run, view, step, isDark }, data) {
  const variable = run.variables.findIndex((v) => v.name === name);
  // The output of a layer is called <layer>/activation in alerts.
  const layer = name.replace(/\/activation$/, "");
  const activation = run.activations.findIndex((a) => a.name === name || a.name === layer);
  if (variable < 0 && activation < 0) {
    const sentence = `${name} is no variable of this run: its alert has the numbers.`;
    return make("p", { class: "soft" }, sentence);
  }
  const of = variable >= 0 ? "variables" : "activations";
  const at = variable >= 0 ? variable : activation;
  const held = new Set(run.quantities.filter((q) => q.of === of).map((q) => q.name));
  const charts = [];
  for (const chart of CHARTS) {
    const names = chart.of.filter((quantity) => held.has(quantity));
    if (!names.length) continue;
    const found = await Promise.all(names.map((quantity) => data.series(run.run, quantity)));
    const lines = found.map((series, i) => ({
      name: names[i].replaceAll("_", " "),
      steps: series.steps,
      values: column(series, at),
    }));
    if (lines.every(({ values }) => values.every(Number.isNaN))) continue;
    charts.push(lineChart({ ...chart, lines, view, step }));
  }
  const panel = make("div", {}, facts(run, of, at), ...charts);
  const histograms = await data.histograms(run.run, run[of][at].name);
  for (const [kind, found] of Object.entries(histograms)) {
    if (found.steps.length) {
      panel.append(histogramPicture(`Distribution of ${kind} over updates`, found, isDark));
    }
  }
  if (of === "variables") {
    const found = await data.magnitudes(run.run, name);
    const title = "Magnitudes of gradients over updates";
    if (found.steps.length) panel.append(histogramPicture(title, byPower(found), isDark, power));
  }
  if (of === "variables" && name.endsWith("/kernel")) {
    const of = name.slice(0, -"/kernel".length);
    const { steps } = await data.pictures(run.run, of);
    if (steps.length) panel.append(kernels(data, run.run, of, steps, step));
  }
  return panel;
}

function facts(run, of, at) {
  const item = run[of][at];
  const says =
    of === "variables"
      ? [
          item.shape.length ? item.shape.join(" × ") : "a number",
          item.dtype,
          item.initial_rms === null ? "" : `rms at the start ${shown(item.initial_rms)}`,
          item.connected ? "" : "not connected: no gradient reaches it",
        ]
      : [item.function, `${item.units} units`, item.is_output ? "output of the model" : ""];
  const inTensorBoard = of === "variables" ? links(run, item.name) : [];
  return make(
    "p",
    { class: "soft" },
    says.filter(Boolean).join(" · "),
    " ",
    ...inTensorBoard,
  );
}

/** Links into TensorBoard's own tabs, with the cards of this variable only. */
function links(run, name) {
  if (window.parent === window) return [];
  const filter = encodeURIComponent(name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return ["timeseries", "scalars", "histograms", "distributions"].map((tab) =>
    make(
      "a",
      { href: `../../../?tagFilter=${filter}#${tab}`, target: "_top", class: "link" },
      { timeseries: "Time Series" }[tab] || tab[0].toUpperCase() + tab.slice(1),
    ),
  );
}

/** Pictures of kernels: the filters, and their change since the start beside them. */
function kernels(data, run, layer, steps, step) {
  const nearest = step === "" ? steps.length - 1 : steps.findLastIndex((s) => s <= Number(step));
  const image = make("img", { class: "kernels", alt: `filters of ${layer}, and their change` });
  const label = make("output");
  const slider = make("input", {
    type: "range",
    min: 0,
    max: steps.length - 1,
    value: Math.max(nearest, 0),
    "aria-label": "update of the picture",
    input: () => show(),
  });
  const show = () => {
    const at = steps[Number(slider.value)];
    image.src = data.picture(run, layer, at);
    label.textContent = `update ${at}`;
  };
  show();
  return make(
    "figure",
    { class: "chart" },
    make("figcaption", {}, make("b", {}, "Filters, and their change since the start"), " ", label),
    slider,
    image,
  );
}
