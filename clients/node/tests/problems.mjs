// Requests, and what a refusal must look like.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';

/** Sends a request with these lines of `Authorization`, as bytes: `fetch` would join them. */
export const send = (url, { method = 'GET', lines = [], token } = {}) => new Promise((resolve, reject) => {
  const authorization = token === undefined ? lines : [`Bearer ${token}`];
  const headers = ['Host', new URL(url).host, ...authorization.flatMap((line) => ['Authorization', line])];
  const sent = request(url, { method, headers, agent: false }, async (response) => {
    resolve({ status: response.statusCode, headers: response.headers, body: await text(response) });
  });
  sent.on('error', reject).end();
});

const TITLES = {
  400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 503: 'Service Unavailable',
};

/** Asserts that a response is a problem with this status and code, complete and in the form of Latchet. */
export const assertProblem = ({ status, headers, body }, expected, code) => {
  assert.equal(status, expected, body);
  assert.match(headers['content-type'], /^application\/problem\+json(;|$)/);
  assert.equal(headers['cache-control'], 'no-store');
  const problem = JSON.parse(body);
  assert.deepEqual(Object.keys(problem), ['type', 'title', 'status', 'code', 'detail']);
  assert.deepEqual({ ...problem, detail: '' }, {
    type: 'about:blank', title: TITLES[status], status, code, detail: '',
  });
  assert.ok(problem.detail);
  assert.equal(status === 503, 'retry-after' in headers);
  assert.equal(status !== 503, 'www-authenticate' in headers);
};
