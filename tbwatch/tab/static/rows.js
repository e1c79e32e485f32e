// Rows of the heat map: variables, or groups of them where there are too many to tell apart.

import { strength } from "./colors.js";

// With more rows than this, "auto" goes one level up.
const MOST_ROWS = 60;

/** Grouping levels that can be chosen: value and text. */
export const GROUPS = [
  ["auto", "automatic"],
  ["variable", "variables"],
  ["layer", "layers"],
  ["block", "blocks"],
];

function layerOf(name) {
  return name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : name;
}

function blockOf(name) {
  const layer = layerOf(name);
  // "block1/conv" belongs to block1, "conv2_block3_1_conv" to conv2_block3, "dense_17" to dense.
  if (layer.includes("/")) return layer.slice(0, layer.indexOf("/"));
  const parts = layer.split("_");
  if (parts.length > 2) return parts.slice(0, 2).join("_");
  return layer.replace(/_?\d+$/, "") || layer;
}

/**
 * Rows in forward order: `{name, members}`, members being positions in `names`.
 * @param {string[]} names variables or activations
 * @param {string} group one of GROUPS
 * @param {string} filter text that names contain; several with blanks between them are
 *   alternatives
 */
export function rowsOf(names, group, filter) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const positions = names
    .map((name, position) => position)
    .filter((position) => {
      const name = names[position].toLowerCase();
      return !words.length || words.some((word) => name.includes(word));
    });
  const by = (key) => {
    const rows = new Map();
    for (const position of positions) {
      const name = key(names[position]);
      if (!rows.has(name)) rows.set(name, { name, members: [] });
      rows.get(name).members.push(position);
    }
    return [...rows.values()];
  };
  const levels = { variable: (name) => name, layer: layerOf, block: blockOf };
  if (group !== "auto") return by(levels[group] || levels.variable);
  const layers = by(layerOf);
  if (positions.length <= MOST_ROWS) return by(levels.variable);
  return layers.length <= 4 * MOST_ROWS ? layers : by(blockOf);
}

/**
 * Colours of the rows: of several members the one furthest from health.
 * @param {Uint8Array} levels `[samples, columns]` numbers of colours
 * @param {number} columns
 * @param {{members: number[]}[]} rows
 * @param {boolean} isDiverging whether health is the middle of the scale, not its low end
 * @returns {Uint8Array} `[rows, samples]`
 */
export function rowLevels(levels, columns, rows, isDiverging) {
  const samples = columns ? levels.length / columns : 0;
  const found = new Uint8Array(rows.length * samples);
  rows.forEach(({ members }, row) => {
    for (let sample = 0; sample < samples; sample++) {
      let worst = levels[sample * columns + members[0]];
      for (let member = 1; member < members.length; member++) {
        const level = levels[sample * columns + members[member]];
        if (strength(level, isDiverging) > strength(worst, isDiverging)) worst = level;
      }
      found[row * samples + sample] = worst;
    }
  });
  return found;
}
