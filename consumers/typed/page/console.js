// The console: opens a WebSocket to the page's own host, sends what one writes, and shows what goes out and comes in.

import { pretty, urlOf } from "./document.js";
import { element } from "./dom.js";

const MOST_ENTRIES = 500;

const CLOSED = {
  1000: "normal",
  1001: "going away",
  1003: "unsupported data",
  1006: "no close frame: the handshake was refused, or the network failed",
  1007: "invalid data",
  1008: "policy violation",
  1009: "message too big",
  1011: "an error in the server",
  1012: "the server restarts",
  1013: "try again later",
  4401: "the token has expired",
};

let labels = 0;

/** Makes a labelled control. */
function labelled(text, control, hint) {
  const id = `control-${++labels}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return element(
    "div",
    { class: "control" },
    element("label", { for: id }, text),
    control,
    hint && element("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}

/** Makes a control for a value of the address or query. */
function controlFor(name, choices, isRequired, placeholder) {
  if (!choices) {
    return element("input", { name, required: isRequired, placeholder, autocomplete: "off", spellcheck: "false" });
  }
  const options = choices.map((choice) => element("option", {}, String(choice)));
  const none = element("option", { value: "" }, placeholder ? `${placeholder} (default)` : "–");
  return element("select", { name, required: isRequired }, !isRequired && none, options);
}

export class Console {
  constructor(api, channel) {
    this.api = api;
    this.channel = channel;
    this.socket = null;
    this.lastId = 0;
    this.messages = api.operations(channel, "receive").flatMap((operation) => api.messages(operation.messages));
    this.element = element("div", {}, this.#connector(), this.#editor(), this.#history());
    this.#showState();
    if (this.messages.length) this.#fill(this.messages[0]);
  }

  // What is shown

  #connector() {
    const parameters = Object.entries(this.channel.parameters ?? {});
    const query = this.channel.bindings?.ws?.query ?? {};
    const headers = Object.keys(this.channel.bindings?.ws?.headers?.properties ?? {}).filter((name) => name !== "Cookie");
    this.parameters = parameters.map(([name, each]) => controlFor(name, each.enum, true, each.examples?.[0] ?? ""));
    this.query = Object.entries(query.properties ?? {}).map(([name, schema]) => {
      const whole = this.api.resolve(schema.allOf?.[0] ?? schema);
      const choices = whole.enum ?? (whole.type === "boolean" ? [true, false] : null);
      const otherwise = schema.default === undefined || schema.default === null ? "" : String(schema.default);
      return controlFor(name, choices, (query.required ?? []).includes(name), otherwise);
    });
    this.protocols = element("input", { autocomplete: "off", spellcheck: "false" });
    this.url = element("p", { class: "url" });
    this.button = element("button", { type: "submit" });
    this.state = element("span", { class: "state", role: "status" });
    return element(
      "form",
      {
        "aria-label": "Where to connect",
        oninput: () => this.#showState(),
        onsubmit: (event) => {
          event.preventDefault();
          if (this.socket) this.disconnect();
          else this.#connect();
        },
      },
      element("h2", {}, "Try it"),
      element("div", { class: "controls" }, [...this.parameters, ...this.query].map((control) => labelled(control.name, control))),
      element(
        "details",
        {},
        element("summary", {}, "Subprotocols"),
        labelled("Subprotocols", this.protocols, "With commas between several."),
      ),
      headers.length > 0 && element("p", { class: "hint" }, `A browser cannot send: ${headers.join(", ")}.`),
      this.url,
      element("div", { class: "bar" }, this.button, this.state),
    );
  }

  #editor() {
    this.choice = element(
      "select",
      { onchange: () => this.#fill(this.messages[this.choice.selectedIndex]) },
      this.messages.map((message) => element("option", {}, message.name)),
    );
    this.text = element("textarea", {
      rows: 4,
      spellcheck: "false",
      autocapitalize: "off",
      autocomplete: "off",
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#send(event);
      },
    });
    this.sendButton = element("button", { type: "submit" }, "Send");
    return element(
      "form",
      { "aria-label": "What to send", onsubmit: (event) => this.#send(event) },
      this.messages.length > 1 && labelled("Example", this.choice),
      labelled("Message", this.text),
      element("div", { class: "bar" }, this.sendButton, element("span", { class: "hint" }, "or Ctrl+Enter")),
    );
  }

  #history() {
    this.entries = element("ol", { role: "log", "aria-label": "What went out and came in" });
    const clear = () => this.entries.replaceChildren();
    return element(
      "section",
      { class: "history" },
      element("div", { class: "bar" }, element("h3", {}, "Log"), element("button", { type: "button", class: "quiet", onclick: clear }, "Clear")),
      this.entries,
    );
  }

  #showState() {
    const states = ["connecting …", "connected", "closing …", "not connected"];
    const state = this.socket?.readyState ?? WebSocket.CLOSED;
    this.state.textContent = states[state];
    this.state.dataset.state = state === WebSocket.OPEN ? "open" : "";
    this.button.textContent = this.socket ? "Disconnect" : "Connect";
    this.sendButton.disabled = state !== WebSocket.OPEN;
    for (const control of [...this.parameters, ...this.query, this.protocols]) control.disabled = this.socket !== null;
    this.url.textContent = this.#url();
  }

  /** Adds an entry, the newest first: it is in sight without scrolling. */
  #log(kind, sign, about, text = "") {
    const now = new Date();
    this.entries.prepend(
      element(
        "li",
        { class: kind },
        element(
          "div",
          { class: "head" },
          element("span", { class: "sign" }, sign),
          element("span", { class: "what" }, about),
          element("time", { datetime: now.toISOString() }, now.toTimeString().slice(0, 8)),
        ),
        text && element("pre", {}, pretty(text)),
      ),
    );
    while (this.entries.children.length > MOST_ENTRIES) this.entries.lastChild.remove();
  }

  // What is done

  #url() {
    const valuesOf = (controls) => Object.fromEntries(controls.map((control) => [control.name, control.value]));
    const query = valuesOf(this.query.filter((control) => control.value !== ""));
    return urlOf(this.api, this.channel, valuesOf(this.parameters), query);
  }

  #connect() {
    const protocols = this.protocols.value.split(",").map((each) => each.trim()).filter(Boolean);
    let socket;
    try {
      socket = new WebSocket(this.#url(), protocols);
    } catch (error) {
      this.#log("failed", "×", error.message);
      return;
    }
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#log("note", "·", socket.protocol ? `connected, subprotocol ${socket.protocol}` : "connected");
      this.#showState();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => {
      const words = reason || CLOSED[code];
      this.#log(code === 1000 ? "note" : "failed", "×", `closed with ${code}${words ? `: ${words}` : ""}`);
      this.socket = null;
      this.#showState();
    };
    this.#showState();
  }

  disconnect() {
    this.socket?.close(1000);
    if (this.socket) this.#showState();
  }

  #receive(data) {
    if (typeof data !== "string") {
      this.#log("received", "↓", `binary, ${data.byteLength} bytes`);
      return;
    }
    const type = typeOf(data);
    this.#log(type === "error" ? "received failed" : "received", "↓", type ?? "text", data);
  }

  #send(event) {
    event.preventDefault();
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const text = this.text.value;
    this.socket.send(text);
    this.#log("sent", "↑", typeOf(text) ?? "text", text);
    this.text.value = text.replace(`"${this.idKey}": ${this.lastId}`, `"${this.idKey}": ${++this.lastId}`);
  }

  /** Puts an example of a message into the editor, which gets the focus. */
  use(message) {
    this.choice.selectedIndex = this.messages.findIndex((each) => each.key === message.key);
    this.#fill(message);
    this.text.focus();
    this.text.scrollIntoView({ block: "center" });
  }

  #fill(message) {
    this.idKey = message.correlationId?.location?.split("#/").at(-1);
    const example = message.examples?.[0]?.payload ?? { type: message.name };
    const content = this.idKey ? { ...example, [this.idKey]: ++this.lastId } : example;
    this.text.value = pretty(JSON.stringify(content));
    this.text.rows = Math.min(14, Math.max(4, this.text.value.split("\n").length));
  }
}

/** Returns the type of a message; null if it has none. */
function typeOf(text) {
  try {
    const type = JSON.parse(text)?.type;
    return typeof type === "string" ? type : null;
  } catch {
    return null;
  }
}
