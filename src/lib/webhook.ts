// What an HTTP server hands to a webhook and gets back, so that neither knows the other.

export interface WebhookRequest {
  /** Without a query. */
  readonly path: string;
  readonly contentType: string | undefined;
  readonly body: string;
}

export interface WebhookAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}
