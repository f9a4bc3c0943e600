import { Connection } from "./connection.js";
import { make, reveal, write } from "./elements.js";

const LONGEST = 60_000; // milliseconds for an answer, with those until there is a connection

export function startCommands() {
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
