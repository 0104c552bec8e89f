// The push app's worker. It keeps nothing: what is to be confirmed is always
// asked for anew. It only wakes the app.
"use strict";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
const texts = {
  asked: ["A payment is waiting for you to confirm it.", "Eine Zahlung wartet auf Ihre Bestätigung."],
  changed: ["Something about your ways to confirm payments has changed.", "An Ihren Wegen, Zahlungen zu bestätigen, hat sich etwas geändert."],
};
// What it is about is asked for, as the app does; without an answer it is taken
// for a payment.
async function about() {
  try {
    const answer = await fetch("/sca/device/challenges", { headers: { Accept: "application/json" } });
    return (await answer.json()).challenges.length === 0 ? "changed" : "asked";
  } catch {
    return "asked";
  }
}
self.addEventListener("push", (event) => {
  const german = (self.navigator.language || "").startsWith("de");
  event.waitUntil(about().then((what) => self.registration.showNotification("Rialto", {
    body: texts[what][german ? 1 : 0],
    tag: "rialto",
    data: "/sca/device",
  })));
});
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/sca/device"));
});
