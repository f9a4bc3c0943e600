/**
 * What the browser's client does with bad servers, bad arguments, and listeners that do more than listen.
 *
 * node client_cases.mjs <module> [--names]: prints what has failed by the name of each case, or the names alone
 */

import assert from "node:assert/strict"
import { happen, left, pass, reported, reset, settled, sockets } from "./fake_browser.mjs"

const [module, given] = process.argv.slice(2)
const { Client, ClientError } = await import(module)

const cases = {}
const JOINED = { type: "joined", label: "room", position: "e.1", recovered: true, missed: 0 }

/** Make a client, and accept its connection. */
async function connected(options = {}, protocol = "consumers.v1") {
  const client = new Client("ws://server/chat", options)
  await settled()
  sockets.at(-1).accept(protocol)
  return client
}

/** Let the client come back, and accept its connection. */
async function comeBack(client) {
  client.wake()
  await settled()
  sockets.at(-1).accept()
}

function statesOf(client) {
  const states = []
  client.onState((state) => states.push(state))
  return states
}

// Listeners that do more than listen

cases["a listener that closes the client while it connects leaves nothing behind"] = async () => {
  let tokens = 0
  const client = await connected({ token: () => `token ${++tokens}` })
  client.onState((state) => state === "connecting" && client.close())
  sockets[0].leave(1006)
  await pass(60_000)
  assert.equal(client.state, "closed")
  assert.equal(sockets.length, 1)
  assert.equal(tokens, 1)
  assert.equal(left(), 0)
}

for (const state of ["open", "recovering", "offline"])
  cases[`a listener that closes the client when it is ${state} leaves nothing behind`] = async () => {
    const client = new Client("ws://server/chat", { since: state === "recovering" ? { room: "e.1" } : {} })
    client.onState((told) => told === state && client.close())
    await settled()
    sockets[0].accept()
    if (state === "offline") sockets[0].leave(1006)
    assert.equal(client.state, "closed")
    assert.equal(left(), 0)
    await pass(60_000)
    assert.equal(sockets.length, 1)
    assert.equal(left(), 0)
  }

cases["a listener of messages that closes the client leaves nothing behind"] = async () => {
  const client = await connected({ since: { room: "e.1" } })
  client.on("said", () => client.close())
  client.onGap(() => client.close())
  sockets[0].tell({ type: "said", at: ["room", "e.2"] })
  assert.equal(client.state, "closed")
  assert.equal(left(), 0)
}

cases["a client that its option retry closes stays closed"] = async () => {
  const client = await connected({ retry: () => (client.close(), true) })
  sockets[0].leave(4000)
  await pass(60_000)
  assert.equal(client.state, "closed")
  assert.equal(left(), 0)
}

cases["an option retry that fails is reported, and the client does as usual"] = async () => {
  const fail = () => {
    throw new Error("mine")
  }
  const client = await connected({ retry: fail })
  sockets[0].leave(1011)
  assert.equal(client.state, "offline")
  await comeBack(client)
  sockets[1].leave(4000)
  assert.equal(client.state, "closed")
  assert.equal(reported.length, 2)
}

cases["what a listener sends when there is a connection goes out once, behind what waits"] = async () => {
  const client = new Client("ws://server/chat")
  client.send({ type: "first" })
  client.onState((state) => {
    if (state !== "open") return
    client.request({ type: "second" })
    client.send({ type: "third" })
  })
  await settled()
  sockets[0].accept()
  assert.deepEqual(
    sockets[0].messages.map(({ type }) => type),
    ["first", "second", "third"],
  )
}

cases["each listener is told all states in order, though one of them changes the state"] = async () => {
  const client = await connected()
  client.onState((state) => state === "offline" && client.wake())
  const states = statesOf(client)
  const late = []
  client.onState((state) => state === "offline" && late.push(statesOf(client)))
  sockets[0].leave(1006)
  await settled()
  sockets[1].accept()
  assert.deepEqual(states, ["open", "offline", "connecting", "open"])
  assert.deepEqual(late, [["offline", "connecting", "open"]])
}

