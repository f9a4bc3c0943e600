import { fill, reveal, write } from "./elements.js";
import { Panel } from "./panel.js";

const LONGEST = 60_000; // milliseconds for an answer, with those until there is a connection
const panel = new Panel("commands");
const [form, chips, log] = panel.find("form", ".chips", ".entries");

async function run(line) {
  const entry = write(log, "run", { line, answer: "running…" });
  reveal(entry);
  if (!panel.client) panel.open("ws/commands");
  const request = panel.client.request({ type: "run", line }, { timeout: LONGEST });
  const { type, text } = await request.catch(() => ({ type: "refusal", text: "No answer." }));
  fill(entry, { answer: text }).dataset.state = type;
  reveal(entry);
}

form.onsubmit = () => {
  run(form.elements.line.value);
  form.reset();
};
chips.onclick = ({ target }) => target.matches("button") && run(target.textContent);
