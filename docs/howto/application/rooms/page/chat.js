import { Client } from "/consumers/consumers.js"

const element = (id) => document.getElementById(id)
let token, client

async function ask(method, path, content) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` }
  const answer = await fetch(path, { method, headers, body: JSON.stringify(content) })
  if (answer.status === 401) client?.close() // the token is no longer good
  const reason = async () => (await answer.json().catch(() => ({ detail: "The server failed: see its log" }))).detail
  if (!answer.ok) throw new Error(await reason())
  return answer
}

async function getToken(path, content) {
  token = (await (await ask("POST", path, content)).json()).token
  return token
}

element("login").onsubmit = async (event) => {
  event.preventDefault()
  const { name, password, room } = Object.fromEntries(new FormData(event.target))
  const address = `/rooms/${encodeURIComponent(room)}`
  try {
    await getToken("/login", { name, password })
    await ask("GET", `${address}/messages?limit=1`) // is an error that says why, if the user may not enter
    enter(address)
  } catch (error) {
    element("reason").textContent = error.message
  }
}

function enter(address) {
  client?.close()
  element("messages").replaceChildren()
  client = new Client(address, { token: () => getToken("/refresh") })
  client.onState((state, { reason }) => {
    element("login").hidden = state !== "closed"
    element("room").hidden = state === "closed"
    element("state").textContent = state === "offline" ? "Offline. What you say waits." : ""
    element("reason").textContent = state === "closed" ? reason : ""
  })
  client.onGap(() => enter(address)) // without a position: so the newest 50 come
  client.on("expires", async () => client.send({ type: "refresh", token: await getToken("/refresh") }))
  client.on("said", ({ user, text }) => show(`${user}: ${text}`))
  client.on("notice", ({ text }) => show(text, "notice"))

  let people = { names: [], version: 0 }
  const meet = (now) => (element("people").textContent = (people = now).names.join(", "))
  client.on("people", meet)
  client.on("moved", ({ came, left, version }) => {
    const names = new Set([...people.names, ...came]).difference(new Set(left))
    if (version > people.version) meet({ names: [...names].sort(), version })
  })
}

function show(text, kind = "said") {
  const line = Object.assign(document.createElement("li"), { className: kind, textContent: text })
  element("messages").append(line)
  line.scrollIntoView()
}

element("say").onsubmit = (event) => {
  event.preventDefault()
  const text = element("text").value
  event.target.reset()
  const failed = (error) => show(`No answer to “${text}”: ${error.message}`, "notice")
  client.request({ type: "say", text }, { timeout: 60_000 }).catch(failed)
}

element("leave").onclick = () => ask("POST", "/logout") // which closes the connection
