// Hooks and components for React.

import { createContext, createElement, Fragment, useContext, useSyncExternalStore, type ReactNode } from 'react';
import type { Auth, State } from './api.js';

const AuthContext = createContext<Auth | null>(null);

const UNKNOWN: State = { status: 'unknown' };

/** Renders the same on the server and during hydration: the state is known in the browser only. */
const serverState = () => UNKNOWN;

/** Gives the client to the hooks and components below it. */
export const AuthProvider = ({ auth, children }: { auth: Auth; children?: ReactNode }): ReactNode =>
  createElement(AuthContext.Provider, { value: auth }, children);

/** Returns the sign-in state, and renders again after each change. */
export const useAuth = (): State => {
  const auth = useContext(AuthContext);
  if (!auth) throw new Error('useAuth, SignedIn and SignedOut need an AuthProvider above them');
  return useSyncExternalStore(auth.subscribe, auth.state, serverState);
};

/**
 * Renders its children for a signed-in user. A new session starts with new components: the next user does not
 * see data of the previous one.
 */
export const SignedIn = ({ children }: { children?: ReactNode }): ReactNode => {
  const { sessionId } = useAuth();
  return sessionId === undefined ? null : createElement(Fragment, { key: sessionId }, children);
};

/** Renders its children for a user who is signed out. While the state is unknown, neither component renders. */
export const SignedOut = ({ children }: { children?: ReactNode }): ReactNode =>
  (useAuth().status === 'signed-out' ? children : null);
