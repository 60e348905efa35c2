import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { requireRole, requireUser } from '@latchet/node/hono';

const app = new Hono();
app.use(requireUser({ issuer: process.env.ISSUER ?? 'http://127.0.0.1:8080' }));

app.get('/hello', (c) => c.json({ hello: c.get('user').username }));
app.delete('/notes', requireRole('admin'), (c) => c.json({ deletedBy: c.get('user').id }));

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' });
