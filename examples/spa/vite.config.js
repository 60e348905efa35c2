import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const { LATCHET_LISTEN = '127.0.0.1:8080', PORT = '5173' } = process.env;

export default defineConfig({
  plugins: [react()],
  server: {
    host: '127.0.0.1',
    port: Number(PORT),
    strictPort: true,
    // One origin for pages, notes and Latchet, as docs/how-to/spa.md requires and as a proxy provides in production.
    proxy: { '/api': `http://${LATCHET_LISTEN}`, '/v1': `http://${LATCHET_LISTEN}` },
  },
});
