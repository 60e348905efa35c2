'use client';

import { createAuth } from 'latchet-client';
import { AuthProvider, SignedIn, SignedOut, useAuth } from 'latchet-client/react';

// On the server this client is inert: it sends no request, and the refresh token stays in the browser's cookie.
export const auth = createAuth({ baseUrl: '/', attachTo: ['/v1', '/api'] });

export { SignedIn, SignedOut, useAuth };

export const Providers = ({ children }) => <AuthProvider auth={auth}>{children}</AuthProvider>;
