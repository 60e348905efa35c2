/** Options of both modes. */
export interface IssuerOptions {
  /** URL of Latchet: `https`, or `http` on loopback. */
  issuer: string;
  /**
   * Scopes that a token must have, separated by spaces. Without them, tokens that are limited to some scopes are
   * refused; those of programs (services) always are.
   */
  scope?: string;
  /** Time for a response of Latchet, in ms; 2000 by default. */
  timeoutMs?: number;
  /** Permits `http` to other machines: anyone on the network path can then read tokens and admit users. */
  allowPlainHttp?: boolean;
  /** Receives one line when checks begin to fail; `console.error` by default. */
  log?: (line: string) => void;
}

/** Connection to Latchet. */
export class IssuerConnection {
  readonly timeoutMs: number;
  #isFailing = false;

  constructor(private readonly options: IssuerOptions) {
    this.timeoutMs = milliseconds('timeoutMs', options.timeoutMs ?? 2000, 1, 60_000);
    this.url(options.issuer);
  }

  /** Returns the URL of a path at the issuer; throws if tokens or keys are not safe on the way. */
  url(base: string, path = ''): string {
    const { protocol, hostname, href, username, password, search, hash } = new URL(base);
    const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
    const isPlainAllowed = protocol === 'http:' && (isLoopback || this.options.allowPlainHttp === true);
    if (username || password || search || hash) throw new TypeError('the issuer must have no user, query or fragment');
    if (protocol !== 'https:' && !isPlainAllowed) throw new TypeError(`the issuer must use https: ${base}`);
    return href.replace(/\/$/, '') + path;
  }

  /** Fetches JSON from a path of the issuer. */
  async fetchJson(path: string, headers: Record<string, string> = {}): Promise<[Response, any]> {
    const response = await fetch(this.url(this.options.issuer, path), {
      headers: { Accept: 'application/json', ...headers },
      redirect: 'error',
      signal: AbortSignal.timeout(this.timeoutMs),
    });
    return [response, await response.json()];
  }

  succeeded(): void {
    this.#isFailing = false;
  }

  /** Logs the first failure after a success. */
  failed(reason: any): void {
    const log = this.options.log ?? console.error;
    if (!this.#isFailing) log(`latchet: checks fail: ${reason?.cause?.message || reason?.message || reason}`);
    this.#isFailing = true;
  }
}

/** Returns a number of milliseconds within its limits. */
export const milliseconds = (name: string, value: number, minimum: number, maximum: number): number => {
  if (!(value >= minimum && value <= maximum)) throw new RangeError(`${name} must be from ${minimum} to ${maximum}`);
  return value;
};
