/**
 * Clients whose listeners do whatever they like, and whose servers and pages do so, too. Fails if a promise is broken.
 *
 * node client_fuzz.mjs <module> <first seed> <last seed>
 */

import assert from "node:assert/strict"
import { happen, left, pass, reported, reset, settled, sockets } from "./fake_browser.mjs"

const [module, first, last] = process.argv.slice(2)
const { Client } = await import(module)

const EVENTS = ["window online", "window offline", "window pageshow", "window pagehide", "document visibilitychange"]
const CLOSES = [1000, 1006, 1006, 1011, 1012, 4000, 4401]
const MESSAGES = [
  { type: "said", at: ["room", "e.2"] },
  { type: "joined", label: "room", position: "e.3", recovered: true, missed: 1 },
  { type: "joined", label: "room", position: "e.3", recovered: false, missed: 0 },
  { type: "gap", label: "room" },
  { type: "ack", to: "1" },
  { type: "error", to: "2" },
  "no JSON",
]

let state = 0

/** mulberry32: a small generator of random numbers that takes a seed. */
function random() {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const oneOf = (choices) => choices[Math.floor(random() * choices.length)]

class Own extends Error {}

/** What the page does, in a listener or not. */
class Page {
  told = []
  pending = 0
  #lastNumber = 0
  #depth = 0
  #removes = []

  constructor() {
    const act = (this.act = () => this.#act())
    this.client = new Client("ws://server/", {
      token: () => this.#token(),
      retry: () => (act(), oneOf([true, false, undefined, undefined])),
      since: oneOf([{}, { room: "e.1" }]),
      queueLimit: 10,
    })
    this.client.onState((state) => this.told.push(state))
    this.client.onState(act)
    this.client.onGap(act)
    for (const type of ["*", "said", "joined"]) this.client.on(type, act)
  }

  #token() {
    if (random() < 0.1) throw new Own()
    return random() < 0.3 ? new Promise((done) => setTimeout(() => done("late"), 200)) : "token"
  }

  #act() {
    if (this.#depth > 3) return
    this.#depth++
    try {
      oneOf(this.#actions)()
    } catch (error) {
      if (error instanceof Own || !["closed", "queue_full"].includes(error.code)) throw error
    } finally {
      this.#depth--
    }
  }

  #actions = [
    () => random() < 0.3 && this.client.close(),
    () => this.client.wake(),
    () => this.client.send({ type: "sent", number: ++this.#lastNumber }),
    () => this.#ask(),
    () => this.#ask(),
    () => this.#removes.push(this.client.on(oneOf(["*", "said"]), this.act)),
    () => this.#removes.push(this.client.onState(this.act)),
    () => this.#removes.pop()?.(),
    () => {
      if (this.#depth > 1) throw new Own()
    },
  ]

  #ask() {
    this.pending++
    const asked = this.client.request({ type: "asked", number: ++this.#lastNumber }, { timeout: oneOf([100, Infinity]) })
    asked.catch(() => {}).finally(() => this.pending--)
  }
}

async function happenAnything(page) {
  const socket = sockets.at(-1)
  const choice = random()
  if (socket?.readyState === 0 && choice < 0.6) socket.accept(oneOf(["consumers.v1", "consumers.v1", "consumers.any"]))
  else if (socket?.readyState === 1 && choice < 0.5) socket.tell(oneOf(MESSAGES))
  else if (socket?.readyState < 2 && choice < 0.65) socket.leave(oneOf(CLOSES), oneOf(["", "retry=1-2"]))
  else if (choice < 0.8) happen(oneOf(EVENTS), { persisted: random() < 0.7 })
  else if (choice < 0.9) page.act()
  else await pass(oneOf([100, 1_000, 6_000, 40_000]))
  await settled()
}

const open = () => sockets.filter(({ readyState }) => readyState < 2).length

async function live() {
  const page = new Page()
  const { client, told } = page
  for (let step = 0; step < 60; step++) {
    await happenAnything(page)
    assert.ok(open() <= (client.state === "closed" ? 0 : 1), "one connection, and none of a closed client")
    assert.equal(told.at(-1), client.state)
  }
  client.close()
  await pass(200) // the last token has come
  assert.equal(left() + open() + page.pending, 0, "timers, listeners, connections and requests that are left")
  assert.equal(told.indexOf("closed"), told.length - 1, "closed for good")
  assert.ok(told.every((state, index) => state !== told[index - 1] || state === "offline"), `states: ${told}`)
  for (const { messages } of sockets) {
    const numbers = messages.flatMap(({ number }) => number ?? [])
    assert.deepEqual(numbers, [...new Set(numbers)].sort((one, other) => one - other), "once each, and in order")
  }
  assert.deepEqual(reported.filter((error) => !(error instanceof Own)), [])
}

for (let seed = Number(first); seed <= Number(last); seed++) {
  reset()
  state = seed * 7919
  await live().catch((error) => {
    throw new Error(`seed ${seed}`, { cause: error })
  })
}
