// Loaded before a benchmark: modules of src are taken from dist, so that what is measured is what is shipped. What runs
// TypeScript on the fly names every closure, which costs more than the closures do.

import { register } from 'node:module';

register('./built-hook.mjs', import.meta.url);
