// Puts the parts of the page together, and keeps them up to date.

import { SEVERITIES, alertList, causes } from "./alerts.js";
import { choice, make } from "./dom.js";
import { Maps } from "./maps.js";
import { runTable } from "./runs.js";
import { State } from "./state.js";
import { runPanel, variablePanel } from "./variable.js";

const POLL = 10_000; // milliseconds
const EMPTY =
  'No records yet. Add a callback to your training, model.fit(..., callbacks=[tbwatch.Watch("logs/run1")]), ' +
  "and start TensorBoard with the directory above it: tensorboard --logdir logs. This page looks for new " +
  "records by itself.";

export class App {
  /**
   * @param {Object} data the api: a server, or what a report carries
   * @param {Window} win the window whose address is the state
   */
  constructor(data, win) {
    this.data = data;
    this.win = win;
    this.state = new State(win);
    this.state.listen((changed) => this.changed(changed));
    this.runs = [];
    this.details = new Map(); // run -> details
    this.series = new Map(); // run and quantity -> series
    this.maps = new Maps(this.state);
    this.message = make("div", { role: "status", class: "message", hidden: true });
    this.list = make("div");
    this.alerts = make("section", { "aria-label": "Alerts" });
    this.variable = make("section", { "aria-label": "Variable" });
    this.element = make(
      "main",
      { class: "empty" },
      this.message,
      make(
        "div",
        { class: "columns" },
        make("div", {}, this.maps.element, this.variable),
        make(
          "aside",
          {},
          make("section", { "aria-label": "Runs" }, make("h2", {}, "Runs"), this.list),
          this.alerts,
        ),
      ),
    );
  }

  /** Begin: load what the address asks for, and look for news from time to time. */
  async start() {
    this.followTheme();
    await this.reload();
    setInterval(() => {
      if (!document.hidden) this.reload();
    }, POLL);
  }

  get isDark() {
    return document.documentElement.classList.contains("dark");
  }

  /** Dark mode has no API: TensorBoard marks its own body. */
  followTheme() {
    const { body } = this.win.document;
    const follow = () => {
      const isDark = body.classList.contains("dark-mode");
      if (isDark === this.isDark) return;
      document.documentElement.classList.toggle("dark", isDark);
      this.redraw();
    };
    document.documentElement.classList.toggle("dark", body.classList.contains("dark-mode"));
    new MutationObserver(follow).observe(body, { attributeFilter: ["class"] });
  }

  /** Ask for the runs; whatever has grown is loaded anew. */
  async reload() {
    try {
      const { runs } = await this.data.runs();
      const known = new Map(this.runs.map((run) => [run.run, JSON.stringify(run)]));
      const grown = runs.filter((run) => known.get(run.run) !== JSON.stringify(run));
      for (const { run } of grown) this.forget(run);
      const isNews = grown.length || runs.length !== this.runs.length || !runs.length;
      this.runs = runs;
      if (isNews || !this.current) await this.redraw();
    } catch (error) {
      this.say(error.message);
    }
  }

  forget(run) {
    this.details.delete(run);
    for (const key of this.series.keys()) if (key.startsWith(`${run}\n`)) this.series.delete(key);
  }

  say(sentence) {
    this.message.textContent = sentence;
    this.message.hidden = !sentence;
  }

  changed(changed) {
    const only = (...keys) => [...changed].every((key) => keys.includes(key));
    if (only("from", "to")) this.maps.zoomed();
    else this.redraw();
  }

  /** The run that is shown: the one of the address, else the one with the gravest alerts. */
  get run() {
    if (this.state.values.run) return this.state.values.run;
    const weight = ({ raised }) => SEVERITIES.reduce((sum, one) => 100 * sum + raised[one], 0);
    const [worst] = [...this.runs].sort((a, b) => weight(b) - weight(a));
    return worst.run;
  }

  detailsOf(run) {
    return kept(this.details, run, () => this.data.run(run));
  }

  seriesOf(run, quantity) {
    return kept(this.series, `${run}\n${quantity}`, () => this.data.series(run, quantity));
  }

