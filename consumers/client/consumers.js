/**
 * A WebSocket client that keeps its promises: it comes back, goes on where it was, and says so where it cannot.
 *
 * It speaks the protocol of docs/reference/protocol.md. One module, no dependencies, no build step.
 *
 *     const client = new Client("/chat/1", { token: () => fetchToken() })
 *     client.on("said", (message) => show(message))
 *     client.onState((state) => badge(state))
 *     client.onGap((label) => reload(label))
 *     await client.request({ type: "say", text: "hello" })
 */

/** @typedef {import("./consumers.d.ts").Detail} Detail */
/** @typedef {import("./consumers.d.ts").Fault} Fault */
/** @typedef {import("./consumers.d.ts").Options} Options */
/** @typedef {import("./consumers.d.ts").RequestOptions} RequestOptions */
/** @typedef {import("./consumers.d.ts").State} State */
/** @typedef {import("./consumers.d.ts").Client<any>} Promised */

/**
 * @typedef {{ type: string, [key: string]: any }} Message
 * @typedef {(...values: any[]) => void} Listener
 * @typedef {ReturnType<typeof setTimeout> | undefined} Timer
 * @typedef {(code: string, text: string, detail?: Message) => void} Fail
 * @typedef {{ text: string, answer?: (answer: Message) => void, fail?: Fail }} Entry what the outbox has
 */

const PROTOCOL = "consumers.v1"
const ANY_CONSUMER = "consumers.any" // one that does not speak the protocol
const OF_PROTOCOL = new Set(["ack", "error", "expires", "gap", "joined", "pong"])

const SHORTEST_RETRY = 500 // milliseconds, as all times here
const LONGEST_RETRY = 20_000
const LONGEST_HINT = 600_000
const STABLE = 5_000 // a connection that was open for so long has worked
const LONGEST_RECOVERY = 5_000 // a message that this client does not get may have been a group's newest
const LONGEST_HANDSHAKE = 10_000
const ANSWER_TO_PING = 10_000
const ANSWER_AFTER_SLEEP = 3_000

const NORMAL = 1000
const POLICY_VIOLATION = 1008
const TOO_BIG = 1009 // the same message would come again
const TOKEN_EXPIRED = 4401

/** Why a request has no answer: `code` is "timeout", "queue_full", "closed", "aborted", or the server's. */
export class ClientError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {Message} [detail] the server's error
   */
  constructor(code, message, detail) {
    super(message)
    this.name = "ClientError"
    this.code = code
    /** @type {Fault[]} */
    this.errors = detail?.errors ?? []
  }
}

/** @implements {Promised} */
export class Client {
  #url
  #options
  #key = randomKey()
  /** @type {WebSocket | null} */
  #socket = null
  #generation = 0 // of connections and attempts: what belongs to an earlier one has come too late
  #failures = 0 // how many in a row
  #openedAt = 0
  #tokenWasRefused = false
  #isTold = false // by the server, when to come back
  /** @type {Timer} */
  #retryTimer
  /** @type {Timer} gives up a connection from which nothing comes */
  #watchdog
  /** @type {Timer} */
  #recoveryTimer
  /** @type {State} */
  #state = "connecting"
  /** @type {Detail} */
  #detail = {}
  /** @type {Map<string, string>} by label */
  #positions
  /** @type {Map<string, number>} by label: the attempt whose connection has joined the group last */
  #joinedIn = new Map()
  /** @type {Set<string>} the labels whose positions the handshake has told */
  #asked = new Set()
  /** @type {Map<string, string | null | undefined>} by label: where a group was when it was joined again */
  #awaited = new Map()
  /** @type {Map<number, Entry>} in order: what waits for a connection, or for an answer */
  #outbox = new Map()
  #lastNumber = 0
  /** @type {Map<string, Set<Listener>>} by the type of messages */
  #listeners = new Map()
  /** @type {Set<Listener>} */
  #stateListeners = new Set()
  /** @type {Set<Listener>} */
  #gapListeners = new Set()
  /** @type {(() => void)[]} what ends the listening to the page's events */
  #wakes = []

