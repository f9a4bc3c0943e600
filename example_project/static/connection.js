// The connection of a panel, as its visitor sees it: `Client` does the rest.

import { Client } from "/consumers/consumers.js";

export const NAMES_OF_STATES = {
  idle: "",
  connecting: "Connecting…",
  recovering: "Catching up…",
  open: "Connected",
  offline: "Disconnected", // until the next attempt
  closed: "Disconnected", // until the visitor asks for something
};

/**
 * The connection of one panel. Its state is the panel's data-state, one of NAMES_OF_STATES. A close with 1000 or a code
 * of the application (4000 and up) is meant: it is no failure.
 */
export class Connection {
  client = null;
  wasOpen = false;
  gaps = 0;
  missed = 0; // messages that came when it was back
  seconds = 0; // until the next attempt
  #timer;

  constructor(panel, { opened = () => {}, dropped = () => {}, ended = () => {} } = {}) {
    Object.assign(this, { panel, opened, dropped, ended });
    this.told = panel.querySelector(".told"); // what is read aloud of a drop
    this.notice = panel.querySelector(".notice"); // what is seen of it
    this.notice?.querySelector(".again").addEventListener("click", () => this.client.wake());
    this.changed = () => {};
  }

  get state() {
    return this.panel.dataset.state;
  }

  get isOpen() {
    return this.state === "open" || this.state === "recovering";
  }

  open(path, options) {
    this.close();
    this.wasOpen = false;
    this.gaps = 0;
    const client = new Client(new URL(path, document.baseURI), options);
    this.client = client;
    client.onGap(() => (this.gaps += 1));
    client.onState((state, detail) => this.client === client && this.#follow(state, detail));
    client.on("joined", ({ missed }) => (this.missed = missed));
    for (const type of ["*", "joined", "gap"]) client.on(type, () => this.changed());
    return client;
  }

  close() {
    const client = this.client;
    this.client = null;
    client?.close();
    this.#show("idle");
  }

  #follow(state, { code, reason, retryIn }) {
    const hadOpened = this.isOpen;
    const isMeant = code === 1000 || code >= 4000;
    if (state === "closed") this.client = null;
    this.#show(state === "closed" && isMeant ? "idle" : state);
    if (state === "offline") {
      this.missed = 0;
      this.#wait(performance.now() + retryIn);
    }
    if (state === "connecting" && !this.notice?.hidden) this.#tell("Trying again…");
    if (this.isOpen && !hadOpened) {
      this.wasOpen = true;
      this.opened();
    }
    if (state === "offline" && hadOpened) this.dropped();
    if (state === "closed") this.ended(code, reason);
  }

  #show(state) {
    clearInterval(this.#timer);
    this.panel.dataset.state = state;
    this.panel.querySelector(".link").textContent = NAMES_OF_STATES[state];
    if (state !== "offline" && state !== "connecting") this.#hush();
    this.changed();
  }

  /** Counts down to the next attempt. It is read aloud once, not for each second. */
  #wait(end) {
    const what = this.wasOpen ? "Connection lost." : "The server does not answer.";
    const count = (aloud) => {
      this.seconds = Math.max(1, Math.ceil((end - performance.now()) / 1000));
      this.#tell(`${what} Next try in ${this.seconds} s.`, aloud);
      this.changed();
    };
    count(true);
    this.#timer = setInterval(() => count(false), 200);
  }

  #tell(text, aloud = true) {
    if (!this.notice) return;
    this.notice.hidden = false;
    this.notice.querySelector(".countdown").textContent = text;
    if (aloud) this.told.textContent = text;
  }

  #hush() {
    if (!this.notice) return;
    const focused = this.notice.contains(document.activeElement);
    this.notice.hidden = true;
    this.told.textContent = "";
    if (focused) this.panel.querySelector("form:not([hidden]) input, .toggle")?.focus();
  }
}
