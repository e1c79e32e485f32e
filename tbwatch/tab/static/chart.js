// A small chart of lines over updates.

import { make, short, shown, sized, themed } from "./dom.js";
import { ticks } from "./view.js";

const HEIGHT = 150;
const LEFT = 62;
const BOTTOM = 20;
const RIGHT = 16; // half of a number
export const LINES = ["--line-1", "--line-2", "--line-3"];
const DASHES = [[], [6, 3], [2, 2]];

/**
 * A chart of one or more lines.
 * @param {Object} chart `title`, `lines` (`name`, `steps`, `values`), `every` (the lines that
 *   share the scale), `isLog`, `band` (healthy values), `view` (updates at the edges), `step`
 *   (selected update)
 */
export function lineChart(chart) {
  const canvas = make("canvas", { role: "img", "aria-label": described(chart) });
  // The title of a single line says it all.
  const named = chart.lines.length > 1 ? chart.lines : [];
  const names = named.map(({ name }, at) =>
    make("span", { class: "key", style: `color:var(${LINES[at % 3]})` }, name),
  );
  const element = make("figure", { class: "chart" });
  element.append(make("figcaption", {}, make("b", {}, chart.title), " ", ...names), canvas);
  const draw = () => element.clientWidth && paint(canvas, element.clientWidth, chart);
  new ResizeObserver(draw).observe(element);
  return element;
}

function described({ title, lines }) {
  const last = lines.map(({ name, values }) => `${name}: last ${shown(values.at(-1))}`);
  return `${title}; ${last.join(", ")}`;
}

function paint(canvas, width, { lines, every, isLog, band, view, step }) {
  const context = sized(canvas, width, HEIGHT + BOTTOM);
  const place = (value) => (isLog ? Math.log10(value) : value);
  const usable = (value) => Number.isFinite(value) && (!isLog || value > 0);
  const inView = ({ steps, values }) =>
    values.filter((value, i) => usable(value) && steps[i] >= view[0] && steps[i] <= view[1]);
  const heights = every.flatMap(inView).map(place);
  if (band && isLog && heights.length) {
    // A band far away would flatten the lines.
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    for (const at of band.map(place)) if (at > low - 2 && at < high + 2) heights.push(at);
  }
  let [low, high] = [Infinity, -Infinity];
  for (const at of heights) [low, high] = [Math.min(low, at), Math.max(high, at)];
  if (low > high) [low, high] = [0, 1];
  // A constant has room for numbers that differ.
  const room = high > low ? (high - low) * 0.06 : isLog ? 0.5 : Math.abs(high) / 2 || 0.5;
  [low, high] = [low - room, high + room];
  const from = view[0];
  const to = Math.max(view[1], from + 1);
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (at) => 4 + (1 - (at - low) / (high - low)) * (HEIGHT - 8);
  context.font = `11px ${themed("--font")}`;
  if (band) {
    const [top, bottom] = [y(Math.min(place(band[1]), high)), y(Math.max(place(band[0]), low))];
    context.fillStyle = themed("--band");
    if (bottom > top) context.fillRect(LEFT, top, width - LEFT - RIGHT, bottom - top);
  }
  context.fillStyle = themed("--soft");
  context.strokeStyle = themed("--line");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const at of marks(low, high, isLog)) {
    context.fillText(short(isLog ? 10 ** at : at), LEFT - 6, y(at));
    context.beginPath();
    context.moveTo(LEFT, y(at));
    context.lineTo(width - RIGHT, y(at));
    context.stroke();
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const at of ticks(from, to, width / 110)) context.fillText(String(at), x(at), HEIGHT + 4);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, width - LEFT - RIGHT, HEIGHT);
  context.clip();
  lines.forEach(({ steps, values }, number) => {
    context.strokeStyle = context.fillStyle = themed(LINES[number % 3]);
    context.setLineDash(DASHES[number % 3]);
    context.lineWidth = 1.5;
    context.beginPath();
    let isDrawing = false;
    values.forEach((value, i) => {
      if (usable(value)) {
        if (isDrawing) context.lineTo(x(steps[i]), y(place(value)));
        else context.moveTo(x(steps[i]), y(place(value)));
      } else if (value !== 0 && !Number.isNaN(value)) {
        context.fillText("×", x(steps[i]), 0); // not finite
      }
      isDrawing = usable(value);
    });
    context.stroke();
  });
  context.restore();
  context.setLineDash([]);
  if (step !== "" && Number(step) >= from && Number(step) <= to) {
    context.strokeStyle = themed("--accent");
    context.strokeRect(x(Number(step)), 0, 0.5, HEIGHT);
  }
}

/** Where lines across the chart go: whole powers of ten, or round numbers. */
function marks(low, high, isLog) {
  if (isLog) {
    const every = Math.max(1, Math.ceil((high - low) / 5));
    const found = [];
    for (let at = Math.ceil(low); at <= high; at += every) found.push(at);
    return found.length > 1 ? found : [low + (high - low) / 4, low + (3 * (high - low)) / 4];
  }
  const size = 10 ** Math.floor(Math.log10((high - low) / 2));
  const every = size * [5, 2, 1].find((times) => (high - low) / (size * times) >= 2);
  const found = [];
  for (let at = Math.ceil(low / every); at * every <= high; at += 1) found.push(at * every);
  return found;
}

/** Whether the values of all lines are positive and differ by more than a hundredfold. */
export function isWide(lines) {
  let [low, high] = [Infinity, 0];
  for (const { values } of lines) {
    for (const value of values) {
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  return low > 0 && high > 100 * low;
}
