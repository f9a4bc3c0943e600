/**
 * Many clients whose server goes away, in virtual time: prints the milliseconds after which each of them comes back.
 *
 * node simulation.mjs <module> <clients> <reason> <seed>
 */

const [module, clients, reason, seed] = process.argv.slice(2)

let now = 0
const timers = new Map()
let lastTimer = 0
globalThis.setTimeout = (ring, after) => {
  timers.set(++lastTimer, { at: now + after, ring })
  return lastTimer
}
globalThis.clearTimeout = (number) => timers.delete(number)
Object.defineProperty(globalThis, "performance", { value: { now: () => now } })

/** mulberry32: a small generator of random numbers that takes a seed. */
let state = Number(seed)
Math.random = () => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const sockets = []
globalThis.WebSocket = class {
  readyState = 0
  openedAt = now
  constructor() {
    sockets.push(this)
  }
  send() {}
  close() {
    this.readyState = 3
  }
}

const { Client } = await import(module)
for (let number = 0; number < Number(clients); number++) new Client("ws://server/chat", { heartbeat: 0 })
await Promise.resolve()
await Promise.resolve()
const first = sockets.splice(0)
for (const socket of first) {
  socket.readyState = 1
  socket.onopen()
}
now = 60_000
for (const socket of first) socket.onclose({ code: reason ? 1012 : 1006, reason })
for (const { at, ring } of [...timers.values()].sort((one, other) => one.at - other.at)) {
  now = at
  ring()
  await Promise.resolve()
  await Promise.resolve()
}
console.log(JSON.stringify(sockets.map((socket) => socket.openedAt - 60_000)))
