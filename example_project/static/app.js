// The page of the example. Whatever came over a socket is shown as text (textContent), never as HTML.

const FIRST_DELAY = 1000; // milliseconds, as all times here
const LONGEST_DELAY = 30_000;
const STEADY = 5000; // a connection that lasted this long was a good one: the next delay is the first again
const LONGEST_LOG = 500; // entries
const QUIET = 10_000; // an answer whose words have stopped for so long may have lost its writer
const TYPING = 2000; // between two signs that somebody is typing; each counts for twice that

const NAMES_OF_STATES = {
  idle: "",
  connecting: "Connecting…",
  open: "Connected",
  waiting: "Disconnected", // for the next attempt
  lost: "Disconnected", // until the visitor asks for something
};

/** Makes an element with some text or other elements in it. */
function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...contents);
  return element;
}

/** Returns an id that nobody else has. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
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
 * A WebSocket of one panel. Its state is the panel's data-state, one of NAMES_OF_STATES.
 *
 * With `returns`, it comes back after a drop, each time after a longer wait, with a random part, so that all the
 * clients of a restarted server don't come at the same instant. A close with 1000 or a code of the application
 * (4000 and up) is meant: it is not answered by coming back.
 */
class Connection {
  socket = null;
  wasOpen = false;
  failures = 0;
  timer = null;

  constructor(panel, { returns = false, opened = () => {}, received, dropped = () => {}, ended = () => {} }) {
    Object.assign(this, { panel, returns, opened, received, dropped, ended });
    this.link = panel.querySelector(".link");
    this.notice = panel.querySelector(".notice"); // what is seen of a drop
    this.told = panel.querySelector(".told"); // what is read aloud of it
    this.notice?.querySelector(".again").addEventListener("click", () => this.connect());
    addEventListener("online", () => this.state === "waiting" && this.connect());
  }

  get state() {
    return this.panel.dataset.state;
  }

  set state(name) {
    this.panel.dataset.state = name;
    this.link.textContent = NAMES_OF_STATES[name];
  }

  open(path) {
    this.close();
    this.path = path;
    this.wasOpen = false;
    this.failures = 0;
    this.connect();
  }

  connect() {
    clearInterval(this.timer);
    const url = new URL(this.path, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.abandon();
    this.state = "connecting";
    if (this.failures) this.tell("Trying again…");
    const socket = new WebSocket(url);
    let openedAt = null;
    socket.onopen = () => {
      openedAt = performance.now();
      this.wasOpen = true;
      this.state = "open";
      this.hush();
      this.opened();
    };
    socket.onmessage = (event) => this.received(JSON.parse(event.data));
    socket.onclose = ({ code, reason }) => {
      this.socket = null;
      if (openedAt !== null && performance.now() - openedAt > STEADY) this.failures = 0;
      const meant = code === 1000 || code >= 4000;
      if (meant || !this.returns) {
        this.close();
        if (!meant) this.state = "lost";
        this.ended(code, reason);
      } else {
        if (openedAt !== null) this.dropped();
        this.wait();
      }
    };
    this.socket = socket;
  }

  /** Waits before the next attempt: 1 s, 2 s, 4 s and so on up to 30 s, of which up to a half is taken off at random. */
  wait() {
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.failures);
    const end = performance.now() + longest * (0.5 + Math.random() / 2);
    const what = this.wasOpen ? "Connection lost." : "The server does not answer.";
    const say = () => `${what} Next try in ${Math.max(1, Math.ceil((end - performance.now()) / 1000))} s.`;
    this.failures += 1;
    this.state = "waiting";
    this.tell(say());
    this.timer = setInterval(() => {
      if (performance.now() >= end) this.connect();
      else this.tell(say(), { aloud: false });
    }, 200);
  }

  /** Shows a notice, and has it read aloud once: not again for each second of a countdown. */
  tell(text, { aloud = true } = {}) {
    this.notice.hidden = false;
    this.notice.querySelector(".countdown").textContent = text;
    if (aloud) this.told.textContent = text;
  }

  hush() {
    if (!this.notice) return;
    const focused = this.notice.contains(document.activeElement);
    this.notice.hidden = true;
    this.told.textContent = "";
    if (focused) this.panel.querySelector("form:not([hidden]) input, .toggle")?.focus();
  }

  /** Sends if the connection is open; says whether it was. */
  send(content) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(content));
    return true;
  }

  abandon() {
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(1000);
    this.socket = null;
  }

  close() {
    clearInterval(this.timer);
    this.abandon();
    this.hush();
    this.state = "idle";
  }
}

