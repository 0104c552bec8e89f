// One request to the bank, and what its failure means: "unavailable" only when
// not a byte of it left; everything after that is "uncertain".
import http from "node:http";
import https from "node:https";

const maxBody = 256 * 1024;

export class BankError extends Error {
  constructor(kind, code = "", httpStatus = 0, retryAfterMs = 0) {
    super(kind);
    this.wire = { kind, code, http_status: httpStatus, retry_after_ms: retryAfterMs };
  }
}

export function call({ method, url, headers, body, timeoutMs }) {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    let sent = false;
    const fail = () => reject(new BankError(sent ? "uncertain" : "unavailable"));
    // agent: false gives each request a connection of its own, so that it is
    // known whether a byte of it was written, and nothing is sent twice.
    const request = (target.protocol === "https:" ? https : http).request(target, { method, headers, agent: false });
    const timer = setTimeout(() => { request.destroy(); fail(); }, timeoutMs);
    request.on("socket", (socket) => socket.on(target.protocol === "https:" ? "secureConnect" : "connect", () => { sent = true; }));
    let answered = false; // a bank may answer before it has read all, and close
    request.on("error", () => { if (!answered) { clearTimeout(timer); fail(); } });
    request.on("response", (response) => {
      answered = true;
      const parts = [];
      let size = 0;
      response.on("data", (part) => {
        size += part.length;
        if (size > maxBody) { request.destroy(); clearTimeout(timer); fail(); } else parts.push(part);
      });
      response.on("error", () => { clearTimeout(timer); fail(); });
      response.on("aborted", () => { clearTimeout(timer); fail(); });
      response.on("end", () => {
        clearTimeout(timer);
        if (!response.complete) return fail();
        resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString("utf8") });
      });
    });
    request.end(body);
  });
}

// refusal says what an answer without success means.
export function refusal({ status, headers, text }, creating) {
  const after = headers["retry-after"] ?? "";
  const seconds = /^[0-9]+$/.test(after) ? Number(after) : Math.ceil((Date.parse(after) - Date.now()) / 1000);
  const wait = Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : 0;
  const message = object(text)?.tppMessages?.[0];
  const code = typeof message?.code === "string" && /^([A-Z]{2}[0-9]{2}|[A-Z][A-Z_]{1,63})$/.test(message.code) ? message.code : "";
  if (status === 429) return new BankError("unavailable", code, status, wait);
  if (status === 503 && (wait > 0 || code)) return new BankError("unavailable", code, status, wait);
  if (status >= 500 || status < 400 || !code) return new BankError("uncertain", code, status, wait);
  if (status === 404 && !creating) return new BankError("not_found", code, status);
  return new BankError(creating && code !== "FORMAT_ERROR" ? "refused" : "invalid", code, status);
}

// object reads a JSON object. JSON.parse takes the last of two members with one
// name; a bank that says two things is believed in neither.
export function object(text) {
  for (const name of ["transactionStatus", "paymentId", "_links"]) {
    if (text.split(`"${name}"`).length > 2) return undefined;
  }
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