cases["a listener that another one has removed is not called"] = async () => {
  const client = await connected()
  const got = []
  client.on("said", () => {
    remove()
    client.on("said", () => got.push("new"))
  })
  const remove = client.on("said", () => got.push("removed"))
  sockets[0].tell({ type: "said" })
  assert.deepEqual(got, [])
  sockets[0].tell({ type: "said" })
  assert.deepEqual(got, ["new"])
}

cases["a function that listens twice is called until both have been ended"] = async () => {
  const client = await connected()
  let calls = 0
  const count = () => calls++
  const [one, other] = [client.on("said", count), client.on("said", count)]
  one()
  one()
  sockets[0].tell({ type: "said" })
  assert.equal(calls, 1)
  other()
  sockets[0].tell({ type: "said" })
  assert.equal(calls, 1)
}

// Bad servers

const NO_MESSAGES = [
  "no JSON",
  "",
  "5",
  "null",
  '"text"',
  "[1, 2]",
  "[".repeat(100_000),
  '{"type": "joined"}',
  '{"type": "joined", "label": 5, "position": "e.5", "recovered": true, "missed": 0}',
  '{"type": "gap"}',
  '{"type": "gap", "label": null}',
]

cases["what is no message changes nothing"] = async () => {
  const client = await connected()
  const got = []
  for (const type of ["*", "joined", "gap", "undefined"]) client.on(type, (message) => got.push(message))
  client.onGap((label) => got.push(label))
  for (const text of NO_MESSAGES) sockets[0].tell(text)
  sockets[0].onmessage({ data: new ArrayBuffer(8) })
  assert.deepEqual(got, [])
  assert.deepEqual(client.positions, {})
  assert.deepEqual(reported, [])
  assert.equal(client.state, "open")
}

const NO_PLACES = [5, "2026-01-01", "ab", {}, [], ["room"], ["room", null], [1, 2], ["room", "e.1", "x"], null, [["room"], "e.1"]]

cases["a message whose `at` is no place is the application's own"] = async () => {
  const client = await connected()
  const got = []
  client.on("said", ({ at }) => got.push(at))
  for (const at of NO_PLACES) sockets[0].tell({ type: "said", at })
  assert.deepEqual(got, NO_PLACES)
  assert.deepEqual(client.positions, {})
}

cases["a type that is no text makes no difference"] = async () => {
  const client = await connected()
  const got = []
  client.on("*", ({ type }) => got.push(type))
  for (const type of [5, null, ["joined"], {}]) sockets[0].tell({ type })
  assert.deepEqual(got, [5, null, ["joined"], {}])
}

cases["a position that is no text is none"] = async () => {
  const client = await connected({ since: { room: "e.1" } })
  sockets[0].tell({ ...JOINED, position: 5 })
  assert.deepEqual(client.positions, {})
  assert.equal(client.state, "open")
}

cases["positions that go back are followed"] = async () => {
  const client = await connected()
  for (const position of ["e.2", "e.1"]) sockets[0].tell({ type: "said", at: ["room", position] })
  sockets[0].leave(1006)
  await comeBack(client)
  assert.deepEqual(sockets[1].address.searchParams.getAll("since"), ["room:e.1"])
}

cases["a group that was not there before is joined without a gap, and its messages are not waited for"] = async () => {
  const client = await connected({ since: { room: "e.1" } })
  const gaps = []
  client.onGap((label) => gaps.push(label))
  sockets[0].tell({ ...JOINED, label: "hall", position: "f.3", missed: 2 })
  assert.equal(client.state, "recovering")
  sockets[0].tell(JOINED)
  assert.equal(client.state, "open")
  assert.deepEqual(gaps, [])
}

