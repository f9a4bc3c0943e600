// A panel with its connection, as its visitor sees it: `Client` does the rest.

import { Client } from "/consumers/consumers.js";
import { complain, copy, fill } from "./elements.js";

const NAMES = { idle: "", connecting: "Connecting…", recovering: "Catching up…", open: "Connected" };

/**
 * Calls `messages[type]` with a message, `opened()` when there is a connection, `dropped()` when it is lost for now, and
 * `ended(code, reason)` when it is closed for good, and `changed()` with all that. A close with 1000 or a code of the
 * application (4000 and up) is meant: it is no failure.
 */
export class Panel {
  client = null;
  gaps = 0;
  find = (...selectors) => selectors.map((selector) => this.element.querySelector(selector));
  #timer;

  constructor(id, hooks = {}) {
    Object.assign(this, { element: document.getElementById(id), messages: {}, changed() {}, ...hooks });
    this.element.querySelector(".lost").replaceWith(copy("notice"));
    this.element.querySelector(".again").onclick = () => this.client.wake();
    this.#show("idle");
  }

  open(path, options) {
    this.close();
    this.gaps = 0;
    fill(this.element, { failure: "The server does not answer." });
    const client = (this.client = new Client(path, options));
    client.on("joined", (message) => (this.joined = message));
    for (const [type, take] of Object.entries(this.messages)) client.on(type, take);
    client.on("*", () => this.changed());
    client.onGap(() => (this.gaps += 1));
    client.onState((state, detail) => this.#follow(state, detail));
  }

  close(code) {
    this.client?.close(code);
  }

  #follow(state, { code, reason, retryIn }) {
    const wasOpen = this.isOpen;
    if (state === "closed") this.client = null;
    this.#show(state === "closed" && (code === 1000 || code >= 4000) ? "idle" : state);
    if (state === "closed") this.ended?.(code, reason);
    if (state === "offline") this.#countDown(performance.now() + retryIn);
    if (state === "offline" && wasOpen) this.dropped?.();
    if (!this.isOpen || wasOpen) return;
    fill(this.element, { failure: "Connection lost." }); // the next time
    for (const field of this.element.querySelectorAll("input")) complain(field);
    this.opened?.();
  }

  #show(state) {
    const [notice] = this.find(".notice");
    const hadFocus = notice.contains(document.activeElement);
    clearInterval(this.#timer);
    this.element.dataset.state = state;
    this.isOpen = state === "open" || state === "recovering";
    this.status = NAMES[state] ?? "Disconnected";
    fill(this.element, { link: this.status, next: "Trying again…" });
    if (state !== "connecting") notice.hidden = state !== "offline";
    const controls = [...this.element.querySelectorAll("input, .toggle")];
    if (hadFocus && notice.hidden) controls.find((each) => each.checkVisibility()).focus();
    this.changed();
  }

  #countDown(end) {
    const count = () => {
      this.status = `Next try in ${Math.max(1, Math.ceil((end - performance.now()) / 1000))} s`;
      fill(this.element, { next: `${this.status}.` });
      this.changed();
    };
    count();
    this.#timer = setInterval(count, 200);
  }
}
