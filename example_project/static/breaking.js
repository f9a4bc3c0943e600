import { panel as answer } from "./answer.js";
import { panel as chat } from "./chat.js";
import { fill } from "./elements.js";

const TOLD = {
  cut: "Cut. The page has to find out by itself.",
  delay: "Delayed. What is said now comes late, but it comes.",
  kill: "Killed. The server has said when to come back.",
  none: "There is no connection to break. Join the chat, or ask for an answer.",
};
const element = document.getElementById("connections");
const panels = [chat, answer];

/** Shows how the connection of a panel is. */
function watch(panel) {
  const row = element.querySelector(`[data-of="${panel.element.id}"]`);
  let lost = null; // when, and with how many gaps before

  panel.changed = () => {
    const { state } = panel.element.dataset;
    const [[label, position = ""] = []] = Object.entries(panel.client?.positions ?? {});
    const place = label ? `${label} ${position.replace(/^(.{4}).*\.(\d+)$/, "$1…\u00a0$2")}` : "–";
    fill(row, { now: panel.status || "Not in use", place, gaps: panel.gaps }).dataset.state = state;
    row.querySelector(".place").title = position;
    if (state === "offline") lost ??= { at: performance.now(), gaps: panel.gaps };
    if (state === "open" && lost) tellReturn(row.querySelector("th").textContent, panel, lost);
    if (state === "open" || state === "idle") lost = null;
  };
  panel.changed();
}

/** Tells that a connection is back, and what became of the messages meanwhile. */
function tellReturn(title, { gaps, joined: { missed } }, lost) {
  const seconds = ((performance.now() - lost.at) / 1000).toFixed(1);
  let what = missed ? `${missed} missed message${missed > 1 ? "s" : ""} came` : "nothing missed";
  if (gaps > lost.gaps) what = "messages may be missing";
  fill(element, { told: "", [`${title}-return`]: `${title}: back after ${seconds} s, ${what}.` });
}

/** Has the server break the page's connections, and no other's. */
element.onclick = ({ target }) => {
  const how = target.closest("button")?.dataset.how;
  if (!how) return;
  const open = panels.filter(({ isOpen }) => isOpen);
  for (const { client } of open) client.send({ type: "break", how });
  fill(element, { told: TOLD[open.length ? how : "none"], "Chat-return": "", "Answer-return": "" });
};

panels.forEach(watch);
