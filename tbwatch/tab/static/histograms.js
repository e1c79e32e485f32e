// Histograms over time: one column for each sample, darker where there is more.

import { STEPS, css, table } from "./colors.js";
import { make, short, shown, sized, themed } from "./dom.js";

const HEIGHT = 130;
const LEFT = 62;
const BINS = 60;

/**
 * A picture of histograms.
 * @param {string} title
 * @param {Object} data `steps` and `rows` (left, right, count for each row of a histogram)
 * @param {boolean} isDark
 * @param {function(number): string} label of a place on the axis
 */
export function histogramPicture(title, data, isDark, label = shown) {
  const canvas = make("canvas", { role: "img", "aria-label": `${title} over updates` });
  const element = make("figure", { class: "chart" });
  element.append(make("figcaption", {}, make("b", {}, title)), canvas);
  const draw = () => element.clientWidth && paint(canvas, element.clientWidth, data, isDark, label);
  new ResizeObserver(draw).observe(element);
  return element;
}

/** Counts by magnitude as histograms over powers of two, zeros two powers below the rest. */
export function byPower({ steps, lowest, counts }) {
  const used = counts[0] ? counts[0].map((_, at) => counts.some((row) => row[at])) : [];
  const least = Math.max(used.indexOf(true, 1), 1);
  const rows = counts.map((row) => {
    const found = row
      .slice(1, -1)
      .map((count, at) => [lowest + at, lowest + at + 1, count])
      .filter(([, , count]) => count);
    const zero = lowest + least - 3;
    return row[0] ? [[zero, zero + 1, row[0]], ...found] : found;
  });
  return { steps, rows };
}

/** Text of a power of two. */
export function power(at) {
  return short(2 ** at);
}

/** Share of the elements in each of `BINS` bins between low and high. */
export function binned(rows, low, high) {
  const bins = new Float64Array(BINS);
  let total = 0;
  for (const [left, right, count] of rows) {
    total += count;
    if (right <= left) {
      bins[binOf(left, low, high)] += count;
      continue;
    }
    // A row is spread evenly over the bins that it covers.
    const [first, last] = [binOf(left, low, high), binOf(right, low, high)];
    for (let bin = first; bin <= last; bin++) {
      const from = low + (bin / BINS) * (high - low);
      const to = low + ((bin + 1) / BINS) * (high - low);
      const shared = Math.max(0, Math.min(right, to) - Math.max(left, from));
      bins[bin] += count * (shared / (right - left));
    }
  }
  return total ? bins.map((count) => count / total) : bins;
}

function binOf(value, low, high) {
  return Math.min(Math.max(Math.floor(((value - low) / (high - low)) * BINS), 0), BINS - 1);
}

function paint(canvas, width, { steps, rows }, isDark, label) {
  const context = sized(canvas, width, HEIGHT + 20);
  let [low, high] = [Infinity, -Infinity];
  for (const [left, right] of rows.flat()) [low, high] = [Math.min(low, left), Math.max(high, right)];
  if (!(high > low)) [low, high] = [(low || 0) - 0.5, (high || 0) + 0.5];
  const colors = table("log", isDark);
  const across = (width - LEFT - 6) / Math.max(steps.length, 1);
  rows.forEach((histogram, at) => {
    const shares = binned(histogram, low, high);
    const most = Math.max(...shares, 1e-9);
    shares.forEach((part, bin) => {
      if (!part) return;
      context.fillStyle = css(colors[1 + Math.round(Math.sqrt(part / most) * (STEPS - 1))]);
      const y = HEIGHT - ((bin + 1) / BINS) * HEIGHT;
      context.fillRect(LEFT + at * across, y, Math.ceil(across), Math.ceil(HEIGHT / BINS));
    });
  });
  context.font = `11px ${themed("--font")}`;
  context.fillStyle = themed("--soft");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const part of [0, 0.5, 1]) {
    const y = Math.min(Math.max(HEIGHT * (1 - part), 6), HEIGHT - 6);
    context.fillText(label(low + part * (high - low)), LEFT - 6, y);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  const shownSteps = [...new Set([0, Math.floor(steps.length / 2), steps.length - 1])];
  for (const at of shownSteps) {
    if (steps[at] !== undefined) {
      context.fillText(String(steps[at]), LEFT + (at + 0.5) * across, HEIGHT + 4);
    }
  }
}
