// A receiver on Node, without any package. Give it the raw body: not what a
// framework has parsed and written again.
import { createHmac, timingSafeEqual } from 'node:crypto';

const WINDOW = 5 * 60; // seconds

// Returns the event, or throws and says why not.
export function receive(headers, rawBody, secret, now = Date.now() / 1000) {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signatures = headers['webhook-signature'];
  if (!id || !timestamp || !signatures) throw new Error('header: this is no webhook');
  if (!/^[0-9]+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > WINDOW) throw new Error('clock: too old, or a clock is wrong');
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(rawBody).digest();
  const good = signatures.split(' ').some((item) => {
    const [version, value] = item.split(',');
    const given = Buffer.from(value ?? '', 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!good) throw new Error('signature: another secret, or another body');
  const event = JSON.parse(rawBody);
  if (event.id !== id) throw new Error('body: another event than the headers say');
  return event; // handle each event.id once: remember it for longer than WINDOW
}
