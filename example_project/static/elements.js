// What the panels have in common. Whatever came over a socket is shown as text (textContent), never as HTML.

const LONGEST_LOG = 500; // entries

/** Makes an element with some text or other elements in it. */
export function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...contents);
  return element;
}

/** Keeps a log scrolled to its end, unless its reader has scrolled up. */
export function follow(log) {
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
export function write(log, entry) {
  log.append(entry);
  while (log.childElementCount > LONGEST_LOG) log.firstElementChild.remove();
  return entry;
}

/** Brings an entry into view, once `follow` has had its turn, while its reader is busy in its panel. */
export function reveal(entry) {
  queueMicrotask(() => {
    if (entry.closest(".panel")?.contains(document.activeElement)) entry.scrollIntoView({ block: "nearest" });
  });
}

/** Returns an element that shows a time of today, or another day's with the weekday. */
export function timeOf(date) {
  const weekday = date.toDateString() === new Date().toDateString() ? {} : { weekday: "short" };
  const time = make("time", "", date.toLocaleTimeString([], { ...weekday, hour: "2-digit", minute: "2-digit" }));
  time.dateTime = date.toISOString();
  return time;
}

/** Shows what is wrong with a field beside it, or, with no text, that all is well. */
export function complain(field, text = "") {
  document.getElementById(`${field.id}-problem`).textContent = text;
  field.removeAttribute("aria-invalid");
  if (text) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}
