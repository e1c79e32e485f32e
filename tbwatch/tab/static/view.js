// Which part of a run is seen: places on the axis, samples, and pixels.

/**
 * The visible part of the axis. A place is the number of an update, or of a sample.
 */
export class View {
  /**
   * @param {number[]} steps updates of the samples, growing
   * @param {string} axis "update" or "sample"
   * @param {number[]} asked first and last place that are asked for; Infinity for the end
   * @param {number} width pixels
   * @param {number[]} extent first and last update of all runs on this axis
   */
  constructor(steps, axis, [from, to], width, extent = [Infinity, 0]) {
    Object.assign(this, { steps, axis, width });
    const isOfSamples = axis === "sample" || !steps.length;
    this.first = isOfSamples ? 0 : Math.min(steps[0], extent[0]);
    this.last = isOfSamples ? steps.length : Math.max(this.end(steps.length - 1), extent[1]);
    const [low, high] = [Math.max(from, this.first), Math.min(to, this.last)];
    [this.from, this.to] = high > low ? [low, high] : [this.first, this.last];
  }

  /** Where a sample ends in updates: at the next one, the last an interval behind its begin. */
  end(sample) {
    const { steps } = this;
    if (sample < 0) return 1;
    if (sample + 1 < steps.length) return steps[sample + 1];
    return steps[sample] + Math.max(sample ? steps[sample] - steps[sample - 1] : 1, 1);
  }

  /** The sample at a place, -1 before the first one and behind the last. */
  sampleAt(place) {
    if (this.axis !== "sample" && place > this.end(this.steps.length - 1)) return -1;
    if (this.axis === "sample") return Math.min(Math.floor(place), this.steps.length - 1);
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= place) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The place of an update. */
  placeOf(step) {
    if (this.axis !== "sample") return step;
    const at = this.steps.findIndex((one) => one >= step);
    return at < 0 ? this.steps.length : at;
  }

  /** Pixels from the left edge. */
  x(place) {
    return ((place - this.from) / (this.to - this.from)) * this.width;
  }

  /** The place at so many pixels from the left edge. */
  placeAt(x) {
    return this.from + (x / this.width) * (this.to - this.from);
  }

  /** Left and right edge of a sample in pixels. */
  span(sample) {
    const at = this.axis === "sample" ? [sample, sample + 1] : [this.steps[sample], this.end(sample)];
    return at.map((place) => this.x(place));
  }

  /** The same place, with so many times as much of the axis in sight. */
  zoomed(factor, around) {
    return this.moved(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  /** Edges that keep their distance, pushed back into the run; 0 and Infinity for all of it. */
  moved(from, to) {
    const whole = this.last - this.first;
    const distance = Math.max(Math.min(to - from, whole), 2);
    if (distance >= whole) return [0, Infinity];
    const begin = Math.min(Math.max(from, this.first), this.last - distance);
    return [begin, begin + distance];
  }
}

/** Round numbers between two, about so many. */
export function ticks(from, to, count) {
  const raw = (to - from) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(Math.max(raw, 1e-9)));
  const every = Math.max([1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) || raw, 1);
  const found = [];
  for (let at = Math.ceil(from / every) * every; at <= to; at += every) found.push(Math.round(at));
  return found;
}
