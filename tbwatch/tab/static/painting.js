// Paints the heat map: cells, labels, marks of alerts, axis, selection.

import { MISSING, NONFINITE, strength } from "./colors.js";
import { themed } from "./dom.js";
import { ticks } from "./view.js";

export const LABELS = 190; // pixels left of the cells
export const LANE = 18; // above them, for the marks of alerts
export const AXIS = 26; // below them
const READABLE = 10; // rows at least so high have a label each
const STRIPES = 6; // pixels from one stripe to the next
const BLACK = 0xff000000;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Object} picture as in `Heatmap.show`
 * @param {View} view
 * @param {Object} box `height` of the cells in sight, `rowHeight`, `top` (pixels scrolled away),
 *   `ratio` (device pixels for one)
 */
export function paint(context, picture, view, box) {
  paintCells(context, picture, view, box);
  paintLabels(context, picture, box);
  paintMarks(context, picture.marks, view);
  paintAxis(context, view, box);
  paintSelection(context, picture, view, box);
}

function paintCells(context, { rows, steps, levels, colors, isDiverging }, view, box) {
  const across = Math.round(view.width * box.ratio);
  const down = Math.round(box.height * box.ratio);
  if (!across || !down || !steps.length || !rows.length) return;
  // The samples that a column of pixels stands for, first and last.
  const first = new Int32Array(across);
  const last = new Int32Array(across);
  for (let x = 0; x < across; x++) {
    first[x] = view.sampleAt(view.placeAt(x / box.ratio));
    last[x] = Math.max(first[x], view.sampleAt(view.placeAt((x + 1) / box.ratio) - 1e-9));
  }
  const image = new ImageData(across, down);
  const pixels = new Uint32Array(image.data.buffer);
  const line = new Uint32Array(across);
  let [painted, isStriped] = [-1, false];
  for (let y = 0; y < down; y++) {
    const row = Math.floor((box.top + y / box.ratio) / box.rowHeight);
    if (row >= rows.length) break;
    if (row !== painted) {
      isStriped = fillLine(line, row * steps.length, first, last, levels, colors, isDiverging);
      painted = row;
    }
    pixels.set(line, y * across);
    // Stripes, so that what is not finite is told apart without its colour.
    if (isStriped) stripe(pixels, y, across, colors[NONFINITE]);
  }
  context.putImageData(image, Math.round(LABELS * box.ratio), Math.round(LANE * box.ratio));
}

/** One row of pixels: of several samples in a pixel the one with the strongest colour. */
function fillLine(line, offset, first, last, levels, colors, isDiverging) {
  let hasNonfinite = false;
  for (let x = 0; x < line.length; x++) {
    let level = MISSING;
    for (let sample = Math.max(first[x], 0); sample <= last[x]; sample++) {
      const other = levels[offset + sample];
      if (strength(other, isDiverging) > strength(level, isDiverging)) level = other;
    }
    hasNonfinite ||= level === NONFINITE;
    line[x] = colors[level];
  }
  return hasNonfinite;
}

function stripe(pixels, y, across, color) {
  for (let x = (STRIPES - (y % STRIPES)) % STRIPES; x < across; x += STRIPES) {
    const at = y * across + x;
    if (pixels[at] === color) pixels[at] = BLACK;
  }
}

function paintLabels(context, { rows, selected }, { height, rowHeight, top }) {
  context.save();
  context.beginPath();
  context.rect(0, LANE, LABELS, height);
  context.clip();
  context.textAlign = "right";
  context.textBaseline = "middle";
  const every = Math.max(1, Math.ceil(READABLE / rowHeight));
  const last = Math.min(rows.length - 1, Math.ceil((top + height) / rowHeight));
  for (let row = Math.floor(top / rowHeight); row <= last; row++) {
    const isSelected = rows[row].name === selected;
    if (row % every && !isSelected) continue;
    context.font = `${isSelected ? "bold " : ""}11px ${themed("--font")}`;
    context.fillStyle = themed(isSelected ? "--accent" : "--text");
    const { name, members } = rows[row];
    const label = members.length > 1 ? `${name} (${members.length})` : name;
    const y = LANE + (row + 0.5) * rowHeight - top;
    context.fillText(fitted(context, label, LABELS - 12), LABELS - 6, y);
  }
  context.restore();
}

/** The end of a name tells more than its beginning. */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let kept = Math.min(text.length, 60);
  while (kept > 1 && context.measureText(`…${text.slice(-kept)}`).width > width) kept -= 1;
  return `…${text.slice(-kept)}`;
}

function paintMarks(context, marks, view) {
  context.lineWidth = 1.5;
  for (const { step, severity, state } of marks) {
    const place = view.placeOf(step);
    if (place < view.from || place > view.to) continue;
    const x = LABELS + view.x(place);
    context.fillStyle = context.strokeStyle = themed(`--${severity}`);
    context.beginPath();
    if (state === "cleared") context.arc(x, LANE - 8, 4, 0, 2 * Math.PI);
    else {
      context.moveTo(x - 5, LANE - 13);
      context.lineTo(x + 5, LANE - 13);
      context.lineTo(x, LANE - 3);
      context.closePath();
      context.fill();
    }
    context.stroke();
  }
}

function paintAxis(context, view, { height }) {
  const isBySample = view.axis === "sample";
  context.font = `11px ${themed("--font")}`;
  context.fillStyle = themed("--soft");
  context.textAlign = "center";
  context.textBaseline = "top";
  const y = LANE + height + 4;
  for (const tick of ticks(view.from, view.to, view.width / 90)) {
    const step = isBySample ? view.steps[Math.min(tick, view.steps.length - 1)] : tick;
    if (step !== undefined) context.fillText(String(step), LABELS + view.x(tick), y);
  }
  context.textAlign = "right";
  context.fillText(isBySample ? "update (by sample)" : "update", LABELS - 6, y);
}

function paintSelection(context, { rows, steps, selected, step, cursor }, view, box) {
  if (!steps.length) return;
  context.save();
  context.beginPath();
  context.rect(LABELS - 1, LANE - 1, view.width + 2, box.height + 2);
  context.clip();
  const y = (row) => LANE + row * box.rowHeight - box.top;
  context.strokeStyle = themed("--accent");
  if (step !== "") {
    context.lineWidth = 1;
    const [x] = view.span(Math.max(view.sampleAt(view.placeOf(Number(step))), 0));
    context.strokeRect(LABELS + x, LANE, 0.5, box.height);
  }
  const row = rows.findIndex(({ name }) => name === selected);
  if (row >= 0) {
    context.lineWidth = 1.5;
    context.strokeRect(LABELS, y(row), view.width, box.rowHeight);
  }
  if (cursor) {
    const [left, right] = view.span(cursor.sample);
    context.strokeStyle = themed("--text");
    context.lineWidth = 2;
    context.strokeRect(LABELS + left, y(cursor.row), Math.max(right - left, 2), box.rowHeight);
  }
  context.restore();
}
