/**
 * A browser without a page, in virtual time: timers, events and WebSockets of which a test is the server.
 *
 * Importing it puts them in the place of node's own.
 */

const { random } = Math
const { now: clock } = Date
let now = 0
let lastTimer = 0
const timers = new Map()
const targets = new Map() // what listens, by event

/** What the page was told of errors. */
export const reported = []
/** All WebSockets, in order. */
export const sockets = []

export class FakeSocket {
  readyState = 0
  protocol = ""
  sent = []

  constructor(address, protocols) {
    this.address = new URL(address)
    this.offered = protocols
    sockets.push(this)
  }

  send(text) {
    this.sent.push(text)
  }

  close(code, reason) {
    this.readyState = 3
    this.closedWith ??= [code, reason]
  }

  // What the server does

  accept(protocol = "consumers.v1") {
    this.protocol = protocol
    this.readyState = 1
    this.onopen()
  }

  tell(message) {
    this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) })
  }

  leave(code, reason = "") {
    this.readyState = 3
    this.onclose({ code, reason })
  }

  get messages() {
    return this.sent.map((text) => JSON.parse(text))
  }
}

Object.assign(globalThis, {
  WebSocket: FakeSocket,
  document: { visibilityState: "visible", ...eventTarget("document") },
  reportError: (error) => reported.push(error),
  setTimeout(ring, after) {
    // Browsers keep 32 bits of it.
    const delay = after > 2 ** 31 - 1 || !(after > 0) ? 0 : after
    timers.set(++lastTimer, { at: now + delay, ring, number: lastTimer })
    return lastTimer
  },
  clearTimeout: (number) => void timers.delete(number),
  ...eventTarget("window"),
})
Object.defineProperty(globalThis, "performance", { value: { now: () => now } })

function eventTarget(name) {
  return {
    addEventListener(event, listener) {
      const key = `${name} ${event}`
      targets.set(key, (targets.get(key) ?? new Set()).add(listener))
    },
    removeEventListener: (event, listener) => void targets.get(`${name} ${event}`)?.delete(listener),
  }
}

/** Have something happen to the page: `happen("window online")`. */
export function happen(event, details = {}) {
  for (const listener of [...(targets.get(event) ?? [])]) listener(details)
}

/** Begin anew. */
export function reset() {
  for (const kept of [timers, targets]) kept.clear()
  for (const kept of [reported, sockets]) kept.length = 0
  Object.assign(Math, { random })
  Object.assign(Date, { now: clock })
}

/** How many timers and listeners there are. */
export function left() {
  return timers.size + [...targets.values()].reduce((sum, listeners) => sum + listeners.size, 0)
}

/** Let all that is awaited go on. */
export async function settled() {
  await new Promise((done) => setImmediate(done))
}

/** Let time pass. */
export async function pass(milliseconds) {
  const end = now + milliseconds
  for (;;) {
    await settled()
    const [next] = [...timers.values()].sort((one, other) => one.at - other.at || one.number - other.number)
    if (next === undefined || next.at > end) break
    now = Math.max(now, next.at)
    timers.delete(next.number)
    next.ring()
  }
  now = end
}
