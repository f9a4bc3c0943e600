import { Connection } from "./connection.js";
import { complain, make, reveal, write } from "./elements.js";

export function startDialogue() {
  const panel = document.getElementById("dialogue");
  const [log, begin, form] = [".log", ".begin", "form"].map((selector) => panel.querySelector(selector));
  const field = form.elements.answer;

  const connection = new Connection(panel, {
    opened: () => complain(field),
    dropped: () => {
      connection.close(); // a game ends with its connection
      end(null);
    },
    ended: end,
  });

  function end(code) {
    if (code !== 1000) say("The connection was lost.", "note");
    complain(field);
    const focused = form.contains(document.activeElement);
    form.hidden = true;
    begin.hidden = false;
    begin.textContent = "Begin again";
    if (focused) begin.focus();
  }

  const say = (text, className) => reveal(write(log, make("p", className, text)));

  begin.addEventListener("click", () => {
    log.replaceChildren();
    begin.hidden = true;
    form.hidden = false;
    field.focus();
    const client = connection.open("ws/dialogue", { retry: () => false });
    for (const type of ["question", "remark"]) client.on(type, ({ text }) => say(text, type));
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(field);
    const text = field.value;
    if (!connection.isOpen) {
      complain(field, "There is no connection yet.");
      return;
    }
    if (text.trim()) {
      say(text, "you");
      field.value = "";
    }
    const reply = await connection.client.request({ type: "answer", text }).catch(() => null);
    if (reply?.type === "refusal") complain(field, reply.text);
  });
}
