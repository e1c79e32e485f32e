// Everything about one variable or activation: curves, histograms, kernels, links.

import { curves } from "./curves.js";
import { make, shown } from "./dom.js";
import { byPower, histogramPicture, power } from "./histograms.js";

/**
 * The panel of a variable.
 * @param {Object} shownState `name`, `run` (details of the run), `other` (of the run beside it, or
 *   null), `view`, `step`, `isDark`
 * @param {Object} data the api
 */
export async function variablePanel({ name, run, other, view, step, isDark }, data) {
  const [source, beside] = [place(run, name), other && place(other, name)];
  if (!source) {
    const sentence = `${name} is no variable of this run: its alert has the numbers.`;
    return make("p", { class: "soft" }, sentence);
  }
  const { of, at } = source;
  const sources = beside ? [source, beside] : [source];
  const charts = await curves(sources, { view, step }, data.series);
  const panel = make("div", {}, facts(run, of, at), ...charts);
  const histograms = await data.histograms(run.run, run[of][at].name);
  const whose = beside ? ` of ${run.name}` : "";
  for (const [kind, found] of Object.entries(histograms)) {
    if (found.steps.length) {
      panel.append(histogramPicture(`Distribution of ${kind} over updates${whose}`, found, isDark));
    }
  }
  if (of === "variables") {
    const found = await data.magnitudes(run.run, name);
    const title = `Magnitudes of gradients over updates${whose}`;
    if (found.steps.length) panel.append(histogramPicture(title, byPower(found), isDark, power));
  }
  if (of === "variables" && name.endsWith("/kernel")) {
    const of = name.slice(0, -"/kernel".length);
    const { steps } = await data.pictures(run.run, of);
    if (steps.length) panel.append(kernels(data, run.run, of, steps, step));
  }
  return panel;
}

/** Where a name stands in a run: among its variables or its activations; null if nowhere. */
function place(run, name) {
  const at = run.variables.findIndex((variable) => variable.name === name);
  if (at >= 0) return { run, of: "variables", at };
  // The output of a layer is called <layer>/activation in alerts.
  const layer = name.replace(/\/activation$/, "");
  const found = run.activations.findIndex((a) => a.name === name || a.name === layer);
  return found >= 0 ? { run, of: "activations", at: found } : null;
}

/** The panel of the whole run: its loss, its gradients, its learning rate. */
export async function runPanel({ run, other, view, step }, data) {
  const sources = [run, other].filter(Boolean).map((one) => ({ run: one, of: "run", at: 0 }));
  return make("div", {}, ...(await curves(sources, { view, step }, data.series)));
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