  /** Show everything; a later call wins over an earlier one that is still waiting. */
  async redraw() {
    const turn = (this.turn = (this.turn || 0) + 1);
    try {
      this.element.classList.toggle("empty", !this.runs.length);
      if (!this.runs.length) {
        this.say(EMPTY);
        return;
      }
      const { quantity, other } = this.state.values;
      const chosen = [...new Set([this.run, other].filter(Boolean))];
      this.list.replaceChildren(
        runTable(this.runs, this.run, other, (changes) => this.state.set(changes)),
      );
      const runs = await Promise.all(
        chosen.map(async (run) => {
          const details = await this.detailsOf(run);
          const isHeld = details.quantities.some((q) => q.name === quantity && q.of !== "run");
          return { details, series: isHeld ? await this.seriesOf(run, quantity) : null };
        }),
      );
      if (turn !== this.turn) return;
      this.say(runs.flatMap(({ details }) => details.problems).join(" "));
      this.current = runs[0].details;
      this.other = runs.length > 1 ? runs[1].details : null;
      this.maps.show(runs, this.isDark);
      this.showAlerts();
      await this.showVariable(turn);
    } catch (error) {
      if (turn === this.turn) this.say(error.message);
    }
  }

  showAlerts() {
    const { severity, holding } = this.state.values;
    const options = SEVERITIES.map((one) => [one, one === "critical" ? one : `${one} and up`]);
    const filters = make(
      "div",
      { class: "filters" },
      choice("show", options, severity, (value) => this.state.set({ severity: value })),
      make(
        "label",
        { class: "choice" },
        make("input", {
          type: "checkbox",
          checked: holding !== "",
          change: (event) => this.state.set({ holding: event.target.checked ? "yes" : "" }),
        }),
        "only what holds",
      ),
    );
    const select = (row, step) => this.state.set({ row, step });
    const lists = [this.current, this.other].filter(Boolean).flatMap(({ name, alerts, holding }) => {
      const every = causes(alerts, holding);
      return [
        make("h2", {}, `Alerts of ${name} (${every.length})`),
        alertList(every, this.state.values, select),
      ];
    });
    lists.splice(1, 0, filters);
    this.alerts.replaceChildren(...lists);
  }

  async showVariable(turn) {
    const { row, step, axis } = this.state.values;
    const last = Math.max(this.current.last_update, this.other ? this.other.last_update : 0, 1);
    const { from, to } = this.maps.view;
    const view = axis === "update" ? [from, Math.min(to, last)] : [0, last];
    const data = {
      series: (run, quantity) => this.seriesOf(run, quantity),
      histograms: (run, name) => this.data.histograms(run, name),
      magnitudes: (run, name) => this.data.magnitudes(run, name),
      pictures: (run, layer) => this.data.pictures(run, layer),
      picture: (run, layer, update) => this.data.picture(run, layer, update),
    };
    const { current: run, other, isDark } = this;
    const shown = { name: row, run, other, view, step, isDark };
    // An alert may be about the whole run.
    const isOfRun = ["", "loss", "learning_rate", "loss_scale"].includes(row);
    const panel = await (isOfRun ? runPanel : variablePanel)(shown, data);
    if (turn !== this.turn) return;
    const hint = "Click a row of the map, or an alert, to see the curves of a variable.";
    const head = isOfRun
      ? [make("h2", {}, "The whole run"), make("p", { class: "soft" }, hint)]
      : [
          make(
            "div",
            { class: "title" },
            make("h2", {}, make("code", {}, row)),
            make(
              "button",
              { type: "button", click: () => this.state.set({ row: "", step: "" }) },
              "Back to the whole run",
            ),
          ),
        ];
    this.variable.replaceChildren(...head, panel);
  }
}

/** A promise out of a map, made if it is not there, and forgotten if it fails. */
function kept(map, key, load) {
  if (!map.has(key)) {
    map.set(
      key,
      load().catch((error) => {
        map.delete(key);
        throw error;
      }),
    );
  }
  return map.get(key);
}
