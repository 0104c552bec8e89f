// The push app's worker. It keeps nothing: what is to be confirmed is always
// asked for anew. It only wakes the app.
"use strict";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => {
  const german = (self.navigator.language || "").startsWith("de");
  event.waitUntil(self.registration.showNotification("Rialto", {
    body: german ? "Eine Zahlung wartet auf Ihre Bestätigung." : "A payment is waiting for you to confirm it.",
    tag: "rialto",
    data: "/sca/device",
  }));
});
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/sca/device"));
});
