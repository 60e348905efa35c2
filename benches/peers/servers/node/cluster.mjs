// Runs a program as WORKERS processes that share a port, as Node's documentation says of `node:cluster`, or in
// this process when it is one.

import cluster from 'node:cluster';
import { generateKeyPairSync } from 'node:crypto';

const workers = Number(process.env.WORKERS);

if (cluster.isPrimary) {
  // All workers have to agree on it.
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  process.env.SIGNING_KEY = JSON.stringify(privateKey.export({ format: 'jwk' }));
}
if (cluster.isPrimary && workers > 1) {
  // The first one makes the tables and the accounts.
  cluster.fork({ IS_FIRST: 'yes' }).once('listening', () => {
    for (let more = 1; more < workers; more += 1) cluster.fork();
  });
} else {
  if (cluster.isPrimary) process.env.IS_FIRST = 'yes';
  await import(`./${process.argv[2]}`);
}
