import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import { askProxy } from '../mesh-request.ts';
import { type ClusterFlags, type CommandContext, resolvePod, withSession } from '../session.ts';

/** Level names that Envoy's and our admin interface take. */
const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'];

/**
 * The admin page that sets levels.
 *
 * @param text `debug`, or `http:debug,router:warning`.
 * @throws CommandError usage, for a word that is no level.
 */
export function loggingPage(text: string | undefined): string {
  if (text === undefined) return '/logging';
  const parts = text.split(',').map((part) => {
    const colon = part.lastIndexOf(':');
    const name = part.slice(colon + 1);
    const level = name === 'warn' ? 'warning' : name;
    if (!LEVELS.includes(level) || colon === 0)
      throw new CommandError(
        EXIT.usage,
        `--level: "${part}" is no level; write one of ${LEVELS.join(', ')}, or scope:level joined by commas`,
      );
    return { scope: colon < 0 ? undefined : part.slice(0, colon), level };
  });
  const [everything] = parts.filter(({ scope }) => scope === undefined);
  if (everything !== undefined && parts.length > 1)
    throw new CommandError(EXIT.usage, '--level: give either one level for everything, or levels of scopes');
  return everything === undefined
    ? `/logging?paths=${parts.map(({ scope, level }) => `${encodeURIComponent(scope ?? '')}:${level}`).join(',')}`
    : `/logging?level=${everything.level}`;
}

/** `meltemi proxy-config log`: shows the log levels of a proxy, or sets them until it restarts. */
export function addProxyLogCommand(group: Command, context: CommandContext): void {
  group
    .command('log')
    .description("Show the log levels of a pod's proxy; with --level set them until it restarts")
    .argument('<target>', 'POD, POD.NAMESPACE or deploy/NAME')
    .option('--level <levels>', 'one level for everything, or scope:level joined by commas')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi proxy-config log -n app1 deploy/sleep\n  meltemi proxy-config log -n app1 deploy/sleep --level xds:debug',
    )
    .action(async (target: string, _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags & { readonly level?: string }>();
      const page = loggingPage(flags.level);
      await withSession(context, flags, async (session) => {
        const { client } = session.cluster;
        const pod = await resolvePod(client, target, session.namespace);
        context.terminal.out(await askProxy(client, pod, page, 'POST'));
      });
    });
}