  /**
   * @param {string | URL} url
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    this.#url = new URL(url, globalThis.location?.href)
    this.#url.protocol = this.#url.protocol.replace("http", "ws")
    this.#options = { heartbeat: 25_000, queueLimit: 100, idKey: "id", ...options }
    this.#positions = new Map(Object.entries(options.since ?? {}))
    this.#wakeOn(globalThis, "online", () => this.#cameBack())
    this.#wakeOn(globalThis, "offline", () => this.#check(ANSWER_AFTER_SLEEP))
    this.#wakeOn(globalThis, "pageshow", (event) => isKept(event) && this.#cameBack())
    this.#wakeOn(globalThis, "pagehide", (event) => isKept(event) && this.#lose(0, "the page is kept for later"))
    this.#wakeOn(globalThis.document, "visibilitychange", () => document.visibilityState === "visible" && this.#cameBack())
    this.#wakeOn(globalThis.document, "resume", () => this.#cameBack())
    this.#connect()
  }

  /** "connecting", "recovering", "open", "offline" or "closed". */
  get state() {
    return this.#state
  }

  /** The newest position of each label, to be kept over a reload: `new Client(url, { since: positions })`. */
  get positions() {
    return Object.fromEntries(this.#positions)
  }

  /**
   * Call a function with each message of a type, or of all types for "*". Returns what ends that.
   *
   * @param {string} type
   * @param {Listener} listener
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners)
    return added(listeners, listener)
  }

  /**
   * Call a function with the state, now and whenever it changes, and with what is known of why.
   *
   * @param {(state: State, detail: Detail) => void} listener
   */
  onState(listener) {
    const remove = added(this.#stateListeners, listener)
    call(listener, this.#state, this.#detail)
    return remove
  }

  /**
   * Call a function with the label of a group whose messages were lost: what is shown of it is to be loaded anew.
   *
   * @param {(label: string) => void} listener
   */
  onGap(listener) {
    return added(this.#gapListeners, listener)
  }

  /**
   * Send a message that needs no answer: now, or when there is a connection. It may be lost with a connection.
   *
   * @param {object} message
   */
  send(message) {
    this.#requireRoom()
    this.#post(++this.#lastNumber, { text: JSON.stringify(message) })
  }

  /**
   * Send a message, again after a cut, and return its answer. Rejects with a `ClientError`.
   *
   * @param {object} message
   * @param {RequestOptions} [options]
   * @returns {Promise<any>}
   */
  request(message, { timeout = 10_000, signal } = {}) {
    return new Promise((resolve, reject) => {
      this.#requireRoom()
      signal?.throwIfAborted()
      const number = ++this.#lastNumber
      /** @type {(settled: (value: any) => void, value: unknown) => void} */
      const settle = (settled, value) => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", abort)
        this.#outbox.delete(number)
        settled(value)
      }
      /** @type {Fail} */
      const fail = (code, text, detail) => settle(reject, new ClientError(code, text, detail))
      const abort = () => fail("aborted", "the request was aborted; its message may have been handled")
      const late = () => fail("timeout", `no answer within ${timeout} ms; the message may have been handled`)
      const timer = timeout === Infinity ? undefined : setTimeout(late, timeout)
      signal?.addEventListener("abort", abort)
      const text = JSON.stringify({ ...message, [this.#options.idKey]: String(number) })
      this.#post(number, { text, answer: (answer) => settle(resolve, answer), fail })
    })
  }

  /** Close for good. Requests without an answer are rejected. */
  close(code = NORMAL, reason = "") {
    if (this.#state === "closed") return
    this.#socket?.close(code, reason)
    this.#end(code, reason)
  }

  // Connecting

  async #connect() {
    clearTimeout(this.#retryTimer)
    this.#setState("connecting")
    const attempt = ++this.#generation
    this.#watchdog = setTimeout(() => this.#lose(0, "no answer to the handshake"), LONGEST_HANDSHAKE)
    try {
      const token = await this.#options.token?.()
      if (attempt === this.#generation) this.#open(token)
    } catch (error) {
      if (attempt === this.#generation) this.#lose(0, `no token: ${error}`)
    }
  }

  /** @param {string | null | undefined} token */
  #open(token) {
    const protocols = [PROTOCOL, ANY_CONSUMER]
    if (token) protocols.push(`token.${base64url(new TextEncoder().encode(token))}`)
    let socket
    try {
      socket = this.#socket = new WebSocket(this.#address(), protocols)
    } catch (error) {
      this.#end(0, String(error)) // it will not work later either, as ws: on a page of https:
      return
    }
    socket.onopen = () => this.#socket === socket && this.#opened()
    socket.onmessage = ({ data }) => this.#socket === socket && this.#received(data)
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(code, reason)
  }

  #address() {
    const address = new URL(this.#url)
    address.searchParams.set("client", this.#key)
    this.#asked = new Set(this.#positions.keys())
    for (const [label, position] of this.#positions) address.searchParams.append("since", `${label}:${position}`)
    return address
  }

  #opened() {
    this.#openedAt = Date.now()
    this.#awaited = new Map([...this.#positions.keys()].map((label) => [label, undefined]))
    if (this.#awaited.size) this.#recoveryTimer = setTimeout(() => this.#recovered(), LONGEST_RECOVERY)
    this.#setState(this.#awaited.size ? "recovering" : "open")
    for (const [number, entry] of this.#outbox) this.#post(number, entry)
    this.#rest()
  }

  // What comes

  /** @param {unknown} data */
  #received(data) {
    this.#rest()
    const message = typeof data === "string" ? parsed(data) : undefined
    if (message === undefined) return
    const [label, position] = message.at ?? []
    if (label) this.#positions.set(label, position)
    if (message.type === "joined") this.#joined(message)
    else if (message.type === "gap") emit(this.#gapListeners, message.label)
    const request = this.#outbox.get(Number(message.to))
    if (message.type === "error") request?.fail?.(message.code, `the server says: ${message.code}`, message)
    else request?.answer?.(message)
    emit(this.#listeners.get(message.type), message)
    if (!OF_PROTOCOL.has(message.type)) emit(this.#listeners.get("*"), message)
    if (label) this.#arrived(label, position)
  }

  /** @param {Message} message */
  #joined({ label, position, recovered, missed }) {
    const joinedIn = this.#joinedIn.get(label) ?? this.#generation
    this.#joinedIn.set(label, this.#generation)
    const wasAway = joinedIn !== this.#generation && !this.#asked.has(label) // the server does not know that
    if (wasAway || !recovered) {
      this.#positions.delete(label)
      emit(this.#gapListeners, label)
    }
    if (position !== null && !missed) this.#positions.set(label, position) // else the messages that follow say it
    this.#awaited.set(label, missed ? position : null)
    this.#arrived(label, null)
  }

  /**
   * Note how far a group has come: its messages up to where it was when it was joined are what was missed.
   *
   * @param {string} label
   * @param {string | null} position
   */
  #arrived(label, position) {
    if (this.#state !== "recovering" || this.#awaited.get(label) !== position) return
    this.#awaited.delete(label)
    if (!this.#awaited.size) this.#recovered()
  }

  #recovered() {
    clearTimeout(this.#recoveryTimer)
    if (this.#state === "recovering") this.#setState("open")
  }

  // Losing a connection

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    if (code === TOKEN_EXPIRED && !this.#tokenWasRefused) {
      this.#lose(code, reason)
      this.#tokenWasRefused = true // now: losing a connection that has worked for a while forgets an earlier refusal
    } else if (this.#options.retry?.(code, reason) ?? !isFinal(code)) {
      this.#lose(code, reason)
    } else {
      this.#end(code, reason)
    }
  }

  /**
   * Let go of a connection that does not work, and try again later.
   *
   * @param {number} code
   * @param {string} reason
   */
  #lose(code, reason) {
    this.#drop()
    if (this.#openedAt && Date.now() - this.#openedAt >= STABLE) {
      this.#failures = 0
      this.#tokenWasRefused = false
    }
    this.#openedAt = 0
    const hint = hinted(reason)
    this.#isTold = hint !== undefined
    const retryIn = hint ?? Math.random() * Math.min(LONGEST_RETRY, SHORTEST_RETRY * 2 ** this.#failures++)
    this.#retryTimer = setTimeout(() => this.#connect(), retryIn)
    this.#setState("offline", { code, reason, retryIn })
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    this.#drop()
    clearTimeout(this.#retryTimer)
    for (const forget of this.#wakes.splice(0)) forget()
    this.#setState("closed", { code, reason })
    for (const { fail } of [...this.#outbox.values()]) fail?.("closed", `the connection was closed: ${code} ${reason}`)
    this.#outbox.clear()
  }

  /** Have nothing more to do with the socket. */
  #drop() {
    const socket = this.#socket
    this.#socket = null
    this.#generation++
    clearTimeout(this.#watchdog)
    clearTimeout(this.#recoveryTimer)
    socket?.close() // which does nothing if it is closed
  }

  // Heartbeats, and waking up

  /** The connection works: ask again when nothing has come for a while. */
  #rest() {
    clearTimeout(this.#watchdog)
    const { heartbeat } = this.#options
    if (heartbeat) this.#watchdog = setTimeout(() => this.#check(ANSWER_TO_PING), heartbeat)
  }

  /**
   * Ask whether the connection still works.
   *
   * @param {number} patience
   */
  #check(patience) {
    if (!this.#options.heartbeat || this.#socket?.protocol !== PROTOCOL || !this.#sends('{"type":"ping"}')) return
    clearTimeout(this.#watchdog)
    this.#watchdog = setTimeout(() => this.#lose(0, "no answer to a ping"), patience)
  }

  /** Look now whether there is a connection, rather than when a timer rings: for a button "try now". */
  wake() {
    if (this.#state === "offline") this.#connect()
    else this.#check(ANSWER_AFTER_SLEEP)
  }

  /** The device, or the page, was away. Who was told when to come back keeps to it. */
  #cameBack() {
    if (this.#state !== "offline" || !this.#isTold) this.wake()
  }

  /**
   * @param {EventTarget | undefined} target
   * @param {string} event
   * @param {(event: Event) => void} handle
   */
  #wakeOn(target, event, handle) {
    if (!target?.addEventListener) return
    target.addEventListener(event, handle)
    this.#wakes.push(() => target.removeEventListener(event, handle))
  }

  // Small parts

  /**
   * Send a text, if there is a connection.
   *
   * @param {string} text
   */
  #sends(text) {
    if (this.#socket?.readyState !== 1) return false
    this.#socket.send(text)
    return true
  }

  /**
   * Send what the outbox has, if that is possible. It stays there while there is something to wait for.
   *
   * @param {number} number
   * @param {Entry} entry
   */
  #post(number, entry) {
    if (this.#sends(entry.text) && !entry.answer) this.#outbox.delete(number)
    else this.#outbox.set(number, entry)
  }

  #requireRoom() {
    if (this.#state === "closed") throw new ClientError("closed", "the client is closed: make a new one")
    const { queueLimit } = this.#options
    if (this.#outbox.size >= queueLimit)
      throw new ClientError("queue_full", `${queueLimit} messages wait already: see the option queueLimit`)
  }

  /**
   * @param {State} state
   * @param {Detail} [detail]
   */
  #setState(state, detail = {}) {
    if (state === this.#state && state !== "offline") return
    this.#state = state
    this.#detail = detail
    emit(this.#stateListeners, state, detail)
  }
}

/** @param {number} code */
function isFinal(code) {
  return [NORMAL, POLICY_VIOLATION, TOO_BIG].includes(code) || (code >= 4000 && code < 5000)
}

/**
 * Return in how many milliseconds a server wants its client back. Its reason is "retry=5-20", say, in seconds.
 *
 * @param {string} reason
 */
function hinted(reason) {
  const hint = /\bretry=(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)/.exec(reason)
  if (!hint) return undefined
  const from = 1000 * Number(hint[1])
  const to = 1000 * Number(hint[2])
  return Math.min(LONGEST_HINT, from + Math.random() * Math.max(0, to - from))
}

/**
 * @param {string} text
 * @returns {Message | undefined}
 */
function parsed(text) {
  try {
    const message = JSON.parse(text)
    return message instanceof Object ? message : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {Set<Listener>} listeners
 * @param {Listener} listener
 */
function added(listeners, listener) {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/**
 * @param {Set<Listener> | undefined} listeners
 * @param {any[]} values
 */
function emit(listeners, ...values) {
  for (const listener of [...(listeners ?? [])]) call(listener, ...values)
}

/**
 * Call a function of the page's, whose error must not keep the next message from coming.
 *
 * @param {Listener} listener
 * @param {any[]} values
 */
function call(listener, ...values) {
  try {
    listener(...values)
  } catch (error) {
    ;(globalThis.reportError ?? console.error)(error)
  }
}

function randomKey() {
  return base64url(crypto.getRandomValues(new Uint8Array(18)))
}

/**
 * Tell whether a page goes into the browser's back/forward cache, or comes out of it.
 *
 * @param {Event} event
 */
function isKept(event) {
  return "persisted" in event && event.persisted
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}
