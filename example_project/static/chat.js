import { complain, fill, note, write } from "./elements.js";
import { Panel } from "./panel.js";
import { aboutPeople, coloured, meetAs, stopsTyping } from "./people.js";

const TYPING = 2000; // milliseconds between two signs that somebody is typing
const SLOW = 300; // milliseconds: a message that is not said after so long is shown as one that waits
const BAD_NAME = 4003; // close code
const hex = (number) => number.toString(16).padStart(8, "0");
const newId = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), hex).join(""); // randomUUID is for https alone
const greet = () => note(log, `You joined ${roomField.value}.`);
let me = null; // an id, while its visitor is in a room
let newest; // the position of the last message that was said before
let typedAt = 0;

export const panel = new Panel("chat", {
  messages: {
    ...aboutPeople,
    welcome: ({ person: { id, name } }) => {
      meetAs(id, me !== null);
      if (me === null) enter(name);
      else note(log, `Connected again.${panel.joined.recovered ? "" : " Some messages may be missing."}`);
      me = id;
    },
    gap: () => note(log, "Some messages may be missing."),
    said: ({ at: [, position], ...message }) => {
      stopsTyping(message.person.id);
      if (!log.querySelector(`[data-position="${position}"]`)) show(message).dataset.position = position;
      if (position === newest) greet();
    },
  },
  dropped: () => note(log, "The connection was lost."),
  ended: (code, reason) => {
    me = null;
    history.replaceState(null, "");
    delete panel.element.dataset.room;
    nameField.focus();
    if (code === 1000) return;
    complain(code === BAD_NAME ? nameField : roomField, reason || `The server closed the room (${code}).`);
  },
});
const [joinForm, log, sayForm, leaveButton] = panel.find(".join", ".entries", ".say", ".leave");
const { name: nameField, room: roomField } = joinForm.elements;
const { text: textField } = sayForm.elements;

function show({ person, text, sent }) {
  const by = person.id === me ? "You" : person.name;
  const entry = write(log, "message", { by, sent: timeOf(new Date(sent)), words: text });
  entry.querySelector("time").dateTime = sent;
  entry.classList.toggle("mine", person.id === me);
  return coloured(entry, person.id);
}

/** Returns a time of today, or another day's with the weekday. */
function timeOf(date) {
  const weekday = date.toDateString() === new Date().toDateString() ? undefined : "short";
  return date.toLocaleTimeString([], { weekday, hour: "2-digit", minute: "2-digit" });
}

function join() {
  if (!/^[0-9a-f]{32}$/.test(localStorage.id)) localStorage.id = newId(); // all tabs of a browser are one person
  roomField.value = roomField.value.trim();
  const query = new URLSearchParams({ name: nameField.value, id: localStorage.id });
  panel.open(`ws/chat/${encodeURIComponent(roomField.value)}?${query}`);
}

function enter(name) {
  localStorage.name = name;
  history.replaceState({ name }, "", `#${roomField.value}`); // for a reload
  log.replaceChildren();
  fill(panel.element, { title: roomField.value });
  panel.element.dataset.room = roomField.value; // shows it
  textField.focus();
  newest = panel.joined.position;
  if (!panel.joined.missed) greet();
}

/** Says something, now or when there is a connection. Meanwhile it is shown as what waits. */
async function say(text) {
  let waiting;
  const timer = setTimeout(() => (waiting = write(log, "waiting", { words: text })), SLOW);
  try {
    await panel.client.request({ type: "say", text }, { timeout: Infinity });
  } catch ({ code, errors, message }) {
    if (code === "closed") return; // its visitor has left the room
    textField.value ||= text;
    complain(textField, code === "queue_full" ? "Too many messages wait already." : (errors[0]?.msg ?? message));
  } finally {
    clearTimeout(timer);
    waiting?.remove();
  }
}

joinForm.onsubmit = join;
sayForm.onsubmit = () => {
  say(textField.value);
  sayForm.reset();
  typedAt = 0;
};
textField.oninput = () => {
  if (!textField.value || Date.now() - typedAt < TYPING || !panel.isOpen) return;
  typedAt = Date.now();
  panel.client.send({ type: "type" });
};
leaveButton.onclick = () => panel.close();

nameField.value = history.state?.name ?? localStorage.name ?? "";
if (/^#[\w-]{1,40}$/.test(location.hash)) roomField.value = location.hash.slice(1);
if (history.state) join();
