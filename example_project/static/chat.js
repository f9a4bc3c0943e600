import { Connection } from "./connection.js";
import { complain, make, timeOf, write } from "./elements.js";

const TYPING = 2000; // milliseconds between two signs that somebody is typing; each counts for twice that
const SLOW = 300; // milliseconds: a message that is not said after so long is shown as one that waits
const BAD_NAME = 4003; // close code

/** Returns an id that nobody else has. (`crypto.randomUUID()` is for https alone.) */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function startChat() {
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
    if (!/^[0-9a-f]{32}$/.test(localStorage.id)) localStorage.id = newId(); // the tabs of a browser are one person
    const query = new URLSearchParams({ name: nameField.value, id: localStorage.id });
    const client = connection.open(`ws/chat/${encodeURIComponent(roomField.value)}?${query}`);
    for (const [type, take] of Object.entries(messages)) client.on(type, take);
  }

  function enter() {
    if (!room.hidden) return;
    joinForm.hidden = true;
    room.hidden = sayForm.hidden = false;
    title.textContent = roomField.value;
    localStorage.name = me.name;
    Object.assign(sessionStorage, { name: me.name, room: roomField.value }); // for a reload
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
  nameField.value = sessionStorage.name ?? localStorage.name ?? "";
  if (/^#[\w-]{1,40}$/.test(location.hash)) roomField.value = location.hash.slice(1);
  if (sessionStorage.room === roomField.value) join(); // the page was reloaded
  return connection;
}
