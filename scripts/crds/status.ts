// Schemas of `status`, for each kind that has more than conditions. Called by crds.ts.
// Fields that we don't know are kept: other control planes write theirs, and must not lose them by our definitions.
import type { JsonSchema } from './structural.ts';

const string = { type: 'string' };
const time = { type: 'string', format: 'date-time' };
/** Istio's own are strings in JSON. */
const generation = { 'x-kubernetes-int-or-string': true };

const CONDITIONS: JsonSchema = {
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  items: {
    type: 'object',
    required: ['type'],
    properties: {
      type: string,
      status: string,
      reason: string,
      message: string,
      lastProbeTime: time,
      lastTransitionTime: time,
      observedGeneration: generation,
    },
  },
};

const VALIDATION_MESSAGES: JsonSchema = {
  type: 'array',
  items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
};

const status = (further: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  'x-kubernetes-preserve-unknown-fields': true,
  properties: {
    conditions: CONDITIONS,
    observedGeneration: generation,
    validationMessages: VALIDATION_MESSAGES,
    ...further,
  },
});

export const STATUS: Readonly<Record<string, JsonSchema>> = {
  '*': status(),
  ServiceEntry: status({
    addresses: {
      type: 'array',
      items: { type: 'object', required: ['value'], properties: { host: string, value: string } },
    },
  }),
};
