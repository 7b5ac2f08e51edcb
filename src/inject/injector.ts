// The injection webhook: an AdmissionReview for a pod in, allowed with a patch, allowed without, or denied out.
// In: requests, and a port to what is in force. Out: answers. Pure but for metrics and log. Called by server/webhooks.ts.

import type { ProxyConfigSpec } from '../config/generated/types.ts';
import type { MeshConfig } from '../config/mesh.ts';
import type { ConfigObject } from '../config/object.ts';
import type { Clock, Log, Meter } from '../lib/ports.ts';
import type { WebhookAnswer, WebhookRequest } from '../lib/webhook.ts';
import type { InjectionConfig, YamlPort, YamlResult } from './config.ts';
import { decide } from './decision.ts';
import { templateFunctions } from './functions.ts';
import { injectPod } from './inject.ts';
import { jsonPatch } from './json-patch.ts';
import { ownerOf } from './owner.ts';
import { displayName, type Pod, podOf } from './pod.ts';
import { proxyConfigFor } from './proxy-config.ts';
import { envOfPath } from './request-path.ts';
import { type AdmissionRequest, answerOf, malformedAnswer, parseReview, type Verdict } from './review.ts';

export interface InjectorPort {
  /** Without one, requests are answered by 503, and the API server's failure policy decides. */
  config(): InjectionConfig | { readonly unavailable: string };
  mesh(): MeshConfig;
  proxyConfigs(): Iterable<ConfigObject<ProxyConfigSpec>>;
  /** Whether the cluster can run a native sidecar, on the node where the pod is bound to one. */
  nativeSidecars(nodeName: string | undefined): boolean;
  /** Variables of the control plane that templates may read. */
  environment(name: string): string | undefined;
  readonly revision: string;
  readonly version: string;
  readonly yaml: YamlPort;
  /** Of UTF-8: patches are long, and the platform is quick at it. */
  base64(text: string): string;
  readonly log: Log;
  readonly meter: Meter;
  readonly clock: Clock;
}

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

export function injectionWebhook(port: InjectorPort): (request: WebhookRequest) => WebhookAnswer {
  const { meter, log, clock } = port;
  const requests = meter.counter('sidecar_injection_requests_total', 'Injection requests.');
  const succeeded = meter.counter('sidecar_injection_success_total', 'Injection requests answered by a patch.');
  const failed = meter.counter('sidecar_injection_failure_total', 'Injection requests that could not be fulfilled.');
  const skipped = meter.counter('sidecar_injection_skip_total', 'Pods left as they are.');
  const time = meter.histogram('sidecar_injection_time_seconds', 'Time that one injection takes.', SECONDS);
  const judge = judgeWith(port);
  return (request) => {
    requests.inc();
    const start = clock.now();
    const parsed = parseReview(request);
    if ('malformed' in parsed) {
      failed.inc();
      log.warn({ path: request.path, problem: parsed.malformed.message }, 'injection request not understood');
      return malformedAnswer(parsed.malformed);
    }
    const config = port.config();
    if ('unavailable' in config) {
      failed.inc();
      return malformedAnswer({ status: 503, message: config.unavailable });
    }
    const verdict = judge(parsed.request, request.path, config);
    if (verdict.kind === 'refused') failed.inc();
    else if (verdict.patch === undefined) skipped.inc();
    else succeeded.inc();
    time.observe((clock.now() - start) / 1000);
    return answerOf(parsed.review, parsed.request, verdict, (text) => port.base64(text));
  };
}

function judgeWith(port: InjectorPort): (request: AdmissionRequest, path: string, config: InjectionConfig) => Verdict {
  const yaml = remembering(port.yaml);
  const functions = templateFunctions(yaml, (name) => port.environment(name));
  return ({ object, namespace: requested }, path, config) => {
    const read = podOf(object);
    if ('problem' in read) return refused([`the object of the request is no pod: it ${read.problem}`]);
    // Pods of controllers are admitted before they are given a namespace of their own.
    const namespace = read.pod.metadata.namespace ?? requested;
    const log = { pod: `${namespace}/${displayName(read.pod)}` };
    const decision = decide(read.pod, namespace, config);
    if (decision.kind === 'skip') {
      port.log.info({ ...log, reason: decision.reason }, 'pod is not injected');
      return { kind: 'allowed' };
    }
    const mesh = port.mesh();
    const before = withoutBallast(read.pod);
    const injection = injectPod({
      pod: before,
      namespace,
      owner: ownerOf(before, namespace),
      config,
      mesh,
      proxyConfig: proxyConfigFor(before, namespace, mesh, port.proxyConfigs(), yaml),
      revision: port.revision,
      env: envOfPath(path),
      nativeSidecars: port.nativeSidecars(before.spec.nodeName),
      version: port.version,
      functions,
      yaml,
    });
    if (injection.kind === 'denied') {
      port.log.error({ ...log, problems: injection.problems }, 'pod can not be injected');
      return refused(injection.problems);
    }
    port.log.info({ ...log, reason: decision.reason }, 'pod is injected');
    return { kind: 'allowed', patch: jsonPatch(before, injection.pod) };
  };
}

function refused(problems: readonly string[]): Verdict {
  return { kind: 'refused', code: 400, message: `injection failed: ${problems.join('; ')}` };
}

/** Field owners are large, and of no meaning to a patch, which must not touch them either. */
function withoutBallast(pod: Pod): Pod {
  const { managedFields: _ballast, ...metadata } = pod.metadata;
  return { ...pod, metadata };
}

const REMEMBERED = 64;

/** Replicas of one workload give the same text: it is parsed once for all. */
function remembering(yaml: YamlPort): YamlPort {
  const results = new Map<string, YamlResult>();
  return {
    format: (value) => yaml.format(value),
    parse: (text) => {
      const known = results.get(text) ?? yaml.parse(text);
      results.delete(text);
      results.set(text, known);
      const [oldest] = results.keys();
      if (results.size > REMEMBERED && oldest !== undefined) results.delete(oldest);
      return known;
    },
  };
}