cases["only the id that it was given answers a request"] = async () => {
  const client = await connected()
  const answers = []
  client.request({ type: "ask" }).then((answer) => answers.push(answer.text))
  const [{ id }] = sockets[0].messages
  for (const to of [Number(id), [id], true, `0${id}`, ` ${id}`, null, "bob"]) sockets[0].tell({ type: "said", to, text: "no" })
  sockets[0].tell({ type: "said", to: id, at: ["room", "e.1"], text: "of a group" })
  await settled()
  assert.deepEqual(answers, [])
  sockets[0].tell({ type: "said", to: id, text: "yes" })
  await settled()
  assert.deepEqual(answers, ["yes"])
}

cases["an error that is ill-formed is one all the same"] = async () => {
  const client = await connected()
  const asked = client.request({ type: "ask" })
  sockets[0].tell({ type: "error", to: sockets[0].messages[0].id, code: 5, errors: "many" })
  await assert.rejects(asked, (error) => error.code === "failed" && error.errors.length === 0)
}

cases["all that a consumer without the protocol says is the application's"] = async () => {
  const client = await connected({}, "consumers.any")
  const got = []
  const gaps = []
  client.on("*", (message) => got.push(message))
  client.onGap((label) => gaps.push(label))
  const said = [
    { type: "joined", user: "bob" },
    { ...JOINED, recovered: false },
    { type: "gap", label: "room" },
    { type: "error", text: "no" },
    { type: "said", at: ["room", "e.1"] },
  ]
  for (const message of said) sockets[0].tell(message)
  assert.deepEqual(got, said)
  assert.deepEqual(gaps, [])
  assert.deepEqual(client.positions, {})
}

// Closes, and when to come back

cases["a token may expire again and again, if its connection has worked for a while"] = async () => {
  let tokens = 0
  const client = await connected({ token: () => `token ${++tokens}` })
  for (let hour = 0; hour < 3; hour++) {
    await pass(6_000)
    sockets.at(-1).leave(4401)
    assert.equal(client.state, "offline")
    await comeBack(client)
  }
  sockets.at(-1).leave(4401)
  assert.equal(client.state, "closed")
}

cases["the codes that stand for those that a server cannot send mean the same"] = async () => {
  for (const code of [4011, 4012, 4013]) {
    const client = await connected()
    sockets.at(-1).leave(code)
    assert.equal(client.state, "offline")
    client.close()
  }
}

cases["a hint is kept to, whatever it is"] = async () => {
  const expected = {
    "retry=5-20": [5_000, 20_000],
    "retry=20-5": [5_000, 20_000],
    "retry=0-0": [0, 0],
    "retry=5000-6000": [600_000, 1_200_000],
    "retry=1-999999999999999999999": [1_000, 601_000],
    "retry=abc": [0, 500],
    "retry=5": [0, 500],
    "retry=-5-20": [0, 500],
    "": [0, 500],
  }
  for (const [reason, [first, last]] of Object.entries(expected)) {
    const times = []
    for (let count = 0; count < 200; count++) {
      const client = await connected()
      client.onState((state, { retryIn }) => state === "offline" && times.push(retryIn))
      sockets.at(-1).leave(1012, reason)
      client.close()
    }
    assert.ok(Math.min(...times) >= first && Math.max(...times) <= last, reason)
    assert.ok(Math.max(...times) - Math.min(...times) >= 0.9 * (last - first), reason)
  }
}

cases["what the page's own errors say is no hint"] = async () => {
  const client = new Client("ws://server/chat", { token: () => Promise.reject(new Error("retry=500-600")) })
  const waits = []
  client.onState((state, { retryIn }) => state === "offline" && waits.push(retryIn))
  await settled()
  assert.ok(waits[0] <= 500)
}

cases["a page that is kept while the client waits as it was told keeps it waiting"] = async () => {
  const client = await connected()
  sockets[0].leave(1012, "retry=30-31")
  happen("window pagehide", { persisted: true })
  happen("window pageshow", { persisted: true })
  await pass(29_000)
  assert.equal(client.state, "offline")
  await pass(2_001)
  assert.equal(sockets.length, 2)
}

