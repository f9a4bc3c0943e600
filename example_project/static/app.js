// The page of the example. Whatever came over a socket is shown as text (textContent), never as HTML.

import { Client } from "/consumers/consumers.js";

const LONGEST_LOG = 500; // entries
const QUIET = 10_000; // milliseconds, as all times here: an answer that has stopped for so long may have lost its writer
const TYPING = 2000; // between two signs that somebody is typing; each counts for twice that
const SLOW = 300; // a message that is not said after so long is shown as one that waits
const BAD_NAME = 4003; // close code

const NAMES_OF_STATES = {
  idle: "",
  connecting: "Connecting…",
  recovering: "Catching up…",
  open: "Connected",
  offline: "Disconnected", // until the next attempt
  closed: "Disconnected", // until the visitor asks for something
};

/** Makes an element with some text or other elements in it. */
function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...contents);
  return element;
}

/** Keeps a log scrolled to its end, unless its reader has scrolled up. */
function follow(log) {
  let atEnd = true;
  const stay = () => {
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener("scroll", () => {
    atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  });
  new MutationObserver(stay).observe(log, { childList: true, subtree: true });
  new ResizeObserver(stay).observe(log);
}

/** Adds an entry to a log and drops the oldest when there are too many. */
function write(log, entry) {
  log.append(entry);
  while (log.childElementCount > LONGEST_LOG) log.firstElementChild.remove();
  return entry;
}

/** Brings an entry into view, once `follow` has had its turn, while its reader is busy in its panel. */
function reveal(entry) {
  queueMicrotask(() => {
    if (entry.closest(".panel")?.contains(document.activeElement)) entry.scrollIntoView({ block: "nearest" });
  });
}

/** Returns an element that shows a time of today, or another day's with the weekday. */
function timeOf(date) {
  const weekday = date.toDateString() === new Date().toDateString() ? {} : { weekday: "short" };
  const time = make("time", "", date.toLocaleTimeString([], { ...weekday, hour: "2-digit", minute: "2-digit" }));
  time.dateTime = date.toISOString();
  return time;
}

/** Shows what is wrong with a field beside it, or, with no text, that all is well. */
function complain(field, text = "") {
  document.getElementById(`${field.id}-problem`).textContent = text;
  field.removeAttribute("aria-invalid");
  if (text) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

/**
 * The connection of one panel. Its state is the panel's data-state, one of NAMES_OF_STATES. A close with 1000 or a code
 * of the application (4000 and up) is meant: it is no failure.
 */
class Connection {
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

function startChat() {
  const panel = document.getElementById("chat");
  const find = (selector) => panel.querySelector(selector);
  const [joinForm, room, sayForm] = [".join", ".room", ".say"].map(find);
  const [log, list, title, typing] = [".log", ".people", "#room-title", ".typing"].map(find);
  const { name: nameField, room: roomField } = joinForm.elements;
  const { text: textField } = sayForm.elements;
  const typists = new Map(); // id to name and timer
  let people = new Map(); // id to name; to undefined until it is heard
  let version = 0; // of what is known of people
  let me = null;
  let wasHere = false;
  let joined = null; // what the server says of the room's messages
  let toCome = 0; // messages that were said before, and are not here yet
  let typedAt = -TYPING;

  const connection = new Connection(panel, {
    opened: () => complain(textField),
    dropped: () => {
      note("The connection was lost.");
      [...typists.keys()].forEach(stopsTyping);
    },
    ended: (code, reason) => {
      leave();
      complain(code === BAD_NAME ? nameField : roomField, reason || `The server closed the room (${code}).`);
    },
  });

  const messages = {
    joined: (message) => {
      joined = message;
      toCome = joined.missed;
    },
    welcome: ({ person }) => {
      me = person;
      version = 0; // the server may have lost its memory
      enter();
      if (wasHere) note(joined.recovered ? "Connected again." : "Connected again. Some messages may be missing.");
      if (!toCome) arrive();
    },
    gap: () => note("Some messages may be missing."),
    here: (here) => meet(here.version, new Map(Object.entries(here.people).map(namesOf))),
    changed: (change) => {
      const now = new Map([...people, ...Object.entries(change.people).map(namesOf)]);
      change.left.forEach((id) => now.delete(id));
      meet(change.version, now);
    },
    crowd: (crowd) => meet(crowd.version, new Map(), crowd.count),
    typing: ({ person }) => {
      if (person.id === me.id) return; // in another tab
      stopsTyping(person.id);
      const timer = setTimeout(() => stopsTyping(person.id), 2 * TYPING);
      typists.set(person.id, { name: person.name, timer });
      showTypists();
    },
    said: ({ person, text, sent, at: [, position] }) => {
      toCome -= 1;
      stopsTyping(person.id);
      if (log.querySelector(`[data-position="${position}"]`)) return; // one of the newest, which came for what is lost
      const isMine = person.id === me.id;
      const by = make("span", "by", isMine ? "You" : who(person.name));
      const meta = make("div", "meta", by, timeOf(new Date(sent)));
      const entry = make("div", isMine ? "message mine" : "message", meta, wordsOf(text));
      write(log, coloured(entry, person.id)).dataset.position = position;
      if (toCome === 0) arrive();
    },
  };

  const who = (name) => make("bdi", "", name);
  const note = (...contents) => write(log, make("p", "note", ...contents));
  const namesOf = ([id, metas]) => [id, metas.map(({ name }) => name).join(" / ") || people.get(id)]; // []: has just gone

  function wordsOf(text) {
    const words = make("p", "words", text);
    words.dir = "auto";
    return words;
  }

  function coloured(element, id) {
    element.style.setProperty("--hue", Number.parseInt(id.slice(0, 4), 16) % 360); // degrees
    return element;
  }

  function stopsTyping(id) {
    clearTimeout(typists.get(id)?.timer);
    if (typists.delete(id)) showTypists();
  }

  function showTypists() {
    const names = [...typists.values()].map(({ name }) => name);
    if (names.length > 2) typing.textContent = `${names.length} people are typing…`;
    else typing.textContent = names.length ? `${names.join(" and ")} ${names[1] ? "are" : "is"} typing…` : "";
  }

  function arrive() {
    if (!wasHere) note("You joined ", roomField.value, ".");
    wasHere = true;
  }

  /** Takes in who is here, unless more is known already. */
  function meet(newer, now, count) {
    if (newer < version) return;
    version = newer;
    for (const [some, others, what] of [[people, now, " left."], [now, people, " joined."]]) {
      for (const [id, name] of some) {
        if (name && id !== me.id && others.size && !others.has(id)) note(who(name), what);
        if (others === now && !now.has(id)) stopsTyping(id);
      }
    }
    people = now;
    const isMe = ([id]) => id === me.id;
    const named = [...people].filter(([, name]) => name);
    named.sort((one, other) => isMe(other) - isMe(one) || one[1].localeCompare(other[1]));
    const entries = named.map(([id, name]) => coloured(make("li", "", who(name), id === me.id ? " (you)" : ""), id));
    list.replaceChildren(...(count ? [make("li", "", `${count} people`)] : entries));
  }

  function join() {
    localStorage.name = nameField.value; // the tabs of a browser are one person
    if (!/^[0-9a-f]{32}$/.test(localStorage.id)) localStorage.id = crypto.randomUUID().replaceAll("-", "");
    const { name, id } = localStorage;
    const query = new URLSearchParams({ name, id });
    const client = connection.open(`ws/chat/${encodeURIComponent(roomField.value)}?${query}`);
    for (const [type, take] of Object.entries(messages)) client.on(type, take);
  }

  function enter() {
    if (!room.hidden) return;
    joinForm.hidden = true;
    room.hidden = sayForm.hidden = false;
    title.textContent = sessionStorage.room = roomField.value;
    history.replaceState(null, "", `#${roomField.value}`);
    log.replaceChildren();
    textField.focus();
  }

  function leave() {
    connection.close();
    sessionStorage.removeItem("room");
    me = null;
    wasHere = false;
    people = new Map();
    [...typists.keys()].forEach(stopsTyping);
    joinForm.hidden = false;
    room.hidden = sayForm.hidden = true;
    complain(textField);
    nameField.focus();
  }

  /** Says something, now or when there is a connection. Meanwhile it is shown as what waits. */
  async function say(text) {
    const waiting = make("div", "waiting", make("div", "meta", "On its way"), wordsOf(text));
    const timer = setTimeout(() => write(log, waiting), SLOW);
    try {
      await connection.client.request({ type: "say", text }, { timeout: Infinity });
    } catch ({ code, errors, message }) {
      if (code === "closed") return; // its visitor has left the room
      textField.value ||= text;
      complain(textField, code === "queue_full" ? "Too many messages wait already." : (errors[0]?.msg ?? message));
    } finally {
      clearTimeout(timer);
      waiting.remove();
    }
  }

  joinForm.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(nameField);
    complain(roomField);
    roomField.value = roomField.value.trim();
    if (roomField.value) join();
    else complain(roomField, "Choose a room first.");
  });

  sayForm.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(textField);
    say(textField.value);
    textField.value = "";
    typedAt = -TYPING;
  });

  textField.addEventListener("input", () => {
    if (!textField.value || performance.now() - typedAt < TYPING || !connection.isOpen) return;
    typedAt = performance.now();
    connection.client.send({ type: "type" });
  });

  panel.querySelector(".leave").addEventListener("click", leave);
  nameField.value = localStorage.name ?? "";
  if (/^#[\w-]{1,40}$/.test(location.hash)) roomField.value = location.hash.slice(1);
  if (sessionStorage.room && sessionStorage.room === roomField.value) join(); // the page was reloaded
  return connection;
}