function startChat() {
  const panel = document.getElementById("chat");
  const find = (selector) => panel.querySelector(selector);
  const [joinForm, room, sayForm] = [".join", ".room", ".say"].map(find);
  const [log, list, title, typing] = [".log", ".people", "#room-title", ".typing"].map(find);
  const { name: nameField, room: roomField } = joinForm.elements;
  const { text: textField } = sayForm.elements;
  const people = new Map(); // id to name; to undefined until it is heard
  const typists = new Map(); // id to name and timer
  let me = null;
  let version = 0; // of what is known of people
  let wasHere = false;
  let toCome = 0; // messages that were said before, and are not here yet
  let since = null; // the position of the last message that is shown
  const unseen = new Map(); // what was sent and has not come back: id to text
  let lastSaid = "";
  let typedAt = -TYPING;

  const connection = new Connection(panel, {
    returns: true,
    opened: () => {
      complain(textField);
      connection.send({ type: "join", name: nameField.value, id: localStorage.id, since });
    },
    received: (content) => answers[content.type]?.(content),
    dropped: () => {
      complain(textField);
      note("The connection was lost.");
      [...typists.keys()].forEach(stopsTyping);
    },
    ended: (code, reason) => {
      leave();
      complain(roomField, reason || `The server closed the room (${code}).`);
    },
  });

  const answers = {
    welcome: ({ person, people: here, position, recovered, missed }) => {
      me = person;
      Object.assign(localStorage, me); // its id and name: the tabs of a browser are one person
      enter();
      if (wasHere) note(recovered ? "Connected again." : "Connected again. Some messages may be missing.");
      fold(here, 0); // even if it is older: the server may have lost its memory
      toCome = missed;
      if (!missed) since = position;
      if (!missed) arrive();
      for (const [id, text] of unseen) connection.send({ type: "say", id, text }); // the room sees it once
    },
    gap: () => note("Some messages may be missing."),
    people: (content) => fold(content),
    typing: ({ person }) => {
      if (person.id === me.id) return; // in another tab
      stopsTyping(person.id);
      const timer = setTimeout(() => stopsTyping(person.id), 2 * TYPING);
      typists.set(person.id, { name: person.name, timer });
      showTypists();
    },
    message: ({ person, text, sent, position, id }) => {
      since = position;
      toCome -= 1;
      unseen.delete(id);
      stopsTyping(person.id);
      if (log.querySelector(`[data-position="${position}"]`)) return; // one of the newest, which came for what is lost
      const isMine = person.id === me.id;
      const by = make("span", "by", isMine ? "You" : who(person.name));
      const words = make("p", "words", text);
      words.dir = "auto";
      const meta = make("div", "meta", by, timeOf(new Date(sent)));
      const entry = write(log, coloured(make("div", isMine ? "message mine" : "message", meta, words), person.id));
      entry.dataset.position = position;
      if (toCome === 0) arrive();
    },
    error: ({ text }) => {
      if (me === null) {
        connection.close();
        complain(nameField, text);
      } else {
        unseen.clear();
        textField.value ||= lastSaid;
        complain(textField, text);
      }
    },
  };

  const who = (name) => make("bdi", "", name);
  const note = (...contents) => write(log, make("p", "note", ...contents));

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

  /** Takes in who is here, or what has changed, unless more is known already. */
  function fold({ version: newer, all, changed = all ?? {}, left = [], count }, known = version) {
    if (newer < known) return;
    version = newer;
    const before = new Map(people);
    if (all || count) people.clear();
    left.forEach((id) => people.delete(id) && stopsTyping(id));
    for (const [id, metas] of Object.entries(changed)) {
      people.set(id, metas.map(({ name }) => name).join(" / ") || before.get(id)); // no meta: the tabs have just gone
    }
    for (const [some, others, what] of [[before, people, " left."], [people, before, " joined."]]) {
      for (const [id, name] of some) {
        if (name && id !== me.id && others.size && !others.has(id)) note(who(name), what);
      }
    }
    const named = [...people].filter(([, name]) => name).sort(([a], [b]) => (b === me.id) - (a === me.id));
    const entries = named.map(([id, name]) => coloured(make("li", "", who(name), id === me.id ? " (you)" : ""), id));
    list.replaceChildren(...(count ? [make("li", "", `${count} people`)] : entries));
  }

  function enter() {
    if (!room.hidden) return;
    joinForm.hidden = true;
    room.hidden = sayForm.hidden = false;
    title.textContent = roomField.value;
    history.replaceState(null, "", `#${roomField.value}`);
    log.replaceChildren();
    textField.focus();
  }

  function leave() {
    connection.close();
    me = since = null;
    wasHere = false;
    unseen.clear();
    people.clear();
    [...typists.keys()].forEach(stopsTyping);
    joinForm.hidden = false;
    room.hidden = sayForm.hidden = true;
    complain(textField);
    nameField.focus();
  }

  joinForm.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(nameField);
    complain(roomField);
    roomField.value = roomField.value.trim();
    if (!roomField.value) complain(roomField, "Choose a room first.");
    else connection.open(`ws/chat/${encodeURIComponent(roomField.value)}`);
  });

  sayForm.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(textField);
    const id = newId();
    if (connection.send({ type: "say", id, text: textField.value })) {
      lastSaid = textField.value;
      unseen.set(id, lastSaid);
      textField.value = "";
      typedAt = -TYPING;
    } else {
      complain(textField, "Not sent: there is no connection. Press Send again when there is.");
    }
  });

  textField.addEventListener("input", () => {
    if (!textField.value || performance.now() - typedAt < TYPING) return;
    typedAt = performance.now();
    connection.send({ type: "typing" });
  });

  panel.querySelector(".leave").addEventListener("click", leave);
  nameField.value = localStorage.name ?? "";
  if (/^#[\w-]{1,40}$/.test(location.hash)) roomField.value = location.hash.slice(1);
}

