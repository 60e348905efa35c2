// Routes for signed-in users with TanStack Router. The router waits until it is known who is signed in, and
// decides again after each sign-in and logout, in this tab or another.

import { createRootRoute, createRoute, createRouter, Outlet, redirect } from '@tanstack/react-router';
import { AuthProvider, useAuth } from 'latchet-client/react';
import { auth } from './auth';

const root = createRootRoute({ component: () => <AuthProvider auth={auth}><Outlet /></AuthProvider> });

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: ({ from }: { from?: string }) => ({ from: /^\/(?![/\\])/.test(from ?? '') ? from! : '/' }),
  beforeLoad: async ({ search }) => {
    await auth.token();
    if (auth.state().status === 'signed-in') throw redirect({ href: search.from });
  },
  component: () => <p>Please sign in</p>,
});

const signedIn = createRoute({
  getParentRoute: () => root,
  id: 'signed-in',
  beforeLoad: async ({ location }) => {
    // Rejected while the server cannot be reached: that is an error page, and no sign-in form.
    await auth.token();
    if (auth.state().status !== 'signed-in') throw redirect({ to: '/sign-in', search: { from: location.href } });
  },
});

const home = createRoute({
  getParentRoute: () => signedIn,
  path: '/',
  loader: () => auth.json<{ user: { username: string } }>('/v1/me'),
  component: () => <h1>Hello {useAuth().user?.username}</h1>,
});

export const createAppRouter = (options: object = {}) => {
  const routeTree = root.addChildren([signIn, signedIn.addChildren([home])]);
  const router = createRouter({ routeTree, ...options });
  auth.subscribe(() => router.invalidate());
  return router;
};
