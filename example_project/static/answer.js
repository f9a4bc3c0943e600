import { complain, fill } from "./elements.js";
import { Panel } from "./panel.js";

const QUIET = 10_000; // milliseconds: an answer that has stopped for so long may have lost its writer
let answer = JSON.parse(sessionStorage.getItem("answer")); // outlives the page: what was asked, and where it begins
let quiet; // the timer that says that nothing comes

export const panel = new Panel("stream", {
  messages: {
    word: (word) => {
      text.append(word.text);
      expect();
    },
    end: ({ whole }) => {
      tell(whole ? "That is the whole answer." : "The answer broke off.");
      panel.close();
    },
  },
  opened: expect,
  dropped: () => tell("Interrupted"),
  ended: (code, reason) => {
    if (code === 1000) return;
    sessionStorage.removeItem("answer");
    tell(reason || `The server closed the connection (${code}).`);
  },
});
const [form, text] = panel.find("form", ".text");
const field = form.elements.question;

function tell(state, isBusy = false) {
  clearTimeout(quiet);
  fill(panel.element, { state });
  text.ariaBusy = isBusy; // until it is read aloud as one
}

function expect() {
  tell("Reload this page now: the answer goes on.", true);
  quiet = setTimeout(tell, QUIET, `Nothing has come for ${QUIET / 1000} s. Its writer may be gone: ask again.`);
}

function read() {
  field.value = answer.question;
  text.replaceChildren();
  tell("");
  panel.open(`ws/answers/${answer.id}`, { since: { answer: answer.since } });
}

form.onsubmit = async () => {
  const question = field.value.trim();
  const response = await fetch("answers", { method: "POST", body: question }).catch(() => null);
  if (!response) return complain(field, "There is no connection to the server.");
  if (!response.ok) return complain(field, await response.text());
  answer = { question, ...(await response.json()) };
  sessionStorage.setItem("answer", JSON.stringify(answer));
  read();
};

if (answer) read();
