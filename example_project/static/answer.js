import { Connection } from "./connection.js";
import { complain } from "./elements.js";

const GOES_ON = "Reload this page now: the answer goes on.";
const QUIET = 10_000; // milliseconds: an answer that has stopped for so long may have lost its writer

export function startAnswer() {
  const panel = document.getElementById("stream");
  const [form, text, hint] = ["form", ".text", ".state"].map((selector) => panel.querySelector(selector));
  const field = form.elements.question;
  let answer = JSON.parse(sessionStorage.getItem("answer")); // outlives the page: what was asked, and where it begins
  let quiet = null; // the timer that says that nothing comes

  const connection = new Connection(panel, {
    opened: () => {
      complain(field);
      expect(GOES_ON);
    },
    dropped: () => {
      clearTimeout(quiet);
      hint.textContent = "Interrupted";
    },
    ended: (code, reason) => {
      sessionStorage.removeItem("answer");
      finish(reason || `The server closed the connection (${code}).`);
    },
  });

  function read() {
    text.replaceChildren();
    field.value = answer.question;
    text.ariaBusy = "true"; // so that it is read aloud as one
    hint.textContent = "";
    const client = connection.open(`ws/answers/${answer.id}`, { since: { answer: answer.since } });
    client.on("word", (word) => {
      text.append(word.text);
      expect(GOES_ON);
    });
    client.on("end", ({ whole }) => {
      connection.close();
      finish(whole ? "That is the whole answer." : "The answer broke off.");
    });
  }

  /** Says something, until nothing comes for a while. */
  function expect(what) {
    if (hint.textContent !== what) hint.textContent = what;
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      hint.textContent = `Nothing has come for ${QUIET / 1000} s. Its writer may be gone: ask again.`;
    }, QUIET);
  }

  function finish(what) {
    clearTimeout(quiet);
    text.ariaBusy = "false";
    hint.textContent = what;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complain(field);
    const question = field.value.trim();
    const response = await fetch("answers", { method: "POST", body: question }).catch(() => null);
    if (!response?.ok) {
      complain(field, response ? await response.text() : "There is no connection to the server.");
      return;
    }
    answer = { question, ...(await response.json()) };
    sessionStorage.setItem("answer", JSON.stringify(answer));
    read();
  });

  if (answer) read();
  return connection;
}