cases["a page that is kept has no connection, and one again when it is shown"] = async () => {
  const client = await connected()
  happen("window pagehide", { persisted: false })
  assert.equal(client.state, "open")
  happen("window pagehide", { persisted: true })
  assert.equal(client.state, "offline")
  assert.equal(sockets[0].readyState, 3)
  happen("window pageshow", { persisted: true })
  assert.equal(client.state, "connecting")
}

cases["a page that is shown again and again while it connects connects once"] = async () => {
  const client = new Client("ws://server/chat", { token: async () => "token" })
  for (const event of ["document visibilitychange", "document resume", "window online", "window offline"]) happen(event)
  await settled()
  for (const event of ["document visibilitychange", "document resume", "window online", "window offline"]) happen(event)
  assert.equal(sockets.length, 1)
  assert.equal(client.state, "connecting")
}

cases["a clock that is set has no effect"] = async () => {
  const { now } = Date
  const client = await connected()
  const waits = []
  client.onState((state, { retryIn }) => state === "offline" && waits.push(retryIn))
  Date.now = () => now() + 3_600_000
  Math.random = () => 1
  for (let failure = 0; failure < 3; failure++) {
    sockets.at(-1).leave(1006)
    await comeBack(client)
  }
  Date.now = () => now() - 3_600_000
  await pass(6_000)
  sockets.at(-1).leave(1006)
  assert.deepEqual(waits, [500, 1_000, 2_000, 500])
}

// Tokens

cases["a token that comes too late is not used"] = async () => {
  const answers = []
  const client = new Client("ws://server/chat", { token: () => new Promise((done) => answers.push(done)) })
  await pass(10_000)
  assert.equal(client.state, "offline")
  client.wake()
  answers[0]("late")
  await settled()
  assert.equal(sockets.length, 0)
  answers[1]("good")
  await settled()
  assert.deepEqual(sockets[0].offered, ["consumers.v1", "consumers.any", `token.${btoa("good").replaceAll("=", "")}`])
}

cases["a client that is closed while its token is fetched opens nothing"] = async () => {
  for (const answer of [(done) => done("token"), (_, failed) => failed(new Error("no"))]) {
    let settle
    const client = new Client("ws://server/chat", { token: () => new Promise((...both) => (settle = both)) })
    const states = statesOf(client)
    client.close()
    answer(...settle)
    await pass(60_000)
    assert.deepEqual(states, ["connecting", "closed"])
    assert.equal(sockets.length, 0)
    assert.equal(left(), 0)
  }
}

cases["an empty token is none"] = async () => {
  for (const token of ["", null, undefined]) {
    new Client("ws://server/chat", { token: () => token })
    await settled()
    assert.deepEqual(sockets.at(-1).offered, ["consumers.v1", "consumers.any"])
  }
}

// Bad arguments

cases["what is no message of a client's is refused, and leaves nothing behind"] = async () => {
  const client = await connected()
  const before = left()
  const cyclic = {}
  cyclic.itself = cyclic
  const { signal } = new AbortController()
  for (const message of [undefined, null, 5, "text", [1], () => {}, Symbol("x"), { big: 5n }, cyclic]) {
    assert.throws(() => client.send(message), TypeError)
    await assert.rejects(client.request(message, { signal, timeout: 1e6 }), TypeError)
  }
  assert.deepEqual(sockets[0].sent, [])
  assert.equal(left(), before)
}

cases["a request that is aborted before it begins is not sent"] = async () => {
  const client = await connected()
  const before = left()
  const asked = client.request({ type: "ask" }, { signal: AbortSignal.abort() })
  await assert.rejects(asked, (error) => error instanceof ClientError && error.code === "aborted")
  assert.deepEqual(sockets[0].sent, [])
  assert.equal(left(), before)
}

