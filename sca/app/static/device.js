// The push device. Its key is made here, cannot leave this browser, and signs
// every answer over exactly the text that was shown.
"use strict";

(() => {
  const root = document.querySelector("[data-device]");
  if (!root) return;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const show = (name) => {
    for (const one of root.querySelectorAll("[data-part]")) one.hidden = one.dataset.part !== name;
  };
  const encode = (bytes) => {
    let text = "";
    for (const byte of new Uint8Array(bytes)) text += String.fromCharCode(byte);
    return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  };
  const bytes = (text) => new TextEncoder().encode(text);

  // The key lives in IndexedDB as a handle that cannot be read.
  function database() {
    return new Promise((resolve, reject) => {
      const open = indexedDB.open("rialto-device", 1);
      open.onupgradeneeded = () => open.result.createObjectStore("keys");
      open.onsuccess = () => resolve(open.result);
      open.onerror = () => reject(open.error);
    });
  }
  async function stored(mode, act) {
    const db = await database();
    return new Promise((resolve, reject) => {
      const asked = act(db.transaction("keys", mode).objectStore("keys"));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }
  const key = () => stored("readonly", (keys) => keys.get("device"));

  async function sign(pair, payload, iat) {
    const header = encode(bytes(JSON.stringify({ alg: "ES256", iat, kid: "device" })));
    const input = `${header}.${encode(bytes(payload))}`;
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, bytes(input));
    return `${input}.${encode(signature)}`;
  }
  async function send(path, body) {
    const answer = await fetch(`/sca/device/${path}`, {
      method: body ? "POST" : "GET",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: body ? JSON.stringify(body) : undefined,
    });
    const value = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) throw new Error(value.code || "failed");
    return value;
  }

  // Pairing: the token came behind "#" and is taken out of the address at once.
  async function pair(token) {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
    const jwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
    // The server's time: this device's clock does not matter.
    const proof = await sign(pair, `rialto-device:${token}`, Number(root.dataset.now));
    const answer = await send("register", { token, name: part("pair").querySelector("input").value, jwk: JSON.stringify(jwk), proof });
    await stored("readwrite", (keys) => keys.put(pair, "device"));
    root.querySelector("[data-number]").textContent = answer.number;
    show("paired");
    subscribe();
  }

  // A push service wakes the closed app, where there is one and the person agrees.
  async function subscribe() {
    if (!root.dataset.vapid || !("serviceWorker" in navigator)) return;
    try {
      const worker = await navigator.serviceWorker.ready;
      if (!worker.pushManager) return;
      const sub = (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: root.dataset.vapid })).toJSON();
      await send("subscribe", { endpoint: sub.endpoint, auth: sub.keys.auth, p256dh: sub.keys.p256dh });
    } catch {
      // Without it the open app still hears.
    }
  }

  let current = null;
  async function look() {
    const waiting = await send("challenges");
    tell(waiting.changes);
    const before = current;
    current = waiting.challenges[0] || null;
    limit(before);
    if (!current) {
      if (root.querySelector('[data-part="said"]').hidden) show("idle"); // what was said of the last one stays until he goes on
      return;
    }
    const lines = root.querySelector("[data-lines]");
    lines.replaceChildren(...current.display.text.split("\n").map((line) => {
      const p = document.createElement("p");
      p.textContent = line;
      return p;
    }));
    lines.lang = current.display.language;
    root.querySelector("[data-abroad]").hidden = !current.again;
    show("asked");
  }
  // What happened to the person's ways to confirm lately.
  function tell(changes) {
    const box = root.querySelector("[data-told]");
    box.hidden = changes.length === 0;
    box.querySelector("[data-changes]").replaceChildren(...changes.map((change) => {
      const line = document.createElement("li");
      line.textContent = `${change.at}: ${change.text}`;
      return line;
    }));
  }

  // The time to answer: shown, warned of, and lengthened on request (WCAG 2.2.1).
  let timers = [];
  function limit(before) {
    for (const timer of timers) window.clearTimeout(timer);
    timers = [];
    const warned = root.querySelector("[data-warned]");
    if (!current || !before || current.id !== before.id || current.left > 30) {
      warned.textContent = "";
      warned.className = "";
    }
    if (!current) return;
    root.querySelector("[data-left]").textContent = root.dataset.left.replace("#", current.left);
    root.querySelector("[data-more]").hidden = !current.more;
    const question = current;
    timers.push(window.setTimeout(() => {
      warned.textContent = question.more ? root.dataset.warn : root.dataset.last;
      warned.className = "notice look";
    }, Math.max(0, question.left - 30) * 1000));
    timers.push(window.setTimeout(() => {
      if (current !== question) return;
      current = null;
      root.querySelector("[data-said]").textContent = root.dataset.over;
      show("said");
    }, (question.left + 1) * 1000));
  }
  async function more() {
    await send("more", { challenge: current.id });
    await look();
  }
  async function hash(display) {
    // RFC 8785: members in order, which these names are in already.
    const text = JSON.stringify({ language: display.language, template: display.template, text: display.text });
    const sum = await crypto.subtle.digest("SHA-256", bytes(text));
    return Array.from(new Uint8Array(sum), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  async function decide(decision) {
    const field = root.querySelector("#number");
    const number = decision === "approve" ? field.value.trim() : "";
    if (decision === "approve" && !/^[0-9]{2}$/.test(number)) {
      field.focus();
      return;
    }
    const asked = current;
    const payload = JSON.stringify({
      challenge: asked.id, decision, link_hash: asked.link_hash, number, text: asked.display.text, text_hash: await hash(asked.display),
    });
    field.value = "";
    const said = root.querySelector("[data-said]");
    try {
      const answer = await send("answer", { jws: await sign(await key(), payload, asked.iat) });
      said.textContent = root.dataset[answer.state] || root.dataset.failed;
    } catch {
      said.textContent = root.dataset.failed;
    }
    show("said");
  }

  async function start() {
    for (const [rel, href] of [["manifest", "/sca/device/manifest.webmanifest"], ["apple-touch-icon", "/sca/device/icon-180.png"]]) {
      const link = document.createElement("link");
      link.rel = rel;
      link.href = href;
      document.head.append(link);
    }
    const policy = window.trustedTypes
      ? trustedTypes.createPolicy("rialto-worker", { createScriptURL: (url) => (url === "/sca/device/sw.js" ? url : "") })
      : { createScriptURL: (url) => url };
    if ("serviceWorker" in navigator) {
      navigator.serviceWorker.register(policy.createScriptURL("/sca/device/sw.js"), { scope: "/sca/device" }).catch(() => {});
    }
    const token = window.location.hash.slice(1);
    history.replaceState(null, "", "/sca/device");
    root.querySelector("[data-pair]").addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      pair(token).catch(() => show("unpaired"));
    });
    root.querySelector("[data-approve]").addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      decide("approve");
    });
    for (const button of root.querySelectorAll("[data-decide]")) button.addEventListener("click", () => decide(button.dataset.decide));
    root.querySelector("[data-more]").addEventListener("click", () => more().catch(() => look().catch(() => show("unpaired"))));
    for (const button of root.querySelectorAll("[data-again]")) {
      button.addEventListener("click", () => {
        show("idle");
        listen();
      });
    }
    if (token) {
      show("pair");
      return;
    }
    if (!(await key())) {
      show("unpaired");
      return;
    }
    listen();
  }
  let source = null;
  function listen() {
    if (source) source.close();
    look().catch(() => show("unpaired"));
    source = new EventSource("/sca/device/live");
    source.addEventListener("look", () => look().catch(() => show("unpaired")));
  }
  start();
})();
