import { type ReactNode } from 'react';
import type { Auth, State } from './api.js';
/** Gives the client to the hooks and components below it. */
export declare const AuthProvider: ({ auth, children }: {
    auth: Auth;
    children?: ReactNode;
}) => ReactNode;
/** Returns the sign-in state, and renders again after each change. */
export declare const useAuth: () => State;
/**
 * Renders its children for a signed-in user. A new session starts with new components: the next user does not
 * see data of the previous one.
 */
export declare const SignedIn: ({ children }: {
    children?: ReactNode;
}) => ReactNode;
/** Renders its children for a user who is signed out. While the state is unknown, neither component renders. */
export declare const SignedOut: ({ children }: {
    children?: ReactNode;
}) => ReactNode;