function startAnswer() {
  const panel = document.getElementById("stream");
  const [form, text, hint] = ["form", ".text", ".state"].map((selector) => panel.querySelector(selector));
  const field = form.elements.question;

  let quiet = null; // the timer that says that nothing comes

  const connection = new Connection(panel, {
    returns: true,
    opened: () => {
      complain(field);
      expect("Reload this page now: the answer goes on.");
    },
    received: (content) => answers[content.type]?.(content),
    dropped: () => {
      clearTimeout(quiet);
      hint.textContent = "Interrupted";
    },
    ended: (code, reason) => {
      sessionStorage.removeItem("answer");
      finish(reason || `The server closed the connection (${code}).`);
    },
  });

  const answers = {
    word: (word) => {
      text.append(word.text);
      expect("Reload this page now: the answer goes on.");
      connection.path = pathOf(answer.id, word.position);
    },
    end: ({ whole }) => {
      connection.close();
      finish(whole ? "That is the whole answer." : "The answer broke off.");
    },
  };

  const pathOf = (id, since) => `ws/answers/${id}?${new URLSearchParams({ since })}`;
  let answer = JSON.parse(sessionStorage.getItem("answer")); // outlives the page: what was asked, and where it begins

  function read() {
    text.replaceChildren();
    field.value = answer.question;
    text.ariaBusy = "true"; // so that it is read aloud as one
    hint.textContent = "";
    connection.open(pathOf(answer.id, answer.since));
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
}

function startTicker() {
  const SHOWN = 60; // values in the line
  const panel = document.getElementById("ticker");
  const [toggle, value, count] = [".toggle", ".value", ".count"].map((selector) => panel.querySelector(selector));
  const line = panel.querySelector("polyline");
  let values = [];
  let wanted = false; // what the button asks for
  let running = false; // what the server does

  const connection = new Connection(panel, {
    returns: true,
    opened: () => connection.send({ type: wanted ? "start" : "stop" }),
    received: (content) => answers[content.type]?.(content),
    dropped: () => {
      running = false;
      count.textContent = "Interrupted";
    },
    ended: () => want(false),
  });

  const answers = {
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
    error: ({ text }) => {
      count.textContent = text;
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
    if (connection.send({ type: wanted ? "start" : "stop" })) return;
    if (wanted && connection.state === "idle") connection.open("ws/ticker");
    if (!wanted && connection.state === "waiting") connection.close();
  });
}

function startCommands() {
  const panel = document.getElementById("commands");
  const form = panel.querySelector("form");
  const log = panel.querySelector(".log");
  const field = form.elements.line;
  const running = new Map(); // id to log entry
  let lastId = 0;
  let unsent = [];

  const connection = new Connection(panel, {
    opened: () => {
      unsent.forEach((command) => connection.send(command));
      unsent = [];
    },
    received: ({ type, id, text }) => finish(id, text, type === "error"),
    ended: () => {
      unsent = [];
      for (const id of running.keys()) finish(id, "No answer: there is no connection to the server.", true);
      if (connection.wasOpen) {
        reveal(write(log, make("p", "note", "Disconnected. The next command reconnects.")));
      }
    },
  });

  function finish(id, text, wrong) {
    const entry = running.get(id);
    if (!entry) return;
    running.delete(id);
    entry.dataset.state = "done";
    const answer = entry.querySelector(".answer");
    answer.textContent = text;
    answer.classList.toggle("wrong", wrong);
    reveal(entry);
  }

  function run(line) {
    const command = { id: ++lastId, line };
    const entry = make("div", "run", make("p", "line", line), make("p", "answer", "running…"));
    entry.dataset.state = "running";
    running.set(command.id, write(log, entry));
    reveal(entry);
    if (connection.send(command)) return;
    unsent.push(command);
    if (!connection.socket) connection.open("ws/commands");
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
    received: ({ type, text }) => {
      if (type === "error") complain(field, text);
      else say(text, type);
    },
    ended: (code) => {
      if (code !== 1000) say("The connection was lost.", "note");
      complain(field);
      const focused = form.contains(document.activeElement);
      form.hidden = true;
      begin.hidden = false;
      begin.textContent = "Begin again";
      if (focused) begin.focus();
    },
  });

  const say = (text, className) => reveal(write(log, make("p", className, text)));

  begin.addEventListener("click", () => {
    log.replaceChildren();
    begin.hidden = true;
    form.hidden = false;
    field.focus();
    connection.open("ws/dialogue");
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(field);
    if (!connection.send({ type: "answer", text: field.value })) {
      complain(field, "There is no connection yet.");
    } else if (field.value.trim()) {
      say(field.value, "you");
      field.value = "";
    }
  });
}

document.querySelectorAll(".log").forEach(follow);
for (const field of document.querySelectorAll("[aria-describedby$='-problem']")) {
  field.addEventListener("input", () => complain(field));
}
startChat();
startAnswer();
startTicker();
startCommands();
startDialogue();
