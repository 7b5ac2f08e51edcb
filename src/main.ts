#!/usr/bin/env node
// The `meltemi` binary.

import { run } from './cli/program.ts';

/** A handle that some library holds on to must not keep a stopped process alive for longer, ms. */
const LINGER = 2000;

process.exitCode = await run(process.argv.slice(2), process.env);
setTimeout(() => process.exit(), LINGER).unref();
