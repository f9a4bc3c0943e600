// What came over the socket is shown as text (textContent), never as HTML.

const [join, say, log, state] = ["join", "say", "log", "state"].map((id) => document.getElementById(id));
let socket = null;

function write(className, ...contents) {
  const entry = document.createElement("p");
  entry.className = className;
  entry.append(...contents);
  log.append(entry);
  log.scrollTop = log.scrollHeight;
}

function show(connected, text) {
  join.hidden = connected;
  say.hidden = !connected;
  log.hidden &&= !connected; // what was said stays after the end
  state.textContent = text;
  (connected ? say.elements.text : join.elements.name).focus();
}

join.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket) return;
  const { name, room, consumer } = join.elements;
  const url = new URL(`ws/chat/${encodeURIComponent(room.value)}/${consumer.value}`, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.searchParams.set("name", name.value);
  let left = "There is no connection to the server.";
  socket = new WebSocket(url);
  state.textContent = "Connecting…";
  socket.onopen = () => {
    left = "The connection was lost.";
    log.replaceChildren();
    show(true, `${name.value} in ${room.value}, served by ${consumer.selectedOptions[0].text}`);
  };
  socket.onmessage = ({ data }) => {
    const { name, text, note } = JSON.parse(data);
    if (note) return write("note", note);
    const by = document.createElement("b");
    by.textContent = name;
    write("message", by, ` ${text}`);
  };
  socket.onclose = ({ code }) => {
    socket = null;
    show(false, code === 1000 ? "You left." : left);
  };
});

say.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ text: say.elements.text.value }));
  say.elements.text.value = "";
});

document.getElementById("leave").addEventListener("click", () => socket?.close(1000));
