import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const { LATCHET_LISTEN = '127.0.0.1:8080', PORT = '5173' } = process.env;
const latchet = `http://${LATCHET_LISTEN}`;
/** URL of the notes; Latchet's own if both are one program. */
const { NOTES = latchet } = process.env;

export default defineConfig({
  plugins: [react()],
  // latchet-client is a link to a folder here, which has no React, or one of its own.
  resolve: { dedupe: ['react'] },
  server: {
    host: '127.0.0.1',
    port: Number(PORT),
    strictPort: true,
    // One origin for pages, notes and Latchet, as docs/how-to/spa.md requires and as a proxy provides in production.
    proxy: { '/api': NOTES, '/v1': latchet },
  },
});
