// Builds the client into the given folder: `node build.mjs dist`. The tools are in $TOOLS, or in the folder
// where `npm ci` installs them.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));
const require = createRequire(`${process.env.TOOLS ?? join(here, 'node_modules')}/`);

const tsc = join(require.resolve('typescript/package.json'), '../bin/tsc');
execFileSync(process.execPath, [
  tsc, '--project', here, '--declaration', '--emitDeclarationOnly', '--stripInternal', '--outDir', out,
], { stdio: 'inherit' });

await require('esbuild').build({
  entryPoints: [join(here, 'src/index.ts')],
  outfile: join(out, 'latchet.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  absWorkingDir: here,
  logLevel: 'warning',
});
