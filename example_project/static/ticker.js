import { fill } from "./elements.js";
import { Panel } from "./panel.js";

const SHOWN = 60; // values in the line
let values = [];
let wanted = false; // what the button asks for

const panel = new Panel("ticker", {
  messages: {
    state: ({ running }) => tell({ count: running ? "Started" : "Stopped" }),
    tick: ({ number, value }) => {
      values = [...values, value].slice(-SHOWN);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      chart.setAttribute("viewBox", `0 ${-high} ${SHOWN - 1} ${high - low || 1}`); // y goes down
      line.setAttribute("points", values.map((value, index) => `${index},${-value}`).join(" "));
      tell({ count: `Tick ${number}`, value: value.toFixed(2) });
    },
  },
  opened: ask,
  dropped: () => tell({ count: "Interrupted" }),
  ended: () => want(false),
});
const [toggle, chart, line] = panel.find(".toggle", "svg", "polyline");
const tell = (texts) => fill(panel.element, texts);

function ask() {
  panel.client.send({ type: wanted ? "start" : "stop" });
}

function want(something) {
  wanted = something;
  tell({ toggle: wanted ? "Stop" : "Start" });
}

toggle.onclick = () => {
  want(!wanted);
  if (panel.isOpen) ask();
  else if (wanted) panel.open("ws/ticker");
  else panel.close();
};
