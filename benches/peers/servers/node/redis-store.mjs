// What oidc-provider asks of a store, kept in Redis: its own is in memory, and not meant for production.

const ONCE = ['AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest'];

export const storeIn = (redis) => class {
  #model;

  constructor(model) {
    this.#model = model;
  }

  #key(id) {
    return `oidc:${this.#model}:${id}`;
  }

  async upsert(id, payload, seconds) {
    const key = this.#key(id);
    const batch = redis.multi().set(key, JSON.stringify(payload), 'EX', seconds);
    if (payload.grantId) {
      // What ends with its grant is found by it.
      batch.sadd(`oidc:of:${payload.grantId}`, key).expire(`oidc:of:${payload.grantId}`, 14 * 24 * 3600);
    }
    await batch.exec();
  }

  async find(id) {
    const [stored, consumed] = await redis.mget(this.#key(id), `${this.#key(id)}:consumed`);
    return stored ? { ...JSON.parse(stored), ...(consumed && { consumed: Number(consumed) }) } : undefined;
  }

  async consume(id) {
    if (ONCE.includes(this.#model)) {
      await redis.set(`${this.#key(id)}:consumed`, Math.floor(Date.now() / 1000), 'EX', 14 * 24 * 3600);
    }
  }

  async destroy(id) {
    await redis.del(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    const set = `oidc:of:${grantId}`;
    await redis.del(set, ...(await redis.smembers(set)));
  }
};
