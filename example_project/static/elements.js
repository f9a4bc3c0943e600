// What the panels have in common. Whatever came over a socket is shown as text (textContent), never as HTML.

const LONGEST_LOG = 500; // entries

/** Puts texts into the parts of an element, by the parts' classes. */
export function fill(element, texts) {
  for (const [part, text] of Object.entries(texts)) element.querySelector(`.${part}`).textContent = text;
  return element;
}

/** Returns a copy of a template of the page, with texts in its parts. */
export function copy(template, texts = {}) {
  return fill(document.getElementById(template).content.firstElementChild.cloneNode(true), texts);
}

/** Adds a copy of a template to a log. The oldest entries go when there are too many. */
export function write(log, template, texts) {
  const entry = copy(template, texts);
  log.append(entry);
  while (log.childElementCount > LONGEST_LOG) log.firstElementChild.remove();
  return entry;
}

/** Adds what the page itself says, of somebody perhaps, to a log. */
export const note = (log, what, name = "") => write(log, "note", { name, what });

/** Brings an entry into view while its reader is busy in its panel. */
export function reveal(entry) {
  if (entry.closest(".panel").contains(document.activeElement)) entry.scrollIntoView({ block: "nearest" });
}

/** Shows what is wrong with a field beside it, or, with no text, that all is well. */
export function complain(field, text = "") {
  const problem = document.getElementById(`${field.id}-problem`);
  if (problem) problem.textContent = text;
  field.ariaInvalid = Boolean(text);
  if (text) field.focus();
}
