// Loaded into a server that is measured: collects garbage and says what is left, when the channel asks. Nothing else.

import { runInNewContext } from 'node:vm';

const collect = runInNewContext('gc');

process.on('message', () => {
  collect();
  collect();
  process.send(process.memoryUsage());
});
// Whoever measures may be gone: that is no reason to stay.
process.channel?.unref();
