// The browser APIs that the client uses. Tests pass their own, with a clock that they control.

export type Scope = Pick<
  typeof globalThis,
  | 'fetch' | 'setTimeout' | 'clearTimeout' | 'addEventListener' | 'removeEventListener'
> & {
  document: Pick<Document, 'baseURI' | 'cookie' | 'visibilityState' | 'addEventListener' | 'removeEventListener'>;
  location: Pick<Location, 'hostname'>;
  crypto: Pick<Crypto, 'getRandomValues'>;
  performance: Pick<Performance, 'now'>;
  console: Pick<Console, 'warn'>;
  Date: Pick<DateConstructor, 'now'>;
  Math: Pick<Math, 'random'>;
  navigator: { locks?: Pick<LockManager, 'request'> };
  BroadcastChannel?: typeof BroadcastChannel;
};
