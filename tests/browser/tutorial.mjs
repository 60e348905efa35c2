// The tutorial of a React page and an API, followed from an empty folder: every file and every command of its text,
// once for each language of the API, and then the page in Chromium.
//
// Usage: node tutorial.mjs TUTORIAL CLONE PROGRAM
//
// PACKAGES names a folder with a lock file and a cache of npm, WHEELS one with packages of pip: no step needs a network.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import assert from 'node:assert/strict';
import { finish, look, open } from './page_kit.mjs';

const [TUTORIAL, CLONE, PROGRAM] = process.argv.slice(2);
const { PACKAGES, WHEELS } = process.env;
const LANGUAGES = ['Node', 'Python'];
/** Ports of the programs in the text, in the order of their starts. */
const PORTS = ['8080', '3000', '5173'];
/** Files that Vite reads although nothing names them. */
const BY_CONVENTION = ['index.html', 'vite.config.mjs'];
const STEP_MS = 120_000;

const text = readFileSync(TUTORIAL, 'utf8');

/**
 * Returns the blocks of the text. `sh` is commands that end, `console` a program that keeps running; every other
 * block is a file, and the last line before it is its name. A heading of the third level names the language of
 * the blocks up to the next heading.
 */
const blocksOf = (page) => {
  const blocks = [];
  let language;
  let before = '';
  let current;
  page.split('\n').forEach((line, index) => {
    const [, indent, fence] = line.match(/^( *)```(\w*)$/) ?? [];
    if (current && fence === '') {
      blocks.push(current);
      current = undefined;
    } else if (current) {
      current.content += `${line.slice(current.indent)}\n`;
    } else if (fence !== undefined) {
      const kind = { sh: 'commands', console: 'program' }[fence] ?? 'file';
      const [, name] = before.match(/^ *`([\w.-]+)`:$/) ?? [];
      assert.equal(kind === 'file', name !== undefined, `line ${index + 1}: a file has a name, and nothing else has one`);
      current = { kind, name, language, indent: indent.length, line: index + 1, content: '' };
    } else {
      const [, marks, title] = line.match(/^(##+) (.*)/) ?? [];
      if (marks) language = marks === '###' ? title : undefined;
      if (line.trim()) before = line;
    }
  });
  assert.equal(current, undefined, 'the last block has an end');
  return blocks;
};

const BLOCKS = blocksOf(text);
const used = new Set();
for (const kind of ['commands', 'program', 'file']) assert.ok(BLOCKS.some((block) => block.kind === kind), kind);
for (const file of BLOCKS.filter(({ kind }) => kind === 'file')) {
  const mention = file.name.endsWith('.py') ? `${file.name.slice(0, -3)}:` : file.name;
  const isMentioned = BLOCKS.some((block) => block !== file && block.content.includes(mention));
  assert.ok(isMentioned || BY_CONVENTION.includes(file.name), `${file.name} is used`);
}
const [, NAME, PASSWORD] = text.match(/sign in as `([^`]+)` with `([^`]+)`/);

const freePort = () => new Promise((resolve, reject) => {
  const socket = createServer();
  socket.on('error', reject);
  socket.listen(0, '127.0.0.1', () => {
    const { port } = socket.address();
    socket.close(() => resolve(String(port)));
  });
});

const until = async (what, attempt) => {
  const deadline = Date.now() + STEP_MS;
  for (;;) {
    const result = await attempt();
    if (result) return result;
    assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
    await pause(50);
  }
};

const folder = mkdtempSync(join(realpathSync(tmpdir()), 'latchet-tutorial-'));
/** Programs that run now, each the leader of its group. */
const running = new Set();
const kill = (child) => {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    assert.equal(error.code, 'ESRCH');
  }
};
process.on('exit', () => {
  for (const child of running) kill(child);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** A reader at a terminal, who has the program, a clone and no folder yet. */
class Reader {
  constructor(language, ports) {
    const home = join(folder, language);
    const programs = join(home, 'bin');
    mkdirSync(programs, { recursive: true });
    symlinkSync(PROGRAM, join(programs, 'latchet'));
    symlinkSync(CLONE, join(home, 'latchet'));
    // A reader has no settings yet.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(LATCHET_|DATABASE_URL$|REDIS_URL$)/.test(name));
    this.env = {
      ...Object.fromEntries(inherited),
      PATH: programs + delimiter + process.env.PATH,
      LATCHET_LISTEN: `127.0.0.1:${ports[0]}`,
      npm_config_offline: 'true',
      npm_config_cache: join(PACKAGES, 'cache'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      PIP_NO_INDEX: '1',
      PIP_FIND_LINKS: WHEELS,
      PIP_DISABLE_PIP_VERSION_CHECK: '1',
    };
    Object.assign(this, { cwd: home, language, ports, started: 0, printed: [] });
  }

  /** Returns the text with the ports of this reader. */
  own(content) {
    return content.replace(/\b(?:8080|3000|5173)\b/g, (port) => this.ports[PORTS.indexOf(port)]);
  }

  /** Writes the file, runs the commands or starts the program of a block. */
  async follow(block) {
    const content = this.own(block.content);
    if (block.kind === 'program') {
      await this.start(content);
    } else if (block.kind === 'commands') {
      this.run(content);
    } else {
      writeFileSync(join(this.cwd, block.name), content);
    }
    used.add(block);
  }

  /** Runs commands to their end. The next ones continue in the folder where these ended. */
  run(commands) {
    // Packages of packages are those of the lock file, which a reader does not have.
    if (/^npm install/m.test(commands)) cpSync(join(PACKAGES, 'package-lock.json'), join(this.cwd, 'package-lock.json'));
    const { status, output } = spawnSync('bash', ['-euo', 'pipefail', '-c', `${commands}pwd >&3`], {
      cwd: this.cwd, env: this.env, encoding: 'utf8', timeout: STEP_MS, stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    assert.equal(status, 0, `${commands}${output}`);
    this.printed.push(output[1]);
    this.cwd = output[3].trim();
  }

  /** Starts a program, and waits until it listens on its port. */
  async start(command) {
    const port = this.ports[this.started];
    this.started += 1;
    const child = spawn('bash', ['-c', `exec ${command}`], {
      cwd: this.cwd, env: this.env, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => { log += chunk; });
    running.add(child);
    child.on('exit', () => running.delete(child));
    await until(`${command.trim()} to listen on ${port}`, () => {
      assert.ok(running.has(child), `${command}ended: ${log}`);
      return fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
    });
  }

  /** Presents a token to the API, once. */
  async ask(token) {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(`http://127.0.0.1:${this.ports[1]}/api/hello`, { headers });
    return [response.status, await response.json()];
  }
}

/** Uses the page as its reader does: a sign-in, a reload, a second tab, a sign-out. */
const useThePage = async (reader) => {
  const context = await open();
  const tokens = new Set();
  context.on('request', (request) => {
    const [, token] = request.headers().authorization?.match(/^Bearer (.+)/) ?? [];
    if (token) tokens.add(token);
  });
  const page = await context.newPage();
  const site = `http://127.0.0.1:${reader.ports[2]}/`;
  const name = `tutorial-${reader.language.toLowerCase()}`;
  const answer = (tab) => tab.getByText(`Response of the API: Hello ${NAME}, from ${reader.language}`).waitFor();
  const form = (tab) => tab.getByRole('button', { name: 'Sign in' }).waitFor();
  const signIn = async (password) => {
    await page.getByLabel('User name').fill(NAME);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };

  await page.goto(site);
  await form(page);
  await signIn('not the password of alice');
  await page.getByRole('alert').filter({ hasText: /\w/ }).waitFor();
  await look(page, `${name}-signed-out`);
  await signIn(PASSWORD);
  await answer(page);
  await look(page, `${name}-signed-in`);
  await page.reload();
  await answer(page);
  const second = await context.newPage();
  await second.goto(site);
  await answer(second);

  const held = [...tokens];
  assert.ok(held.length > 0, 'the page has sent a token');
  for (const token of held) assert.deepEqual(await reader.ask(token), [200, { text: `Hello ${NAME}, from ${reader.language}` }]);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('Response of the API to the old token: 401').waitFor();
  for (const token of held) {
    const [status, { code }] = await reader.ask(token);
    assert.deepEqual([status, code], [401, 'token_revoked']);
  }
  for (const tab of [page, second]) await form(tab);
  await look(page, `${name}-after-logout`);
  await context.close();
};

for (const language of LANGUAGES) {
  const reader = new Reader(language, await Promise.all(PORTS.map(freePort)));
  for (const block of BLOCKS) {
    if (block.language === undefined || block.language === language) await reader.follow(block);
  }
  assert.equal(reader.started, PORTS.length);
  assert.equal(dirname(reader.cwd), join(folder, language), 'the folder is beside the clone');
  const refused = reader.printed.at(-1);
  assert.match(refused, /^HTTP\/1\.1 401 /);
  assert.match(refused, /"missing_token"/);
  await useThePage(reader);
  await Promise.all([...running].map((child) => new Promise((resolve) => {
    child.on('exit', resolve);
    kill(child);
  })));
  console.log(`the tutorial works with an API in ${language}`);
}
assert.deepEqual(BLOCKS.filter((block) => !used.has(block)), [], 'every block is used');
await finish('the tutorial keeps its promises');
process.exit(0);
