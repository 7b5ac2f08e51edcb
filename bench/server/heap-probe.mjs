// Loaded into a server that is measured: collects garbage and says what is left, when the channel asks. Nothing else.

import { runInNewContext } from 'node:vm';

const collect = runInNewContext('gc');

process.on('message', () => {
  collect();
  collect();
  process.send(process.memoryUsage());
});
// Whoever measures is gone: nobody else would stop it.
process.on('disconnect', () => process.exit());
process.channel?.unref();
