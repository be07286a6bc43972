import { createServer } from 'node:net';

// Below the range from which systems take source ports: a client that reconnects to a dead port inside that range can
// be given the same port as its source and then connects to itself.
const lowest = 20_000;
const highest = 29_999;
const span = highest - lowest + 1;
/** Processes begin far from each other, and none takes a port twice: that of a broker that is down looks free. */
let next = (process.pid * 3_571) % span;

/** Resolves with a port of 127.0.0.1 on which nothing listens, and that this process was not given before. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const port = lowest + next;
    next = (next + 1) % span;
    if (await isFree(port)) {
      return port;
    }
  }
  throw new Error(`No free port between ${lowest} and ${highest}.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
