/**
 * Plays scripts to the browser's client, and prints what the client makes of them, for a comparison with Python's.
 *
 * node agreement.mjs <module> < scripts
 */

import { readFileSync } from "node:fs"
import { pass, reset, settled, sockets } from "./fake_browser.mjs"

const { Client } = await import(process.argv[2])

const STEP = 250 // milliseconds

async function play({ subprotocol, since, steps }) {
  reset()
  Math.random = () => 0.5
  const client = new Client("ws://server/", { since })
  const records = []
  let heard = []
  client.on("*", (message) => heard.push(["message", message]))
  client.onGap((label) => heard.push(["gap", label]))

  let answer = null
  client.request({ type: "ask" }, { timeout: Infinity }).then(
    (message) => answered(message.type === "ack" ? "ack" : message, ([, heard]) => heard === message),
    ({ code }) => answered(code, ([, heard]) => heard.type === "error" && heard.to === "1"),
  )

  /** Python's client gives the answer to the one who has asked, and to nobody else. */
  function answered(what, isAnswer) {
    answer = what
    const index = heard.findIndex(isAnswer)
    if (index >= 0) heard.splice(index, 1)
  }

  async function accept() {
    await settled()
    if (sockets.at(-1)?.readyState === 0) sockets.at(-1).accept(subprotocol)
    await settled()
  }

  for (const [kind, ...what] of steps) {
    await accept()
    const socket = sockets.at(-1)
    if (kind === "pass") for (let time = 0; time < what[0] * 1000; time += STEP) await pass(STEP).then(accept)
    else if (client.state !== "open" && client.state !== "recovering") continue
    else if (kind === "tell") socket.tell(what[0])
    else if (kind === "leave") socket.leave(...what)
    await settled()
    const { state, positions } = client
    const asked = sockets.map(({ address }) => address.searchParams.getAll("since"))
    records.push({ state, positions, heard, asked, answer })
    heard = []
  }
  client.close()
  return records
}

const found = []
for (const script of JSON.parse(readFileSync(0, "utf8"))) found.push(await play(script))
console.log(JSON.stringify(found))
