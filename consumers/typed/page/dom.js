// Elements, made of text alone: whatever a document or a server says is shown as it is, and never run.

/**
 * Makes an element.
 * @param {string} tag its name
 * @param {object} attributes by their names; `onclick` and the like are listeners; null, undefined and false: not there
 * @param {...(Node|string|null|undefined|false)} children nodes, and text
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...shown(children));
  return made;
}

/** Returns what of a tree of children is there. */
export function shown(children) {
  return children.flat(Infinity).filter((child) => child || child === 0);
}

/** Shows a text with its paragraphs, and what is in backticks as code. */
export function paragraphs(text) {
  return (text ?? "")
    .split(/\n\s*\n/)
    .filter((part) => part.trim())
    .map((part) => element("p", {}, part.split(/`([^`]+)`/).map((each, index) => (index % 2 ? element("code", {}, each) : each))));
}
