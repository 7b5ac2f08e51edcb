// What is in the agent's one file stays in memory beside every proxy.

import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { AGENT_BUNDLE } from '../../scripts/bundle-agent.ts';

describe("the agent's file", () => {
  it('holds no gRPC library, no logging library, no parser of command lines, and nothing of the control plane', async () => {
    const { metafile } = await build({ ...AGENT_BUNDLE, write: false, metafile: true });
    const inputs = Object.keys(metafile.inputs);
    const packages = inputs.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []);
    expect([...new Set(packages)].filter((name) => !/^(@protobufjs\/.*|protobufjs|node-forge)$/.test(name))).toEqual(
      [],
    );
    const folders = inputs.flatMap((file) => /^src\/([^/]+)\//.exec(file)?.[1] ?? []);
    expect([...new Set(folders)].sort()).toEqual([
      'agent',
      'ca',
      'cli',
      'codec',
      'grpc',
      'lib',
      'messages',
      'telemetry',
    ]);
    expect(inputs.filter((file) => file.startsWith('src/cli/')).sort()).toEqual([
      'src/cli/agent-flags.ts',
      'src/cli/agent-main.ts',
      'src/cli/commands/agent.ts',
      'src/cli/context.ts',
      'src/cli/envoy-binary.ts',
      'src/cli/package-version.ts',
    ]);
  });
});
