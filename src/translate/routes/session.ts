// Persistent sessions: callers stay with the endpoint that answered them first, by a cookie or a header that names it.
// In: how a service keeps its callers (see Service). Out: settings of a route for Envoy's stateful_session filter.

import type { AnyMessage, Messages } from '../../messages/index.ts';
import { constantExtension, extension, typed } from '../envoy.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type SessionState = Messages['envoy.config.core.v3.TypedExtensionConfig'];

const FILTER = 'envoy.filters.http.stateful_session';

/** In every chain where routes may have settings for it; does nothing by itself. */
export const SESSION_FILTER: HttpFilter = constantExtension(
  FILTER,
  'envoy.extensions.filters.http.stateful_session.v3.StatefulSession',
  {},
);

/** A member of `typedPerFilterConfig`; nothing for services that keep nobody. */
export function sessionSettings(session: string | undefined): Readonly<Record<string, AnyMessage>> {
  if (session === undefined) return {};
  const settings = typed('envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute', {
    statefulSession: { sessionState: stateOf(session) },
  });
  return { [FILTER]: settings };
}

function stateOf(session: string): SessionState {
  const [kind, name = '', path = '/'] = session.split(':');
  return kind === 'header'
    ? extension(
        'envoy.http.stateful_session.header',
        'envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState',
        { name },
      )
    : extension(
        'envoy.http.stateful_session.cookie',
        'envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState',
        // Without a time: the cookie of a browser's session.
        { cookie: { name, path } },
      );
}
