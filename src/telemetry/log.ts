// The server's log, by pino; nobody else imports pino.
// In: levels and a destination. Out: Log ports for everyone else.

import pino from 'pino';
import { destinationOf, type LogOptions, type LogRoot, scopedLog } from './scopes.ts';

export type { LogRoot } from './scopes.ts';

/** What may carry a credential is cut before it is written, wherever in the fields it stands. */
const REDACT = ['token', '*.token', 'authorization', '*.authorization', 'privateKey', '*.privateKey', 'password'];

export function createLog(options: LogOptions): LogRoot {
  const root = pino(
    { level: 'debug', base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: REDACT },
    destinationOf(options),
  );
  return scopedLog(options.levels, (level, fields, message) => root[level](fields, message));
}
