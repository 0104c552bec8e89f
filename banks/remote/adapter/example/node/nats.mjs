// A NATS client of the size an adapter needs: connect with a name and a
// password, answer requests of one queue group. For more, use NATS' own
// library; the protocol is documented at docs.nats.io.
import net from "node:net";
import tls from "node:tls";

export function serve({ url, user, password, subject, queue, answer }) {
  const { hostname, port, protocol } = new URL(url);
  const encrypted = protocol === "tls:";
  let socket;
  let waiting = Buffer.alloc(0);
  let ended = false;

  const connect = () => new Promise((resolve, reject) => {
    waiting = Buffer.alloc(0);
    socket = net.connect(Number(port || 4222), hostname);
    socket.setNoDelay(true);
    socket.once("error", reject);
    const greeted = () => {
      const options = { verbose: false, pedantic: false, tls_required: encrypted, user, pass: password, lang: "node", version: "1", protocol: 1 };
      socket.write(`CONNECT ${JSON.stringify(options)}\r\nSUB ${subject} ${queue} 1\r\nPING\r\n`);
      socket.on("data", (bytes) => read(bytes, resolve));
    };
    socket.once("data", () => { // INFO; what it says is not needed here
      if (!encrypted) return greeted();
      socket = tls.connect({ socket, servername: hostname }, greeted);
      socket.once("error", reject);
    });
    socket.on("close", () => {
      if (!ended) setTimeout(() => connect().catch(() => {}), 250);
    });
  });

  function read(bytes, ready) {
    waiting = Buffer.concat([waiting, bytes]);
    for (;;) {
      const end = waiting.indexOf("\r\n");
      if (end < 0) return;
      const line = waiting.toString("utf8", 0, end);
      const [word, ...rest] = line.split(" ");
      if (word === "MSG") { // MSG subject sid [reply-to] #bytes
        const size = Number(rest.at(-1));
        if (waiting.length < end + 4 + size) return;
        const payload = waiting.subarray(end + 2, end + 2 + size);
        const reply = rest.length === 4 ? rest[2] : "";
        waiting = waiting.subarray(end + 4 + size);
        if (reply) handle(rest[0], Buffer.from(payload), reply);
        continue;
      }
      waiting = waiting.subarray(end + 2);
      if (word === "PING") socket.write("PONG\r\n");
      else if (word === "PONG") ready();
      else if (word === "-ERR") process.stderr.write("nats: " + rest.join(" ") + "\n");
    }
  }

  async function handle(from, payload, reply) {
    const body = Buffer.from(JSON.stringify(await answer(from.split(".").at(-1), payload)));
    socket.write(Buffer.concat([Buffer.from(`PUB ${reply} ${body.length}\r\n`), body, Buffer.from("\r\n")]));
  }

  return connect().then(() => () => { ended = true; socket.end(); });
}