cases["an answer that comes too late settles nothing"] = async () => {
  const client = await connected()
  const got = []
  client.on("said", ({ text }) => got.push(text))
  const asked = client.request({ type: "ask" }, { timeout: 1_000 })
  const refused = assert.rejects(asked, (error) => error.code === "timeout")
  await pass(1_000)
  await refused
  const other = client.request({ type: "ask" })
  sockets[0].tell({ type: "said", to: "1", text: "late" })
  sockets[0].tell({ type: "said", to: "2", text: "in time" })
  assert.equal((await other).text, "in time")
  assert.deepEqual(got, ["late", "in time"])
}

for (const close of [[1001], [1006], [5000], [999], [1000, "x".repeat(124)], [1000, "é".repeat(62)]])
  cases[`a close that no client may send is refused in each state: ${close[0]}, ${close[1]?.[0]}`] = async () => {
    const client = await connected()
    assert.throws(() => client.close(...close), RangeError)
    sockets[0].leave(1006)
    assert.throws(() => client.close(...close), RangeError)
    assert.equal(client.state, "offline")
  }

cases["options that are undefined are as if they were not given"] = async () => {
  const client = await connected({ heartbeat: undefined, queueLimit: undefined, idKey: undefined, token: undefined })
  client.request({ type: "ask" }, { timeout: undefined, signal: undefined }).catch(() => {})
  assert.deepEqual(sockets[0].messages, [{ type: "ask", id: "1" }])
  await pass(25_000)
  assert.deepEqual(sockets[0].messages[1], { type: "ping" })
  sockets[0].leave(1006)
  for (let count = 1; count <= 100; count++) client.send({ type: "x" })
  assert.throws(() => client.send({ type: "x" }), { code: "queue_full" })
}

for (const heartbeat of [0, -1, NaN, null, Infinity, 1e12])
  cases[`a heartbeat of ${heartbeat} is none`] = async () => {
    const client = await connected({ heartbeat })
    await pass(1_000_000)
    assert.deepEqual(sockets[0].sent, [])
    assert.equal(client.state, "open")
  }

for (const timeout of [Infinity, 1e12])
  cases[`a timeout of ${timeout} is none`] = async () => {
    const client = await connected({ heartbeat: 0 })
    const asked = client.request({ type: "ask" }, { timeout })
    await pass(1_000_000)
    sockets[0].tell({ type: "ack", to: "1" })
    assert.equal((await asked).type, "ack")
  }

// Heartbeats

cases["who wakes the client again and again does not put off what it waits for"] = async () => {
  const client = await connected()
  for (let second = 0; second < 3; second++) {
    client.wake()
    assert.equal(client.state, "open")
    await pass(1_000)
  }
  assert.equal(client.state, "offline")
}

cases["who wakes the client shortens its patience"] = async () => {
  const client = await connected()
  await pass(25_000)
  client.wake()
  await pass(3_000)
  assert.equal(client.state, "offline")
}

cases["two clients have nothing in common"] = async () => {
  const [one, other] = [await connected(), await connected()]
  const got = []
  other.on("said", () => got.push("other"))
  sockets[0].tell({ type: "said", at: ["room", "e.1"] })
  assert.deepEqual(got, [])
  assert.deepEqual(other.positions, {})
  const [first, second] = sockets.map(({ address }) => address.searchParams.get("client"))
  assert.notEqual(first, second)
  one.close()
  assert.equal(other.state, "open")
}

cases["an address with a fragment is one without"] = async () => {
  new Client("https://server/chat?room=a#top")
  await settled()
  const { address } = sockets[0]
  assert.deepEqual([address.protocol, address.hash, address.searchParams.get("room")], ["wss:", "", "a"])
}

const failures = {}
for (const [name, run] of Object.entries(given === "--names" ? {} : cases)) {
  reset()
  failures[name] = await run().then(
    () => null,
    (error) => error.stack,
  )
}
console.log(JSON.stringify(given === "--names" ? Object.keys(cases) : failures))
