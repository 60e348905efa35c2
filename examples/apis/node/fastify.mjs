import fastify from 'fastify';
import { requireRole, requireUser } from '@latchet/node/fastify';

const app = fastify();
app.addHook('onRequest', requireUser({ issuer: process.env.ISSUER ?? 'http://127.0.0.1:8080' }));

app.get('/hello', async (request) => ({ hello: request.user.username }));
app.delete('/notes', { onRequest: requireRole('admin') }, async (request) => ({ deletedBy: request.user.id }));

await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' });
