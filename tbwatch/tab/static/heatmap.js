// The picture of all variables over all updates: rows by updates, one colour for each value.

import { make, sized } from "./dom.js";
import { AXIS, LABELS, LANE, paint } from "./painting.js";
import { View } from "./view.js";

const LEAST_ROW = 5; // pixels
const TALLEST_ROW = 22;
const TALLEST = 560; // of what is in sight; more rows scroll
const LEAST_WIDTH = 60;
const CLICK = 3; // pixels that a pointer may move between down and up

export class Heatmap {
  /**
   * @param {Object} on `select(row, sample)`, `zoom(from, to)`, `hover(cell, event)`
   */
  constructor(on) {
    this.on = on;
    this.canvas = make("canvas", {
      tabindex: 0,
      role: "img",
      "aria-label": "heat map; arrow keys move the cursor, Enter selects, + and - zoom, 0 shows all",
      pointermove: (event) => this.pointed(event),
      pointerdown: (event) => this.pressed(event),
      pointerup: (event) => this.released(event),
      pointerleave: () => this.moveTo(null),
      keydown: (event) => this.typed(event),
      dblclick: () => this.show({ from: 0, to: Infinity }, true),
    });
    this.canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    this.spacer = make("div");
    this.element = make(
      "div",
      { class: "heatmap", scroll: () => this.draw() },
      make("div", { class: "sticky" }, this.canvas),
      this.spacer,
    );
    this.picture = { rows: [], steps: [], marks: [], from: 0, to: Infinity, cursor: null };
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /**
   * Change what is shown.
   * @param {Object} changes `rows` of rows.js, `steps`, `levels` `[rows, samples]`, `colors`,
   *   `isDiverging`, `marks` (alerts), `axis` ("update" or "sample"), `selected` (name of a row),
   *   `step` (selected update, or ""), `from` and `to` (places at the edges), `extent` (first and
   *   last update of all runs that are shown)
   * @param {boolean} isOwn whether the reader did it here, so that others are to be told
   */
  show(changes, isOwn = false) {
    Object.assign(this.picture, changes);
    if (isOwn) this.on.zoom(this.picture.from, this.picture.to);
    this.draw();
  }

  /** Draw before the next frame; several calls are one. */
  draw() {
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { rows, colors } = this.picture;
    if (!colors) return;
    const { rowHeight, view } = this;
    const whole = rows.length * rowHeight;
    const height = Math.min(whole, TALLEST);
    this.spacer.style.height = `${whole - height}px`;
    this.element.style.height = `${LANE + height + AXIS + 4}px`;
    const top = Math.min(this.element.scrollTop, whole - height);
    this.box = { height, rowHeight, top, ratio: window.devicePixelRatio || 1 };
    const context = sized(this.canvas, LABELS + view.width, LANE + height + AXIS);
    paint(context, this.picture, view, this.box);
    window.tbwatchFirstPicture ||= performance.now(); // for those who measure
  }

  get rowHeight() {
    const fitting = Math.floor(TALLEST / Math.max(this.picture.rows.length, 1));
    return Math.min(Math.max(fitting, LEAST_ROW), TALLEST_ROW);
  }

  get view() {
    const { steps, axis, from, to, extent } = this.picture;
    const width = Math.max(this.element.clientWidth - LABELS - 4, LEAST_WIDTH);
    return new View(steps, axis, [from, to], width, extent);
  }

  /** Pixels from the upper left cell. */
  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left - LABELS, y: event.clientY - box.top - LANE };
  }

  /** The cell under a point; null beside the cells. */
  cellAt({ x, y }) {
    const { view, box } = this;
    if (!box || x < 0 || x > view.width || y < 0 || y >= box.height) return null;
    const row = Math.floor((y + box.top) / box.rowHeight);
    const sample = view.sampleAt(view.placeAt(x));
    return sample >= 0 && row < this.picture.rows.length ? { row, sample } : null;
  }

  pointed(event) {
    const { x, y } = this.point(event);
    if (!this.drag) {
      this.moveTo(this.cellAt({ x, y }), event);
      return;
    }
    const { view, x: begin } = this.drag;
    this.drag.moved ||= Math.abs(x - begin) > CLICK;
    const shift = view.placeAt(begin) - view.placeAt(x);
    if (this.drag.moved) this.look(view.moved(view.from + shift, view.to + shift));
  }

  pressed(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x: this.point(event).x, view: this.view, moved: false };
  }

  released(event) {
    const cell = this.cellAt(this.point(event));
    if (this.drag && !this.drag.moved && cell) this.on.select(cell.row, cell.sample);
    this.drag = null;
  }

  wheeled(event) {
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    // Where all rows are in sight, the wheel zooms; else it scrolls them, and zooms with Ctrl.
    if (!event.ctrlKey && this.spacer.offsetHeight > 0) return;
    event.preventDefault();
    const { view } = this;
    this.look(view.zoomed(1.2 ** Math.sign(event.deltaY), view.placeAt(this.point(event).x)));
  }

  typed(event) {
    const { rows, steps } = this.picture;
    const cursor = this.picture.cursor || { row: 0, sample: steps.length - 1 };
    const { view } = this;
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const zooms = { "+": 1 / 1.5, "=": 1 / 1.5, "-": 1.5, 0: Infinity };
    if (moves[event.key]) {
      const [down, right] = moves[event.key];
      const row = Math.min(Math.max(cursor.row + down, 0), rows.length - 1);
      const sample = Math.min(Math.max(cursor.sample + right, 0), steps.length - 1);
      this.reveal(row);
      this.moveTo({ row, sample });
    } else if (event.key === "Enter") this.on.select(cursor.row, cursor.sample);
    else if (zooms[event.key] === Infinity) this.look([0, Infinity]);
    else if (zooms[event.key]) {
      const place = view.axis === "sample" ? cursor.sample + 0.5 : steps[cursor.sample];
      this.look(view.zoomed(zooms[event.key], place));
    } else return;
    event.preventDefault();
  }

  look([from, to]) {
    this.show({ from, to }, true);
  }

  moveTo(cursor, event) {
    this.show({ cursor });
    this.on.hover(cursor, event);
  }

  /** Scroll a row into sight. */
  reveal(row) {
    const { box, element } = this;
    if (!box) return;
    const y = row * box.rowHeight;
    if (y < box.top) element.scrollTop = y;
    if (y + box.rowHeight > box.top + box.height) element.scrollTop = y + box.rowHeight - box.height;
  }
}
