import { join } from 'node:path';

const { LATCHET = 'http://127.0.0.1:8080' } = process.env;

export default {
  // One origin for pages, data and Latchet, as a proxy provides in production. This proxy changes `Host`, so
  // Latchet needs the address in the browser: LATCHET_PUBLIC_URL=http://localhost:3000
  rewrites: async () => [{ source: '/v1/:path*', destination: `${LATCHET}/v1/:path*` }],
  // The client is a folder of this repository here, and a package elsewhere: then remove this line.
  turbopack: { root: join(import.meta.dirname, '../..') },
};
