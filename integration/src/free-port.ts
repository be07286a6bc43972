import { createServer } from 'node:net';

// Below the range from which systems take source ports: a client that reconnects to a dead port inside that range can
// be given the same port as its source and then connects to itself.
const lowest = 20_000;
const highest = 29_999;

/** Resolves with a port of 127.0.0.1 on which nothing listens. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
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
