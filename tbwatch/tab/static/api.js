// Where the data comes from: the routes of the plugin, or what a report carries along.

/** Read a packed series: 4 bytes with the length of a JSON head, the head, float32 by rows. */
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { ...head, values: new Float32Array(buffer, 4 + length, head.rows * head.columns) };
}

/** Data of the plugin that serves this page. */
export class Server {
  constructor(base) {
    this.base = base;
  }

  runs() {
    return this.json("runs", {});
  }

  run(run) {
    return this.json("run", { run });
  }

  async series(run, quantity) {
    const response = await this.get("series", { run, quantity });
    return unpacked(await response.arrayBuffer());
  }

  histograms(run, variable) {
    return this.json("histograms", { run, variable });
  }

  magnitudes(run, variable) {
    return this.json("magnitudes", { run, variable });
  }

  pictures(run, layer) {
    return this.json("pictures", { run, layer });
  }

  picture(run, layer, step) {
    return this.address("picture", { run, layer, step });
  }

  address(route, query) {
    return new URL(`${route}?${new URLSearchParams(query)}`, this.base).href;
  }

  async get(route, query) {
    let response;
    try {
      response = await fetch(this.address(route, query));
    } catch {
      throw new Error("TensorBoard does not answer: is it still running?");
    }
    if (response.ok) return response;
    let sentence = `TensorBoard answered with status ${response.status}.`;
    try {
      sentence = (await response.json()).error || sentence;
    } catch {
      // The status has to do.
    }
    throw new Error(sentence);
  }

  async json(route, query) {
    return (await this.get(route, query)).json();
  }
}

/** The same out of one file: `data` holds the answers of all routes. */
export class Embedded {
  constructor(data) {
    this.data = data;
  }

  async runs() {
    return this.data.runs;
  }

  async run(run) {
    return this.found(this.data.run[run], `there is no run ${run}`);
  }

  async series(run, quantity) {
    const text = this.found((this.data.series[run] || {})[quantity], `there is no ${quantity}`);
    return unpacked(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  }

  async histograms(run, variable) {
    return (this.data.histograms[run] || {})[variable] || {};
  }

  async magnitudes(run, variable) {
    return (this.data.magnitudes[run] || {})[variable] || { steps: [], lowest: 0, counts: [] };
  }

  async pictures(run, layer) {
    const pictures = (this.data.pictures[run] || {})[layer] || {};
    return { steps: Object.keys(pictures).map(Number).sort((a, b) => a - b) };
  }

  picture(run, layer, step) {
    return `data:image/png;base64,${this.data.pictures[run][layer][step]}`;
  }

  found(value, sentence) {
    if (value === undefined) throw new Error(sentence);
    return value;
  }
}
