// Chromium as tests want it.
import { createRequire } from 'node:module';

const { TOOLS, BROWSER } = process.env;
const { chromium } = createRequire(`${TOOLS}/`)('playwright-core');

/** Starts Chromium with further flags. */
export const launch = (...flags) => chromium.launch({
  executablePath: BROWSER,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', ...flags,
  ],
});
