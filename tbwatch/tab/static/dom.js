// Elements of the page. Names come from users: they are only ever set as text.

/**
 * Make an element.
 * @param {string} tag its name
 * @param {Object} attributes attributes; functions become event listeners
 * @param {...(Node|string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

/** A drop-down list with a label; `options` are pairs of value and text. */
export function choice(label, options, selected, onChange) {
  const select = make("select", { change: () => onChange(select.value) });
  for (const [value, text] of options) {
    select.append(make("option", { value, selected: value === selected }, text));
  }
  return make("label", { class: "choice" }, label, select);
}

/** Draw at the resolution of the screen: size a canvas in CSS pixels, return its context. */
export function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** The value of a CSS variable, so that canvases follow the theme. */
export function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A number for people: three digits, and what is no number by its name. */
export function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "no value";
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace("e+", "e").replace("-", "−");
  return String(Number(value.toPrecision(3)));
}

/** A number beside a scale, as short as can be. */
export function short(value) {
  const power = Math.log10(Math.abs(value));
  const isPower = value > 0 && Math.abs(power - Math.round(power)) < 1e-9;
  if (isPower && Math.abs(power) > 1) return `1e${Math.round(power)}`.replace("-", "−");
  return shown(Number(value.toPrecision(2)));
}
