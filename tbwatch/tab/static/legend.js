// What the colours mean, and what is healthy.

import { NONFINITE, STEPS, ZERO, css, share } from "./colors.js";
import { make, short, sized, themed } from "./dom.js";
import { advice, valueAt } from "./metrics.js";

const WIDTH = 360;
const BAR = 12;

/** A legend of a quantity: a bar with numbers, the healthy band, and the marks of other cells. */
export function legend(quantity, scale, colors) {
  const canvas = make("canvas", { role: "img", "aria-label": `colours of ${quantity}` });
  const context = sized(canvas, WIDTH, BAR + 20);
  const [left, right] = [32, WIDTH - 64]; // room for half a number at each end
  for (let x = 0; x < right; x++) {
    context.fillStyle = css(colors[1 + Math.round((x / (right - 1)) * (STEPS - 1))]);
    context.fillRect(left + x, 0, 1, BAR);
  }
  context.strokeStyle = themed("--line");
  context.strokeRect(left - 0.5, 0, right + 1, BAR);
  context.font = `11px ${themed("--font")}`;
  context.fillStyle = themed("--soft");
  context.textAlign = "center";
  context.textBaseline = "top";
  const marks = scale.healthy
    ? [scale.low, ...scale.healthy, scale.high]
    : [scale.low, (scale.low + scale.high) / 2, scale.high];
  for (const at of marks) {
    context.fillText(short(valueAt(scale, at)), left + share(scale, at) * right, BAR + 6);
  }
  if (scale.healthy) {
    const [from, to] = scale.healthy.map((at) => left + share(scale, at) * right);
    context.strokeStyle = themed("--good");
    context.lineWidth = 2;
    context.strokeRect(from, 1, to - from, BAR - 2);
  }
  return make(
    "div",
    { class: "legend" },
    canvas,
    scale.healthy ? make("span", { class: "healthy-mark" }, "healthy") : null,
    ...(scale.kind === "log" ? swatch(colors[ZERO], "exactly 0") : []),
    ...swatch(colors[NONFINITE], "not finite"),
    make("span", { class: "swatch missing" }),
    "no value",
    make("span", { class: "advice" }, advice(quantity)),
  );
}

function swatch(color, text) {
  return [make("span", { class: "swatch", style: `background:${css(color)}` }), text];
}
