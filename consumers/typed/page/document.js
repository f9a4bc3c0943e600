// What the page needs to know of a document of AsyncAPI 3.

export class AsyncApi {
  constructor(content) {
    this.content = content;
    this.channels = Object.entries(content.channels ?? {}).map(([name, channel]) => ({ name, ...channel }));
  }

  /** Follows references, which are all within the document, and none twice. */
  resolve(value) {
    const seen = new Set();
    let found = value;
    while (typeof found?.$ref === "string" && !seen.has(found)) {
      seen.add(found);
      const keys = found.$ref.replace(/^#\//, "").split("/");
      found = keys.reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], this.content);
    }
    return found ?? {};
  }

  /** Returns the messages of a list of references, each with the name that the channel has for it. */
  messages(references) {
    return (references ?? []).map((reference) => ({
      key: reference.$ref.split("/").at(-1),
      ...this.resolve(reference),
    }));
  }

  /** Returns the operations of a channel: "receive" are the client's messages, "send" those that it gets. */
  operations(channel, action) {
    const at = `#/channels/${channel.name}`;
    return Object.values(this.content.operations ?? {}).filter(
      (operation) => operation.action === action && operation.channel.$ref === at,
    );
  }

  /** Returns what proves who the client is, in words. */
  security(channel) {
    const operations = [...this.operations(channel, "receive"), ...this.operations(channel, "send")];
    return (operations[0]?.security ?? []).map((each) => inWords(this.resolve(each)));
  }

  /** Returns the path in front of all addresses at a host. */
  pathAt(host) {
    const servers = this.content.servers ?? {};
    const found = Object.values(servers).find((server) => server.host === host) ?? servers.server;
    return found?.pathname ?? "";
  }
}

function inWords(scheme) {
  const scopes = scheme.scopes?.length ? ` (${scheme.scopes.join(", ")})` : "";
  switch (scheme.type) {
    case "httpApiKey":
      return `${scheme.name} in the ${scheme.in}`;
    case "http":
      return `HTTP ${scheme.scheme}`;
    case "oauth2":
      return `OAuth 2${scopes}`;
    case "openIdConnect":
      return `OpenID Connect${scopes}`;
    default:
      return String(scheme.type);
  }
}

/** Returns the URL of a channel at this page's host. */
export function urlOf(api, channel, parameters, query) {
  const address = channel.address.replace(/{([^}]+)}/g, (_, name) => encodeURIComponent(parameters[name] ?? ""));
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const search = new URLSearchParams(query).toString();
  return `${scheme}//${location.host}${api.pathAt(location.host)}${address}${search && `?${search}`}`;
}

/** Returns a JSON text with line breaks; numbers stay as they are written, however large. A text that is none stays. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|[[{]\s*[\]}]|[[{]|[\]}]|[,:]|\s+/g, (token) => {
    if (token[0] === '"') return token;
    if (token.trim() === "") return "";
    if (token.length > 1) return token.replace(/\s/g, "");
    if (token === "," ) return `,${line()}`;
    if (token === ":") return ": ";
    depth += "[{".includes(token) ? 1 : -1;
    return "[{".includes(token) ? token + line() : line() + token;
  });
}
