// Who is in the room of the chat, and who is typing there.

import { copy, note } from "./elements.js";

const TYPING = 4000; // milliseconds for which a sign of typing counts
const [list, typing, log] = [".people", ".typing", ".entries"].map((part) => document.querySelector(`#chat ${part}`));
const typists = new Map(); // by id
let names; // of who is here, by id; undefined until it is heard
let version; // of what is known of them
let me; // an id

/** Begins as this person: in a room, or in the same again, whose server may have lost its memory. */
export function meetAs(id, isBack) {
  if (!isBack) names = new Map();
  me = id;
  version = 0;
  typists.clear();
  showTypists();
}

export const aboutPeople = {
  here: ({ people, version }) => meet(version, namesOf(people)),
  changed: ({ people, left, version }) => {
    const now = new Map([...names, ...namesOf(people)]);
    left.forEach((id) => now.delete(id));
    meet(version, now);
  },
  crowd: ({ count, version }) => meet(version, new Map(), count),
  typing: ({ person }) => {
    if (person.id === me) return; // in another tab
    typists.set(person.id, person);
    showTypists();
    setTimeout(() => typists.get(person.id) === person && stopsTyping(person.id), TYPING);
  },
};

/** Returns names by id. Who has just gone comes without, and keeps the one that is known. */
function namesOf(people) {
  const nameOf = ([id, metas]) => [id, metas.map(({ name }) => name).join(" / ") || names.get(id)];
  return new Map(Object.entries(people).map(nameOf));
}

/** Takes in who is here, unless more is known already. */
function meet(newer, now, count) {
  if (newer < version) return;
  tell(names, now, " left.");
  tell(now, names, " joined.");
  [version, names] = [newer, now];
  const named = [...names].filter(([, name]) => name);
  named.sort(([one, name], [other, itsName]) => (other === me) - (one === me) || name.localeCompare(itsName));
  const entries = named.map(([id, name]) => coloured(copy("person", { name, you: id === me ? " (you)" : "" }), id));
  list.replaceChildren(...(count ? [copy("person", { name: `${count} people` })] : entries));
}

/** Tells who is in one list and not in the other. From nobody, or a mere number, nobody has come or left. */
function tell(some, others, what) {
  for (const [id, name] of some) if (name && id !== me && others.size && !others.has(id)) note(log, what, name);
}

export const stopsTyping = (id) => typists.delete(id) && showTypists();

function showTypists() {
  const some = [...typists.values()].map(({ name }) => name);
  const who = some.length > 2 ? `${some.length} people` : some.join(" and ");
  typing.textContent = who && `${who} ${some.length > 1 ? "are" : "is"} typing…`;
}

/** Gives an element the colour of a person. */
export function coloured(element, id) {
  element.style.setProperty("--hue", Number.parseInt(id.slice(0, 4), 16)); // degrees
  return element;
}
