#!/usr/bin/env node
// The `meltemi` binary.

import { run } from './cli/program.ts';

/** For connections that nobody knows of any more, such as one in the middle of a TLS handshake, when all else has ended. */
const LEFTOVERS_MS = 1000;

process.exitCode = await run(process.argv.slice(2), process.env);
setTimeout(() => process.exit(), LEFTOVERS_MS).unref();