function startAnswer() {
  const GOES_ON = "Reload this page now: the answer goes on.";
  const panel = document.getElementById("stream");
  const [form, text, hint] = ["form", ".text", ".state"].map((selector) => panel.querySelector(selector));
  const field = form.elements.question;
  let answer = JSON.parse(sessionStorage.getItem("answer")); // outlives the page: what was asked, and where it begins
  let quiet = null; // the timer that says that nothing comes

  const connection = new Connection(panel, {
    opened: () => {
      complain(field);
      expect(GOES_ON);
    },
    dropped: () => {
      clearTimeout(quiet);
      hint.textContent = "Interrupted";
    },
    ended: (code, reason) => {
      sessionStorage.removeItem("answer");
      finish(reason || `The server closed the connection (${code}).`);
    },
  });

  function read() {
    text.replaceChildren();
    field.value = answer.question;
    text.ariaBusy = "true"; // so that it is read aloud as one
    hint.textContent = "";
    const client = connection.open(`ws/answers/${answer.id}`, { since: { answer: answer.since } });
    client.on("word", (word) => {
      text.append(word.text);
      expect(GOES_ON);
    });
    client.on("end", ({ whole }) => {
      connection.close();
      finish(whole ? "That is the whole answer." : "The answer broke off.");
    });
  }

  /** Says something, until nothing comes for a while. */
  function expect(what) {
    if (hint.textContent !== what) hint.textContent = what;
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      hint.textContent = `Nothing has come for ${QUIET / 1000} s. Its writer may be gone: ask again.`;
    }, QUIET);
  }

  function finish(what) {
    clearTimeout(quiet);
    text.ariaBusy = "false";
    hint.textContent = what;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(field);
    const question = field.value.trim();
    const response = await fetch("answers", { method: "POST", body: question }).catch(() => null);
    if (!response?.ok) {
      complain(field, response ? await response.text() : "There is no connection to the server.");
      return;
    }
    answer = { question, ...(await response.json()) };
    sessionStorage.setItem("answer", JSON.stringify(answer));
    read();
  });

  if (answer) read();
  return connection;
}

