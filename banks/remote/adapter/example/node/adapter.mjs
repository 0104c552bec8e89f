// A bank adapter in Node, with nothing but Node: NextGenPSD2 by redirect.
//
//   NATS_URL=nats://127.0.0.1:4222 NATS_PASSWORD_FILE=password BANK_ID=sandbank \
//   BANK_URL=https://xs2a.bank.example/v1 node adapter.mjs
//
// It says "ready" once it takes orders. What it must know of an order later
// goes to the hub as "state" and comes back with the next request.
import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { serve } from "./nats.mjs";
import { BankError, call, object, refusal } from "./bank.mjs";

const { NATS_URL, NATS_PASSWORD_FILE, BANK_ID, BANK_URL } = process.env;
const orders = `${BANK_URL}/v1/payments/instant-sepa-credit-transfers`;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const code = /^[A-Z]{4}$/;

const operations = { info, initiate, status, cancel };

async function answer(op, payload) {
  try {
    const request = JSON.parse(payload.toString("utf8"));
    if (request.v !== 1 || !operations[op]) throw new BankError("invalid", "REQUEST_UNREADABLE");
    return { v: 1, ...(await operations[op](request)) };
  } catch (e) {
    return { v: 1, error: e instanceof BankError ? e.wire : { kind: "uncertain" } };
  }
}

function info() {
  return { info: { id: BANK_ID, approaches: ["redirect"], ops: Object.keys(operations) } };
}

async function initiate({ order, timeout_ms }) {
  const body = compose(order);
  const response = await call({ method: "POST", url: orders, body, timeoutMs: timeout_ms, headers: {
    ...common(order.request_id, order.psu), "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body),
    "TPP-Redirect-Preferred": "true", "TPP-Redirect-URI": order.return_url, "TPP-Nok-Redirect-URI": order.fail_url ?? order.return_url } });
  if (response.status !== 201) throw refusal(response, true);
  const made = object(response.text);
  const id = made?.paymentId;
  const link = made?._links?.scaRedirect?.href;
  // From here on the bank has the order: what cannot be read is uncertain.
  if (typeof id !== "string" || !/^[A-Za-z0-9._~-]{1,256}$/.test(id) || !code.test(made.transactionStatus) || typeof link !== "string") {
    throw new BankError("uncertain", "ANSWER_INCOMPLETE", response.status);
  }
  if (made.transactionStatus === "RJCT") throw new BankError("refused", "", response.status);
  return { initiation: { state: Buffer.from(JSON.stringify({ id })).toString("base64"), approach: "redirect", status: made.transactionStatus,
    prompt: { kind: "redirect", redirect_url: link } } };
}

function compose(o) {
  const { amount_minor: minor, currency } = o.amount;
  const wrong = !Number.isSafeInteger(minor) || minor < 1 || minor > 99999999999 || currency !== "EUR" ? "AMOUNT_INVALID"
    : !iban(o.creditor.iban) ? "CREDITOR_ACCOUNT_INVALID"
    : !o.creditor.name?.trim() || o.creditor.name.length > 70 ? "CREDITOR_NAME_INVALID"
    : !/^[A-Za-z0-9+?/:().,' -]{1,35}$/.test(o.end_to_end_id) || /^\/|\/$|\/\//.test(o.end_to_end_id) ? "END_TO_END_ID_INVALID"
    : !/^[A-Za-z0-9+?/:().,' -]{0,140}$/.test(o.remittance ?? "") ? "REMITTANCE_INVALID"
    : !uuid.test(o.request_id) ? "REQUEST_ID_INVALID"
    : !o.psu.ip ? "PSU_IP_ADDRESS_MISSING"
    : !/^https?:\/\/[\x21-\x7e]+$/.test(o.return_url) || !/^[\x21-\x7e]*$/.test(o.fail_url ?? "") ? "RETURN_URL_INVALID" : "";
  if (wrong) throw new BankError("invalid", wrong);
  return JSON.stringify({
    endToEndIdentification: o.end_to_end_id,
    instructedAmount: { currency, amount: `${Math.trunc(minor / 100)}.${String(minor % 100).padStart(2, "0")}` },
    creditorAccount: { iban: o.creditor.iban }, creditorName: o.creditor.name,
    ...(o.debtor ? { debtorAccount: { iban: o.debtor } } : {}),
    ...(o.remittance ? { remittanceInformationUnstructured: o.remittance } : {}),
  });
}

function iban(text) {
  if (!/^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$/.test(text ?? "")) return false;
  const digits = (text.slice(4) + text.slice(0, 4)).replace(/[A-Z]/g, (c) => c.charCodeAt(0) - 55);
  return BigInt(digits) % 97n === 1n;
}

async function status({ ref, timeout_ms }) {
  const path = `${orders}/${encodeURIComponent(state(ref).id)}`;
  const found = await get(`${path}/status`, ref, ref.request_id, timeout_ms);
  if (!code.test(found.transactionStatus)) throw new BankError("uncertain", "ANSWER_INCOMPLETE", 200);
  const out = { transaction: found.transactionStatus };
  if (code.test(found.reasonCode) || /^[A-Z]{2}[0-9]{2}$/.test(found.reasonCode)) out.reason = found.reasonCode;
  if (["ACSC", "ACCC"].includes(out.transaction)) {
    const payment = await get(path, ref, randomUUID(), timeout_ms);
    out.payer = { iban: iban(payment.debtorAccount?.iban) ? payment.debtorAccount.iban : "", name: String(payment.debtorName ?? "").slice(0, 140) };
  }
  return { status: out };
}

async function get(url, ref, id, timeoutMs) {
  const response = await call({ method: "GET", url, headers: common(id, ref.psu), timeoutMs });
  if (response.status !== 200) throw refusal(response, false);
  const found = object(response.text);
  if (!found) throw new BankError("uncertain", "ANSWER_UNREADABLE", 200);
  return found;
}

async function cancel({ ref, timeout_ms }) {
  const response = await call({ method: "DELETE", url: `${orders}/${encodeURIComponent(state(ref).id)}`, headers: common(ref.request_id, ref.psu), timeoutMs: timeout_ms });
  if (response.status === 204) return { cancellation: { done: true } };
  if (response.status === 202 || response.status === 200) return { cancellation: { done: object(response.text)?.transactionStatus === "CANC" } };
  throw refusal(response, false);
}

function state(ref) {
  const kept = object(Buffer.from(ref.state ?? "", "base64").toString("utf8"));
  if (typeof kept?.id !== "string" || !/^[A-Za-z0-9._~-]{1,256}$/.test(kept.id) || !uuid.test(ref.request_id)) {
    throw new BankError("invalid", "STATE_INVALID");
  }
  return kept;
}

function common(requestId, psu) {
  const headers = { "X-Request-ID": requestId, Accept: "application/json" };
  const tell = (name, value) => { if (value && /^[\x20-\x7e]*$/.test(value)) headers[name] = value; };
  tell("PSU-IP-Address", psu?.ip);
  tell("PSU-User-Agent", psu?.user_agent);
  return headers;
}

const stop = await serve({ url: NATS_URL, user: BANK_ID, password: readFileSync(NATS_PASSWORD_FILE, "utf8").trim(),
  subject: `rialto.bank.${BANK_ID}.*`, queue: "adapter", answer });
console.log("ready");
process.on("SIGTERM", () => { stop(); process.exit(0); });
