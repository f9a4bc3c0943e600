import { NAMES_OF_STATES } from "./connection.js";

const TOLD = {
  cut: "Cut. The page has to find out by itself.",
  delay: "Delayed. What is said now comes late, but it comes.",
  kill: "Killed. The server has said when to come back.",
};

/** Shows how the connections of some panels are, and has the server break them: this page's, and no other's. */
export function startConnections(connections) {
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
      place.textContent = position ? `${label} ${position.replace(/^(.{4}).*\.(\d+)$/, "$1…\u00a0$2")}` : "–";
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
