// What is shown, kept in the address, so that it can be shared.

const PREFIX = "p.tbwatch.";

export const DEFAULTS = {
  run: "",
  other: "", // the run beside it
  quantity: "update_ratio",
  group: "auto",
  filter: "",
  axis: "update",
  from: "", // updates at the edges of the picture; empty for the whole run
  to: "",
  row: "", // the selected variable or activation
  step: "",
  severity: "info", // alerts of this severity and graver ones
  holding: "", // "yes" for those only that were not cleared
};

/** The state behind an address `#tbwatch&p.tbwatch.run=...`; what is not there has its default. */
export function fromHash(hash) {
  const state = { ...DEFAULTS };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...value] = part.split("=");
    const key = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : "";
    if (!Object.hasOwn(DEFAULTS, key)) continue;
    try {
      state[key] = decodeURIComponent(value.join("="));
    } catch {
      // An address that was cut off.
    }
  }
  return state;
}

/** The address of a state: what differs from the defaults. */
export function toHash(state) {
  const parts = Object.keys(DEFAULTS)
    .filter((key) => String(state[key]) !== DEFAULTS[key])
    .map((key) => `${PREFIX}${key}=${encodeURIComponent(state[key])}`);
  return ["#tbwatch", ...parts].join("&");
}

/** Holds the state, writes it into the address, and tells of changes. */
export class State {
  constructor(win) {
    this.win = win;
    this.values = fromHash(win.location.hash);
    this.listeners = [];
    win.addEventListener("hashchange", () => {
      const given = fromHash(win.location.hash);
      if (toHash(given) !== toHash(this.values)) this.set(given);
    });
  }

  /** Change some values; everybody who listens hears which ones. */
  set(changes) {
    const changed = Object.keys(changes).filter(
      (key) => String(this.values[key]) !== String(changes[key]),
    );
    if (!changed.length) return;
    for (const key of changed) this.values[key] = String(changes[key]);
    this.win.history.replaceState(null, "", toHash(this.values));
    for (const listener of this.listeners) listener(new Set(changed));
  }

  listen(listener) {
    this.listeners.push(listener);
  }
}
