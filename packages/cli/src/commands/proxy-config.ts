import type { Command } from 'commander';
import { askProxy } from '../mesh-request.ts';
import { OUTPUT_FLAG, parseOutputFormat } from '../output.ts';
import { printRows } from '../print-rows.ts';
import { CONFIG_VIEWS, type Json } from '../proxy-config-views.ts';
import { type ClusterFlags, type CommandContext, resolvePod, withSession } from '../session.ts';
import { addProxyLogCommand } from './proxy-config-log.ts';

interface ProxyConfigFlags extends ClusterFlags {
  readonly output: string;
}

/** `meltemi proxy-config`: what the proxy of a pod runs with. */
export function addProxyConfigCommand(program: Command, context: CommandContext): void {
  const group = program
    .command('proxy-config')
    .alias('pc')
    .description('Show what the proxy of a pod runs with')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi proxy-config route -n app1 deploy/sleep\n  meltemi proxy-config secret -n app1 deploy/helloworld-v1',
    );
  for (const [name, view] of Object.entries(CONFIG_VIEWS)) {
    group
      .command(name)
      .description(`Show ${view.about}`)
      .argument('<target>', 'POD, POD.NAMESPACE or deploy/NAME')
      .option(...OUTPUT_FLAG)
      .addHelpText(
        'after',
        `\nExamples:\n  meltemi proxy-config ${name} -n app1 deploy/sleep\n  meltemi proxy-config ${name} sleep-5d8f9c-x2x4z.app1 -o json`,
      )
      .action(async (target: string, _own: unknown, command: Command) => {
        const flags = command.optsWithGlobals<ProxyConfigFlags>();
        const format = parseOutputFormat(flags.output);
        await withSession(context, flags, async (session) => {
          const { client } = session.cluster;
          const text = await askProxy(client, await resolvePod(client, target, session.namespace), view.page);
          const resources = view.resources(JSON.parse(text) as Json);
          if (format === 'name') {
            for (const resource of resources) context.terminal.out(`${view.nameOf(resource)}\n`);
            return;
          }
          printRows(context.terminal, format, resources.flatMap(view.rows), {
            columns: view.headings.map((heading, index) => ({ heading, of: (cells) => cells[index] ?? '' })),
            name: (cells) => cells[0] ?? '',
            document: resources,
            none: `The proxy of ${target} has no ${name}s`,
          });
        });
      });
  }
  addProxyLogCommand(group, context);
}
