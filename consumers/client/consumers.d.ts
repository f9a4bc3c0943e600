/** What goes over one connection. `python -m consumers typescript` prints it: `Channels["Chat"]`. */
export interface Channel {
  /** What the client sends. */
  in: { type: string }
  /** What it gets. */
  out: { type: string }
  /** What answers a message with an id, by the message's type. */
  replies: object
}

/** "recovering": connected, and what was missed is coming. "offline": waiting for the next attempt. */
export type State = "connecting" | "recovering" | "open" | "offline" | "closed"

/** What is known of a state: the close that led to "offline" or "closed", and milliseconds until the next attempt. */
export interface Detail {
  code?: number
  reason?: string
  retryIn?: number
}

export interface Options {
  /** Returns the token for the handshake; called for each connection. */
  token?: () => string | null | undefined | Promise<string | null | undefined>
  /** Positions that an earlier page has kept: the `positions` of its client. */
  since?: Record<string, string>
  /** Milliseconds of silence after which the connection is tested; 0: never. Default: 25 000. */
  heartbeat?: number
  /** How many messages may wait for a connection or for an answer. Default: 100. */
  queueLimit?: number
  /** The key of a message's id: the `id_key` of the consumer. Default: "id". */
  idKey?: string
  /** Says whether to come back after a close; undefined: as usual. */
  retry?: (code: number, reason: string) => boolean | undefined
}

export interface RequestOptions {
  /** Milliseconds; Infinity: no limit. Default: 10 000. */
  timeout?: number
  signal?: AbortSignal
}

export interface Fault {
  loc: (string | number)[]
  msg: string
  type: string
}

/** What the protocol itself says, whatever the application's messages are: see docs/protocol.md. */
export type ProtocolMessage =
  | { type: "error"; code: string; to?: string | number; errors: Fault[]; more: number }
  | { type: "ack"; to: string | number }
  | { type: "joined"; label: string; position: string | null; recovered: boolean; missed: number }
  | { type: "gap"; label: string }
  | { type: "expires"; in: number }
  | { type: "pong" }

/** Why a request has no answer, or a message is not sent. */
export class ClientError extends Error {
  /** "timeout", "queue_full", "closed", "aborted", or the server's: "invalid", "unknown_type", "rate_limited", "failed". */
  readonly code: string
  /** What is wrong with the message, if the server says. */
  readonly errors: Fault[]
}

type OfType<Message, Type> = Message extends { type: Type } ? Message : never
type ReplyTo<Replies, Type> = Type extends keyof Replies ? Replies[Type] : never

export class Client<C extends Channel = { in: any; out: any; replies: { [type: string]: any } }> {
  constructor(url: string | URL, options?: Options)

  readonly state: State

  /** The newest position of each label, to be kept over a reload: `new Client(url, { since: positions })`. */
  readonly positions: Record<string, string>

  /** Call a function with each message of a type, or of all of the application's for "*". Returns what ends that. */
  on(type: "*", listener: (message: Exclude<C["out"], ProtocolMessage>) => void): () => void
  on<Type extends C["out"]["type"]>(type: Type, listener: (message: OfType<C["out"], Type>) => void): () => void
  on<Type extends ProtocolMessage["type"]>(
    type: Type,
    listener: (message: OfType<ProtocolMessage, Type>) => void,
  ): () => void

  /** Call a function with the state, now and at each change, and with what is known of why. Returns what ends that. */
  onState(listener: (state: State, detail: Detail) => void): () => void

  /** Call a function with the label of a group whose messages were lost: load what is shown of it anew. */
  onGap(listener: (label: string) => void): () => void

  /**
   * Send a message that needs no answer, now or when there is a connection. It may be lost with a connection.
   *
   * Throws a `ClientError` if the client is closed or too many messages wait, and a `TypeError` for what is no object.
   */
  send(message: C["in"]): void

  /** Send a message, again after a cut, and return its answer. Rejects with a `ClientError`, or as `send()` throws. */
  request<M extends C["in"]>(message: M, options?: RequestOptions): Promise<ReplyTo<C["replies"], M["type"]>>

  /** Try again now if the state is "offline"; test the connection if there is one. For a button "try now". */
  wake(): void

  /** Close for good, with 1000 or 3000 to 4999. Requests without an answer are rejected. */
  close(code?: number, reason?: string): void
}
