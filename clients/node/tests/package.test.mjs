// The package as npm packs it, in a fresh project.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { promisify } from 'node:util';

import { Latchet } from './server.mjs';

const PACKAGE = join(import.meta.dirname, '..');
const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
const project = mkdtempSync(join(tmpdir(), 'latchet-project-'));
after(() => rmSync(project, { recursive: true }));

const run = async (program, args, options) => {
  const ended = promisify(execFile)(program, args, options);
  const { stdout } = await ended.catch((error) => assert.fail(`${program} ${args}: ${error.stdout}\n${error.stderr}`));
  return stdout;
};
const inProject = (program, args, env) => run(program, args, { cwd: project, env: { ...process.env, ...env } });

let packed;
before(async () => {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', project];
  [packed] = JSON.parse(await run('npm', args, { cwd: PACKAGE }));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'notes', private: true, type: 'module' }));
  // No registry is needed: nothing but the package itself is installed.
  await inProject('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${packed.filename}`]);
});

test('the package has the built files and nothing else', () => {
  const files = packed.files.map(({ path }) => path).sort();

  const built = readdirSync(join(PACKAGE, 'dist')).map((name) => `dist/${name}`);
  assert.deepEqual(files, ['README.md', ...built, 'package.json'].sort());
  const exported = Object.values(manifest.exports).flatMap((entry) => Object.values(entry));
  for (const path of exported) assert(files.includes(path.slice(2)), path);
});

test('in a fresh project it installs no other package, and admits a user', async (t) => {
  const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'));
  assert.deepEqual(installed, ['@latchet']);
  const latchet = await Latchet.start();
  t.after(() => latchet.remove());
  const { access_token: token } = await latchet.login('alice');
  const script = `
    import { verify } from '@latchet/node';
    const user = await verify({ issuer: process.env.ISSUER })(process.env.TOKEN);
    console.log(user.username);
  `;

  const printed = await inProject('node', ['--input-type=module', '--eval', script], { ISSUER: latchet.url, TOKEN: token });

  assert.equal(printed.trim(), 'alice');
});

test('JWKS mode without jose fails at the start, and names it', async () => {
  const script = "import('@latchet/node/jwks').catch((error) => console.log(error.code, error.message))";

  const printed = await inProject('node', ['--eval', script]);

  assert.match(printed, /^ERR_MODULE_NOT_FOUND .*'jose'/);
});

test('a service in TypeScript compiles with the types of the package', async (t) => {
  const compiled = join(project, 'compiled');
  mkdirSync(join(compiled, 'node_modules'), { recursive: true });
  cpSync(join(project, 'node_modules/@latchet'), join(compiled, 'node_modules/@latchet'), { recursive: true });
  for (const name of readdirSync(join(PACKAGE, 'node_modules'))) {
    if (name.startsWith('.') || name === '@latchet') continue;
    symlinkSync(join(PACKAGE, 'node_modules', name), join(compiled, 'node_modules', name));
  }
  writeFileSync(join(compiled, 'package.json'), JSON.stringify({ type: 'module' }));
  cpSync(join(import.meta.dirname, 'consumer.ts'), join(compiled, 'consumer.ts'));
  const tsc = join(PACKAGE, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];

  await run('node', [tsc, ...options, 'consumer.ts'], { cwd: compiled });
  // Proof that the compiler reads the types: with a mistake it fails.
  writeFileSync(join(compiled, 'mistake.ts'), "import { verify } from '@latchet/node';\nverify({ issuer: 1 });\n");
  await assert.rejects(promisify(execFile)('node', [tsc, ...options, 'mistake.ts'], { cwd: compiled }), ({ stdout }) => {
    assert.match(stdout, /TS2322/);
    return true;
  });
});
