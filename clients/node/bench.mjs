// Cost of a check beside a bare handler, in express: `LATCHET=…/release/latchet node bench.mjs`.
//
// The four routes are measured in turns, so that other load on the machine reaches all of them alike. The
// table has medians of the rounds, and of the ratios within each round.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';

import { Latchet } from './tests/server.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 10);
const TURN_MS = 1000;
const CONNECTIONS = 8;
const ROUTES = {
  '/bare': 'bare handler',
  '/cached': 'verify mode',
  '/uncached': 'verify mode, `cacheMs: 0`',
  '/jwks': 'JWKS mode',
};

/** The API, in a process of its own. It sends its processor time whenever it is asked. */
const serveApi = async (issuer) => {
  const { default: express } = await import('express');
  const { requireUser } = await import('./dist/express.js');
  const { jwks } = await import('./dist/jwks.js');
  const app = express();
  const handler = (req, res) => res.json({ hello: 'world' });
  app.get('/bare', handler);
  app.get('/cached', requireUser({ issuer }), handler);
  app.get('/uncached', requireUser({ issuer, cacheMs: 0 }), handler);
  app.get('/jwks', requireUser(jwks({ issuer })), handler);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send(user + system);
  });
  process.send(server.address().port);
};

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const measure = async (issuer, token) => {
  const api = fork(import.meta.filename, [issuer]);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const options = { agent, headers: { Authorization: `Bearer ${token}` } };
  const send = (url) => new Promise((resolve, reject) => {
    request(url, options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url}: ${response.statusCode}`));
      response.resume().on('end', resolve);
    }).on('error', reject).end();
  });
  const processorTime = async () => {
    const answered = once(api, 'message');
    api.send('');
    return (await answered)[0];
  };
  try {
    const [port] = await once(api, 'message');
    const turn = async (route) => {
      const [before, began] = [await processorTime(), performance.now()];
      const latencies = [];
      await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
        while (performance.now() - began < TURN_MS) {
          const sent = performance.now();
          await send(`http://127.0.0.1:${port}${route}`);
          latencies.push(performance.now() - sent);
        }
      }));
      const processor = (await processorTime() - before) / latencies.length;
      return { rate: latencies.length / (performance.now() - began) * 1000, processor, latency: median(latencies) };
    };
    const round = async () => {
      const results = {};
      for (const route of Object.keys(ROUTES)) results[route] = await turn(route);
      return results;
    };
    // The first round compiles.
    await round();
    const rounds = [];
    while (rounds.length < ROUNDS) rounds.push(await round());
    return rounds;
  } finally {
    agent.destroy();
    api.kill();
  }
};

const print = (rounds) => {
  console.log('| | requests/s | ratio | processor time of the API | latency (median) |\n|---|---|---|---|---|');
  for (const [route, name] of Object.entries(ROUTES)) {
    const of = (member) => median(rounds.map((round) => round[route][member]));
    const ratio = median(rounds.map((round) => round[route].rate / round['/bare'].rate));
    console.log(`| ${name} | ${Math.round(of('rate'))} | ${ratio.toFixed(2)} | ${Math.round(of('processor'))} µs | ${of('latency').toFixed(2)} ms |`);
  }
};

if (process.send) {
  await serveApi(process.argv[2]);
} else {
  const latchet = await Latchet.start();
  try {
    const { access_token: token } = await latchet.login('alice');
    print(await measure(latchet.url, token));
  } finally {
    await latchet.remove();
  }
}
