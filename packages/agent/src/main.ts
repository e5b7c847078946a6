import { type Command, type CommandContext, EXIT } from './commands/command-context.ts';

/** Subcommands by name. Each loads only what it needs: `wait` and `istio-iptables` run in every pod, many times a day. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  proxy: async () => (await import('./commands/proxy.ts')).runProxy,
  'istio-iptables': async () => (await import('./commands/istio-iptables.ts')).runIstioIptables,
  wait: async () => (await import('./commands/wait.ts')).runWait,
  request: async () => (await import('./commands/request.ts')).runRequest,
  version: async () => (await import('./commands/version.ts')).runVersion,
};

const [name = '', ...args] = process.argv.slice(2);
const context: CommandContext = {
  args,
  env: process.env,
  print: (text) => void process.stdout.write(text),
  printError: (line) => void process.stderr.write(`${line}\n`),
};

const load = COMMANDS[name];
if (load === undefined) {
  const names = Object.keys(COMMANDS).join(', ');
  context.printError(
    name === '' ? `Usage: pilot-agent COMMAND; commands: ${names}` : `Unknown command "${name}"; commands: ${names}`,
  );
  process.exitCode = EXIT.usage;
} else {
  process.exitCode = await (await load())(context);
}