/** Shows how the connections of some panels are, and has the server break them: this page's, and no other's. */
function startConnections(connections) {
  const TOLD = {
    cut: "Cut. The page has to find out by itself.",
    delay: "Delayed. What is said now comes late, but it comes.",
    kill: "Killed. The server has said when to come back.",
  };
  const panel = document.getElementById("connections");
  const report = panel.querySelector(".report");
  const returns = new Map(); // since the last break: the panel's title, and what is told of its return

  function watch(connection) {
    const title = connection.panel.querySelector("h2").textContent;
    const row = panel.querySelector(`[data-of="${connection.panel.id}"]`);
    const [state, place, gaps] = [".now", ".place", ".gaps"].map((selector) => row.querySelector(selector));
    let lost = null; // when, and with how many gaps before

    connection.changed = () => {
      row.dataset.state = connection.state;
      state.textContent = NAMES_OF_STATES[connection.state] || "Not in use";
      if (connection.state === "offline") state.textContent = `Next try in ${connection.seconds} s`;
      const [[label, position] = []] = Object.entries(connection.client?.positions ?? {});
      place.textContent = position ? `${label} ${position.replace(/^(.{4}).*\.(\d+)$/, "$1… $2")}` : "–";
      place.title = position ?? "";
      gaps.textContent = connection.gaps;
      if (connection.state === "idle") lost = null;
      if (connection.state === "offline") lost ??= { at: performance.now(), gaps: connection.gaps };
      if (connection.state !== "open" || !lost) return;
      const seconds = ((performance.now() - lost.at) / 1000).toFixed(1);
      let what = "nothing missed";
      if (connection.missed) what = `${connection.missed} missed message${connection.missed > 1 ? "s" : ""} came`;
      if (connection.gaps > lost.gaps) what = "messages may be missing";
      returns.set(title, `${title}: back after ${seconds} s, ${what}.`);
      report.textContent = [...returns.values()].join(" ");
      lost = null;
    };
    connection.changed();
  }

  panel.addEventListener("click", (event) => {
    const how = event.target.closest("[data-how]")?.dataset.how;
    if (!how) return;
    const open = connections.filter(({ isOpen }) => isOpen);
    returns.clear();
    for (const { client } of open) client.send({ type: "break", how });
    report.textContent = open.length ? TOLD[how] : "There is no connection to break. Join the chat, or ask for an answer.";
  });
  connections.forEach(watch);
}

