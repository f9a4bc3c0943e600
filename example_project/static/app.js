// The page of the example: each panel has a module of its own.

import { startAnswer } from "./answer.js";
import { startConnections } from "./breaking.js";
import { startChat } from "./chat.js";
import { startCommands } from "./commands.js";
import { startDialogue } from "./dialogue.js";
import { complain, follow } from "./elements.js";
import { startTicker } from "./ticker.js";

document.querySelectorAll(".log").forEach(follow);
for (const field of document.querySelectorAll("[aria-describedby$='-problem']")) {
  field.addEventListener("input", () => complain(field));
}
startConnections([startChat(), startAnswer()]);
startTicker();
startCommands();
startDialogue();
