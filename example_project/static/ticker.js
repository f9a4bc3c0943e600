import { Connection } from "./connection.js";

const SHOWN = 60; // values in the line

export function startTicker() {
  const panel = document.getElementById("ticker");
  const [toggle, value, count] = [".toggle", ".value", ".count"].map((selector) => panel.querySelector(selector));
  const line = panel.querySelector("polyline");
  let values = [];
  let wanted = false; // what the button asks for
  let running = false; // what the server does

  const ask = () => connection.client.send({ type: wanted ? "start" : "stop" });

  const connection = new Connection(panel, {
    opened: ask,
    dropped: () => {
      running = false;
      count.textContent = "Interrupted";
    },
    ended: () => want(false),
  });

  const messages = {
    state: (state) => {
      running = state.running;
      count.textContent = running ? "Started" : "Stopped";
    },
    tick: (tick) => {
      if (!running) return; // it was on its way when the server stopped
      values = [...values, tick.value].slice(-SHOWN);
      value.textContent = tick.value.toFixed(2);
      count.textContent = `Tick ${tick.number}`;
      draw();
    },
  };

  function draw() {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const height = (value) => (high === low ? 10 : 20 - (20 * (value - low)) / (high - low));
    line.setAttribute("points", values.map((value, index) => `${index},${height(value).toFixed(2)}`).join(" "));
  }

  function want(something) {
    wanted = something;
    toggle.textContent = wanted ? "Stop" : "Start";
  }

  toggle.addEventListener("click", () => {
    want(!wanted);
    if (connection.isOpen) ask();
    else if (!wanted) connection.close();
    else {
      const client = connection.open("ws/ticker");
      for (const [type, take] of Object.entries(messages)) client.on(type, take);
    }
  });
}
