// The page of the example: each panel has a module of its own.

import "./breaking.js"; // with the chat and the answer
import "./commands.js";
import "./dialogue.js";
import "./ticker.js";
import { complain } from "./elements.js";

// No form leaves the page. Who goes on, or tries again, is no longer told what was wrong.
document.addEventListener("input", ({ target }) => complain(target), true);
document.addEventListener("submit", (event) => {
  event.preventDefault();
  for (const field of event.target.querySelectorAll("input")) complain(field);
}, true);