function startTicker() {
  const SHOWN = 60; // values in the line
  const panel = document.getElementById("ticker");
  const [toggle, value, count] = [".toggle", ".value", ".count"].map((selector) => panel.querySelector(selector));
  const line = panel.querySelector("polyline");
  let values = [];
  let wanted = false; // what the button asks for
  let running = false; // what the server does

  const ask = () => connection.client.send({ type: wanted ? "start" : "stop" });

  const connection = new Connection(panel, {
    opened: ask,
    dropped: () => {
      running = false;
      count.textContent = "Interrupted";
    },
    ended: () => want(false),
  });

  const messages = {
    state: (state) => {
      running = state.running;
      count.textContent = running ? "Started" : "Stopped";
    },
    tick: (tick) => {
      if (!running) return; // it was on its way when the server stopped
      values = [...values, tick.value].slice(-SHOWN);
      value.textContent = tick.value.toFixed(2);
      count.textContent = `Tick ${tick.number}`;
      draw();
    },
  };

  function draw() {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const height = (value) => (high === low ? 10 : 20 - (20 * (value - low)) / (high - low));
    line.setAttribute("points", values.map((value, index) => `${index},${height(value).toFixed(2)}`).join(" "));
  }

  function want(something) {
    wanted = something;
    toggle.textContent = wanted ? "Stop" : "Start";
  }

  toggle.addEventListener("click", () => {
    want(!wanted);
    if (connection.isOpen) ask();
    else if (!wanted) connection.close();
    else {
      const client = connection.open("ws/ticker");
      for (const [type, take] of Object.entries(messages)) client.on(type, take);
    }
  });
}

function startCommands() {
  const LONGEST = 60_000; // for an answer, with the time until there is a connection
  const panel = document.getElementById("commands");
  const form = panel.querySelector("form");
  const log = panel.querySelector(".log");
  const field = form.elements.line;
  const connection = new Connection(panel);

  async function run(line) {
    const answer = make("p", "answer", "running…");
    const entry = write(log, make("div", "run", make("p", "line", line), answer));
    entry.dataset.state = "running";
    reveal(entry);
    if (!connection.client) connection.open("ws/commands");
    const request = connection.client.request({ type: "run", line }, { timeout: LONGEST });
    const { type, text } = await request.catch(() => ({ type: "refusal", text: "No answer." }));
    entry.dataset.state = "done";
    answer.textContent = text;
    answer.classList.toggle("wrong", type === "refusal");
    reveal(entry);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(field.value);
    field.value = "";
  });
  for (const button of panel.querySelectorAll(".chips button")) {
    button.addEventListener("click", () => run(button.textContent));
  }
}

function startDialogue() {
  const panel = document.getElementById("dialogue");
  const [log, begin, form] = [".log", ".begin", "form"].map((selector) => panel.querySelector(selector));
  const field = form.elements.answer;

  const connection = new Connection(panel, {
    opened: () => complain(field),
    dropped: () => {
      connection.close(); // a game ends with its connection
      end(null);
    },
    ended: end,
  });

  function end(code) {
    if (code !== 1000) say("The connection was lost.", "note");
    complain(field);
    const focused = form.contains(document.activeElement);
    form.hidden = true;
    begin.hidden = false;
    begin.textContent = "Begin again";
    if (focused) begin.focus();
  }

  const say = (text, className) => reveal(write(log, make("p", className, text)));

  begin.addEventListener("click", () => {
    log.replaceChildren();
    begin.hidden = true;
    form.hidden = false;
    field.focus();
    const client = connection.open("ws/dialogue", { retry: () => false });
    for (const type of ["question", "remark"]) client.on(type, ({ text }) => say(text, type));
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(field);
    const text = field.value;
    if (!connection.isOpen) {
      complain(field, "There is no connection yet.");
      return;
    }
    if (text.trim()) {
      say(text, "you");
      field.value = "";
    }
    const reply = await connection.client.request({ type: "answer", text }).catch(() => null);
    if (reply?.type === "refusal") complain(field, reply.text);
  });
}

document.querySelectorAll(".log").forEach(follow);
for (const field of document.querySelectorAll("[aria-describedby$='-problem']")) {
  field.addEventListener("input", () => complain(field));
}
startConnections([startChat(), startAnswer()]);
startTicker();
startCommands();
startDialogue();
