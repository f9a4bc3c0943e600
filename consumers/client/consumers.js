/**
 * A WebSocket client that keeps its promises: it comes back, goes on where it was, and says so where it cannot.
 *
 * It speaks the protocol of docs/reference/protocol.md. consumers.d.ts says what its methods do.
 */

/** @typedef {import("./consumers.d.ts").Detail} Detail */
/** @typedef {import("./consumers.d.ts").Fault} Fault */
/** @typedef {import("./consumers.d.ts").Options} Options */
/** @typedef {import("./consumers.d.ts").RequestOptions} RequestOptions */
/** @typedef {import("./consumers.d.ts").State} State */
/** @typedef {import("./consumers.d.ts").Client<any>} Promised */

/**
 * @typedef {{ type: string, [key: string]: any }} Message
 * @typedef {(...values: any[]) => any} Listener
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
const LONGEST_TIMER = 2 ** 31 - 1 // a longer one rings at once
const STABLE = 5_000 // a connection that was open for so long has worked
const LONGEST_RECOVERY = 5_000 // a message that this client does not get may have been a group's newest
const LONGEST_HANDSHAKE = 10_000
const ANSWER_TO_PING = 10_000
const ANSWER_AFTER_SLEEP = 3_000

const NORMAL = 1000
const TOKEN_EXPIRED = 4401
const FINAL = [NORMAL, 1008, 1009] // 1009: the same message would come again
const NOT_FINAL = [4011, 4012, 4013] // 1011, 1012 and 1013, from a server that cannot send them
const MOST_REASON = 123 // bytes

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
    this.errors = Array.isArray(detail?.errors) ? detail.errors : []
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
  /** @type {number | undefined} */
  #openedAt
  #tokenWasRefused = false
  #isTold = false // by the server, when to come back
  /** @type {Timer} */
  #retryTimer
  /** @type {Timer} gives up a connection from which nothing comes */
  #watchdog
  #patience = Infinity // after a ping that has no answer yet
  /** @type {Timer} */
  #recoveryTimer
  /** @type {State} */
  #state = "connecting"
  /** @type {Detail} */
  #detail = {}
  /** @type {[State, Detail][]} what listeners are told at the moment, and are to be told then */
  #news = []
  /** @type {Map<string, string>} by label */
  #positions
  /** @type {Map<string, number>} by label: the attempt whose connection has joined the group last */
  #joinedIn = new Map()
  /** @type {Set<string>} the labels whose positions the handshake has told */
  #asked = new Set()
  /** @type {Map<string, string | null | undefined>} by label: where a group was when it was joined again */
  #awaited = new Map()
  /** @type {Map<string, Entry>} by id, in order: what waits for a connection, or for an answer */
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
    this.#url.hash = ""
    const { heartbeat = 25_000, queueLimit = 100, idKey = "id" } = options
    this.#options = { ...options, heartbeat, queueLimit, idKey }
    this.#positions = new Map(Object.entries(options.since ?? {}))
    this.#wakeOn(globalThis, "online", () => this.#cameBack())
    this.#wakeOn(globalThis, "offline", () => this.#check(ANSWER_AFTER_SLEEP))
    this.#wakeOn(globalThis, "pageshow", (event) => isKept(event) && this.#cameBack())
    this.#wakeOn(globalThis, "pagehide", (event) => isKept(event) && this.#leave())
    this.#wakeOn(globalThis.document, "visibilitychange", () => document.visibilityState === "visible" && this.#cameBack())
    this.#wakeOn(globalThis.document, "resume", () => this.#cameBack())
    this.#connect()
  }

  get state() {
    return this.#state
  }

  get positions() {
    return Object.fromEntries(this.#positions)
  }

  /**
   * @param {string} type
   * @param {Listener} listener
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners)
    return added(listeners, listener)
  }

  /** @param {(state: State, detail: Detail) => void} listener */
  onState(listener) {
    const [state, detail] = this.#news[0] ?? [this.#state, this.#detail]
    const remove = added(this.#stateListeners, listener)
    call(listener, state, detail)
    return remove
  }

  /** @param {(label: string) => void} listener */
  onGap(listener) {
    return added(this.#gapListeners, listener)
  }

  /** @param {object} message */
  send(message) {
    this.#requireRoom()
    this.#post(this.#newId(), { text: textOf(message) })
  }

  /**
   * @param {object} message
   * @param {RequestOptions} [options]
   * @returns {Promise<any>}
   */
  request(message, { timeout = 10_000, signal } = {}) {
    return new Promise((resolve, reject) => {
      this.#requireRoom()
      const id = this.#newId()
      const text = textOf(message, { [this.#options.idKey]: id })
      /** @type {(settled: (value: any) => void, value: unknown) => void} */
      const settle = (settled, value) => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", abort)
        this.#outbox.delete(id)
        settled(value)
      }
      /** @type {Fail} */
      const fail = (code, text, detail) => settle(reject, new ClientError(code, text, detail))
      const abort = () => fail("aborted", "the request was aborted; its message may have been handled")
      const late = () => fail("timeout", `no answer within ${timeout} ms; the message may have been handled`)
      const timer = after(timeout, late)
      signal?.addEventListener("abort", abort)
      if (signal?.aborted) abort()
      else this.#post(id, { text, answer: (answer) => settle(resolve, answer), fail })
    })
  }

  close(code = NORMAL, reason = "") {
    if ((code !== NORMAL && !(code >= 3000 && code < 5000)) || utf8(reason).length > MOST_REASON)
      throw new RangeError(`close() takes 1000, or 3000 to 4999, and a reason of ${MOST_REASON} bytes, not ${code}`)
    if (this.#state === "closed") return
    this.#socket?.close(code, reason)
    this.#end(code, reason)
  }

  // Connecting

  async #connect() {
    clearTimeout(this.#retryTimer)
    const attempt = ++this.#generation
    const isCurrent = () => attempt === this.#generation
    this.#watchdog = setTimeout(() => this.#lose(0, "no answer to the handshake"), LONGEST_HANDSHAKE)
    this.#setState("connecting")
    try {
      const token = isCurrent() && (await this.#options.token?.())
      if (isCurrent()) this.#open(token)
    } catch (error) {
      if (isCurrent()) this.#lose(0, `no token: ${error}`)
    }
  }

  /** @param {string | null | undefined | false} token */
  #open(token) {
    const protocols = [PROTOCOL, ANY_CONSUMER]
    if (token) protocols.push(`token.${base64url(utf8(token))}`)
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
    this.#openedAt = performance.now()
    this.#awaited = new Map([...this.#positions.keys()].map((label) => [label, undefined]))
    if (this.#awaited.size) this.#recoveryTimer = setTimeout(() => this.#recovered(), LONGEST_RECOVERY)
    this.#rest()
    for (const [id, entry] of this.#outbox) this.#post(id, entry) // before a listener sends more
    this.#setState(this.#awaited.size ? "recovering" : "open")
  }

  // What comes

  /** @param {unknown} data */
  #received(data) {
    this.#rest()
    const message = parsed(data)
    if (!message) return
    const { type, label, at, to } = message
    const isSpoken = this.#socket?.protocol === PROTOCOL // else all that comes is the application's
    const isOwn = isSpoken && OF_PROTOCOL.has(type)
    const place = isSpoken && !isOwn && isPlace(at) ? at : undefined
    if (place) this.#positions.set(...place)
    else if (!isOwn || type === "ack" || type === "error") this.#settle(this.#outbox.get(to), message)
    if (isOwn && (type === "joined" || type === "gap")) {
      if (typeof label !== "string") return
      if (type === "gap") emit(this.#gapListeners, label)
      else this.#joined(message)
    }
    emit(this.#listeners.get(type), message)
    if (!isOwn) emit(this.#listeners.get("*"), message)
    if (place) this.#arrived(...place)
  }

  /**
   * @param {Entry | undefined} request
   * @param {Message} message
   */
  #settle(request, message) {
    const { type, code } = message
    if (type === "error") request?.fail?.(typeof code === "string" ? code : "failed", `the server says: ${code}`, message)
    else request?.answer?.(message)
  }

  /** @param {Message} message */
  #joined({ label, position, recovered, missed }) {
    const joinedIn = this.#joinedIn.get(label) ?? this.#generation
    this.#joinedIn.set(label, this.#generation)
    const wasAway = joinedIn !== this.#generation && !this.#asked.has(label) // the server does not know that
    const isGap = wasAway || !recovered
    const isKnown = typeof position === "string"
    if (isGap || !isKnown) this.#positions.delete(label)
    if (isKnown && !missed) this.#positions.set(label, position) // else the messages that follow say it
    if (this.#awaited.has(label)) this.#awaited.set(label, isKnown && missed ? position : null)
    if (isGap) emit(this.#gapListeners, label)
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
    this.#drop()
    const { retry } = this.#options
    if (code === TOKEN_EXPIRED && !this.#tokenWasRefused) {
      this.#tokenWasRefused = true
      this.#lose(code, reason)
    } else if ((retry && call(retry, code, reason)) ?? !isFinal(code)) {
      this.#lose(code, reason)
    } else {
      this.#end(code, reason)
    }
  }

  /** The page is kept for later, and a connection would be in the way of that. */
  #leave() {
    if (this.#state !== "offline") this.#lose(0, "the page is kept for later")
  }

  /**
   * Let go of a connection that does not work, and try again later.
   *
   * @param {number} code
   * @param {string} reason
   */
  #lose(code, reason) {
    this.#drop()
    if (this.#state === "closed") return // by the option `retry`
    const hint = code ? hinted(reason) : undefined
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
    if (performance.now() - (this.#openedAt ?? Infinity) >= STABLE) {
      this.#failures = 0
      this.#tokenWasRefused = false
    }
    this.#openedAt = undefined
    socket?.close() // which does nothing if it is closed
  }

  // Heartbeats, and waking up

  /** The connection works: ask again when nothing has come for a while. */
  #rest() {
    clearTimeout(this.#watchdog)
    this.#patience = Infinity
    const { heartbeat } = this.#options
    if (heartbeat > 0) this.#watchdog = after(heartbeat, () => this.#check(ANSWER_TO_PING))
  }

  /**
   * Ask whether the connection still works.
   *
   * @param {number} patience
   */
  #check(patience) {
    if (this.#patience <= patience || !(this.#options.heartbeat > 0)) return
    if (this.#socket?.protocol !== PROTOCOL || !this.#sends('{"type":"ping"}')) return
    this.#patience = patience
    clearTimeout(this.#watchdog)
    this.#watchdog = setTimeout(() => this.#lose(0, "no answer to a ping"), patience)
  }

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
   * @param {string} id
   * @param {Entry} entry
   */
  #post(id, entry) {
    if (this.#sends(entry.text) && !entry.answer) this.#outbox.delete(id)
    else this.#outbox.set(id, entry)
  }

  #newId() {
    return String(++this.#lastNumber)
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
    if (this.#news.push([state, detail]) > 1) return // a listener did that: the others first hear of what was before
    for (; this.#news.length; this.#news.shift()) emit(this.#stateListeners, ...this.#news[0])
  }
}

/** @param {number} code */
function isFinal(code) {
  return FINAL.includes(code) || (code >= 4000 && code < 5000 && !NOT_FINAL.includes(code))
}

/**
 * Return in how many milliseconds a server wants its client back. Its reason is "retry=5-20", say, in seconds.
 *
 * @param {string} reason
 */
function hinted(reason) {
  const hint = /\bretry=(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)/.exec(reason)
  if (!hint) return undefined
  const [one, other] = [1000 * Number(hint[1]), 1000 * Number(hint[2])]
  return Math.min(LONGEST_HINT, one, other) + Math.random() * Math.min(LONGEST_HINT, Math.abs(one - other))
}

/**
 * @param {object} message
 * @param {object} [more]
 */
function textOf(message, more) {
  if (!message || typeof message !== "object" || Array.isArray(message))
    throw new TypeError(`a message is an object, not ${message}`)
  return JSON.stringify({ ...message, ...more })
}

/**
 * @param {unknown} data
 * @returns {Message | undefined}
 */
function parsed(data) {
  try {
    const message = typeof data === "string" && JSON.parse(data)
    return message instanceof Object && !Array.isArray(message) ? message : undefined
  } catch {
    return undefined
  }
}

/**
 * @param {any} at
 * @returns {at is [string, string]}
 */
function isPlace(at) {
  return Array.isArray(at) && at.length === 2 && at.every((each) => typeof each === "string")
}

/**
 * @param {number} ms
 * @param {() => void} ring
 */
function after(ms, ring) {
  return ms > LONGEST_TIMER ? undefined : setTimeout(ring, ms)
}

/**
 * @param {Set<Listener>} listeners
 * @param {Listener} listener
 */
function added(listeners, listener) {
  /** @type {Listener} */
  const own = (...values) => listener(...values) // the same function may be added twice
  listeners.add(own)
  return () => void listeners.delete(own)
}

/**
 * @param {Set<Listener> | undefined} listeners
 * @param {any[]} values
 */
function emit(listeners, ...values) {
  for (const listener of [...(listeners ?? [])]) if (listeners?.has(listener)) call(listener, ...values)
}

/**
 * Call a function of the page's, whose error must not keep the next message from coming.
 *
 * @param {Listener} listener
 * @param {any[]} values
 */
function call(listener, ...values) {
  try {
    return listener(...values)
  } catch (error) {
    ;(globalThis.reportError ?? console.error)(error)
  }
}

/** @param {string} text */
function utf8(text) {
  return new TextEncoder().encode(text)
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
