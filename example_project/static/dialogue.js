import { complain, note, reveal, write } from "./elements.js";
import { Panel } from "./panel.js";

const panel = new Panel("dialogue", {
  messages: { question: say, remark: say },
  dropped: () => panel.close(4000), // a game ends with its connection
  ended: (code) => {
    const hadFocus = form.contains(document.activeElement);
    if (code !== 1000) reveal(note(log, "The connection was lost."));
    begin.textContent = "Begin again";
    if (hadFocus) begin.focus();
  },
});
const [log, begin, form] = panel.find(".entries", ".begin", "form");
const field = form.elements.answer;

function say({ type, text }) {
  const entry = write(log, "turn", { text });
  entry.className = type;
  reveal(entry);
}

begin.onclick = () => {
  log.replaceChildren();
  panel.open("ws/dialogue", { retry: () => false });
  field.focus();
};

form.onsubmit = async () => {
  const text = field.value;
  if (text.trim()) say({ type: "you", text });
  form.reset();
  const reply = await panel.client.request({ type: "answer", text }).catch(() => null);
  if (reply?.type === "refusal") complain(field, reply.text);
};
