// The page: what a document says of one channel at a time, and the console beside it.

import { Console } from "./console.js";
import { AsyncApi, pretty } from "./document.js";
import { element, paragraphs, shown } from "./dom.js";
import { fieldsOf } from "./schema.js";

const place = (id) => document.getElementById(id);

function showTop(api) {
  const { info, servers } = api.content;
  document.title = info.title;
  place("top").append(
    element("h1", {}, info.title, " ", element("span", { class: "version" }, info.version)),
    element("div", { class: "about" }, paragraphs(info.description)),
    element(
      "p",
      { class: "servers" },
      Object.values(servers ?? {}).map((server) =>
        element("code", {}, `${server.protocol}://${server.host}${server.pathname ?? ""}`),
      ),
      element("a", { href: "asyncapi.json" }, "asyncapi.json"),
    ),
  );
}

function showNavigation(api, chosen) {
  place("channels").replaceChildren(
    element(
      "ul",
      {},
      api.channels.map((channel) =>
        element(
          "li",
          {},
          element(
            "a",
            { href: `#${encodeURIComponent(channel.name)}`, "aria-current": channel === chosen && "page" },
            element("span", {}, channel.name),
            element("code", {}, channel.address),
          ),
        ),
      ),
    ),
  );
}

function showMessage(api, message) {
  const examples = (message.examples ?? []).map((example) =>
    element("pre", {}, pretty(JSON.stringify(example.payload))),
  );
  return [
    paragraphs(message.description),
    fieldsOf(api, message.payload ?? {}),
    examples.length > 0 &&
      element("details", { class: "example" }, element("summary", {}, examples.length > 1 ? "Examples" : "Example"), examples),
  ];
}

function showTaken(api, operation, useExample) {
  const reply = operation.reply ? api.messages(operation.reply.messages) : [];
  return api.messages(operation.messages).map((message) =>
    element(
      "article",
      { class: "message" },
      element("h4", {}, element("code", {}, message.name)),
      paragraphs(operation.description),
      showMessage(api, message),
      reply.length > 0 &&
        element(
          "p",
          { class: "reply" },
          "Answer: ",
          reply.flatMap((each, index) => [index ? ", " : "", element("code", {}, each.name)]),
        ),
      element("button", { type: "button", class: "quiet", onclick: () => useExample(message) }, `Try ${message.name}`),
    ),
  );
}

function showGiven(api, message) {
  return element(
    "article",
    { class: "message" },
    element("h4", {}, element("code", {}, message.name)),
    showMessage(api, message),
  );
}

function showChannel(api, channel, useExample) {
  const taken = api.operations(channel, "receive");
  const given = api.messages(api.operations(channel, "send").flatMap((operation) => operation.messages ?? []));
  const security = api.security(channel);
  const parameters = Object.entries(channel.parameters ?? {});
  const ws = channel.bindings?.ws ?? {};
  const part = (title, ...content) => element("section", {}, element("h3", {}, title), content);
  const content = [
    element("h2", { tabindex: -1 }, channel.title ?? channel.name),
    element("p", { class: "address" }, element("code", {}, channel.address)),
    paragraphs(channel.description),
    security.length > 0 && element("p", { class: "security" }, "Who you are: ", security.join(", or ")),
    element("button", { type: "button", class: "quiet to-console", onclick: () => place("console").scrollIntoView() }, "Try it"),
    parameters.length > 0 &&
      part(
        "Address",
        fieldsOf(api, {
          properties: Object.fromEntries(parameters.map(([name, each]) => [name, { type: "string", ...each }])),
          required: parameters.map(([name]) => name),
        }),
      ),
    ws.query && part("Query", fieldsOf(api, ws.query)),
    ws.headers && part("Headers", fieldsOf(api, ws.headers)),
    taken.length > 0 && part("You send", taken.map((operation) => showTaken(api, operation, useExample))),
    given.length > 0 && part("You get", given.map((message) => showGiven(api, message))),
    !taken.length && !given.length && element("p", { class: "muted" }, "The messages of this channel are not described."),
  ];
  place("channel").replaceChildren(...shown(content));
}

function show(api, isFirst) {
  const name = location.hash.slice(1);
  const channel = api.channels.find((each) => encodeURIComponent(each.name) === name) ?? api.channels[0];
  showNavigation(api, channel);
  current?.disconnect();
  current = new Console(api, channel);
  place("console").replaceChildren(current.element);
  showChannel(api, channel, (message) => current.use(message));
  if (!isFirst) place("channel").querySelector("h2").focus();
}

let current = null;

async function start() {
  try {
    const response = await fetch("asyncapi.json");
    if (!response.ok) throw new Error(`The server answers with status ${response.status}.`);
    const api = new AsyncApi(await response.json());
    showTop(api);
    show(api, true);
    addEventListener("hashchange", () => show(api, false));
  } catch (error) {
    place("channel").replaceChildren(
      element("p", { class: "notice", role: "alert" }, `The document cannot be shown. ${error.message}`),
    );
  }
}

start();
