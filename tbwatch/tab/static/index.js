// The tab "Training health".

import { App } from "./app.js";
import { Server } from "./api.js";
import { make } from "./dom.js";

/** Called by TensorBoard when the tab is opened. */
export async function render() {
  const here = import.meta.url;
  document.head.append(make("link", { rel: "stylesheet", href: new URL("style.css", here).href }));
  document.title = "Training health";
  document.documentElement.lang = "en";
  const app = new App(new Server(new URL("../", here)), window.parent);
  document.body.append(app.element);
  window.tbwatchApp = app; // for those who measure
  await app.start();
}
