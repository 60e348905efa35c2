/** Connection to Latchet. */
export class IssuerConnection {
    options;
    timeoutMs;
    #isFailing = false;
    constructor(options) {
        this.options = options;
        this.timeoutMs = milliseconds('timeoutMs', options.timeoutMs ?? 2000, 1, 60_000);
        this.url(options.issuer);
    }
    /** Returns the URL of a path at the issuer; throws if tokens or keys are not safe on the way. */
    url(base, path = '') {
        const { protocol, hostname, href, username, password, search, hash } = new URL(base);
        const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
        const isPlainAllowed = protocol === 'http:' && (isLoopback || this.options.allowPlainHttp === true);
        if (username || password || search || hash)
            throw new TypeError('the issuer must have no user, query or fragment');
        if (protocol !== 'https:' && !isPlainAllowed)
            throw new TypeError(`the issuer must use https: ${base}`);
        return href.replace(/\/$/, '') + path;
    }
    /** Fetches JSON from a path of the issuer. */
    async fetchJson(path, headers = {}) {
        const response = await fetch(this.url(this.options.issuer, path), {
            headers: { Accept: 'application/json', ...headers },
            redirect: 'error',
            signal: AbortSignal.timeout(this.timeoutMs),
        });
        return [response, await response.json()];
    }
    succeeded() {
        this.#isFailing = false;
    }
    /** Logs the first failure after a success. */
    failed(reason) {
        const log = this.options.log ?? console.error;
        if (!this.#isFailing)
            log(`latchet: checks fail: ${reason?.cause?.message || reason?.message || reason}`);
        this.#isFailing = true;
    }
}
/** Returns a number of milliseconds within its limits. */
export const milliseconds = (name, value, minimum, maximum) => {
    if (!(value >= minimum && value <= maximum))
        throw new RangeError(`${name} must be from ${minimum} to ${maximum}`);
    return value;
};
