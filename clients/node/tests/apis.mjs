// One API in each framework: `GET /me` for users, `DELETE /notes` for administrators, two lists by scope.

import { once } from 'node:events';

import { serve as serveHono } from '@hono/node-server';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';

import * as forExpress from '../dist/express.js';
import * as forFastify from '../dist/fastify.js';
import * as forHono from '../dist/hono.js';

const closed = (server) => {
  server.closeAllConnections();
  return new Promise((resolve) => { server.close(resolve); });
};

const apis = {
  async express(options) {
    const { requireUser, requireRole, requireScope } = forExpress;
    const app = express();
    app.get('/mistake', requireRole('admin'), (req, res) => res.json('admitted'));
    app.use(requireUser(options));
    app.get('/me', (req, res) => res.json(req.user));
    app.delete('/notes', requireRole('admin'), (req, res) => res.json('deleted'));
    app.get('/mail', requireScope('mail:read'), (req, res) => res.json('mail'));
    app.get('/dates', requireScope('dates:read'), (req, res) => res.json('dates'));
    app.use((error, req, res, next) => res.status(500).json(error.message));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { port: server.address().port, close: () => closed(server) };
  },

  async fastify(options) {
    const { requireUser, requireRole, requireScope } = forFastify;
    const app = fastify();
    app.get('/mistake', { onRequest: requireRole('admin') }, async () => 'admitted');
    app.register(async (routes) => {
      routes.addHook('onRequest', requireUser(options));
      routes.get('/me', async (request) => request.user);
      routes.delete('/notes', { onRequest: requireRole('admin') }, async () => ({}));
      routes.get('/mail', { onRequest: requireScope('mail:read') }, async () => ({}));
      routes.get('/dates', { onRequest: requireScope('dates:read') }, async () => ({}));
    });
    await app.listen({ port: 0, host: '127.0.0.1' });
    return { app, port: app.server.address().port, close: () => { app.server.closeAllConnections(); return app.close(); } };
  },

  async hono(options) {
    const { requireUser, requireRole, requireScope } = forHono;
    const app = new Hono();
    app.get('/mistake', requireRole('admin'), (c) => c.json('admitted'));
    app.use(requireUser(options));
    app.get('/me', (c) => c.json(c.get('user')));
    app.delete('/notes', requireRole('admin'), (c) => c.json('deleted'));
    app.get('/mail', requireScope('mail:read'), (c) => c.json('mail'));
    app.get('/dates', requireScope('dates:read'), (c) => c.json('dates'));
    app.onError((error, c) => c.json(error.message, 500));
    const server = serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
    await once(server, 'listening');
    return { port: server.address().port, close: () => closed(server) };
  },
};

export const FRAMEWORKS = Object.keys(apis);

/** Starts the API of a framework. The test ends it. */
export const startApi = async (test, framework, options) => {
  const api = await apis[framework](typeof options === 'function' ? options : { log() {}, ...options });
  test.after(api.close);
  return { ...api, url: `http://127.0.0.1:${api.port}` };
};
