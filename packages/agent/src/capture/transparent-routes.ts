import { messageOf } from '@meltemi/base';
import type { CaptureRules, IpFamily } from './rule-model.ts';
import type { RunProgram } from './run-program.ts';

/** Mark and table of {@link CaptureRules}. */
export type TransparentRoutes = NonNullable<CaptureRules['transparentRoutes']>;

const IP_OPTION: Readonly<Record<IpFamily, string>> = { v4: '-4', v6: '-6' };

/** Marked packets, wherever they were going, are for this machine: only then may the kernel hand them to a listener here. */
export async function addTransparentRoutes(
  run: RunProgram,
  routes: TransparentRoutes,
  families: readonly IpFamily[],
): Promise<void> {
  for (const option of families.map((family) => IP_OPTION[family])) {
    // The kernel takes the same rule as often as it is given it.
    if ((await countRules(run, option, routes)) === 0) await run('ip', [option, 'rule', 'add', ...selector(routes)]);
    await addUnlessThere(run, [option, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', tableOf(routes)]);
  }
}

/** Takes the routes away. What is not there, or a machine without the tool, is no failure: there is nothing to remove. */
export async function removeTransparentRoutes(run: RunProgram, routes: TransparentRoutes): Promise<void> {
  for (const option of Object.values(IP_OPTION)) {
    const count = await countRules(run, option, routes).catch(() => 0);
    for (let left = count; left > 0; left -= 1) await run('ip', [option, 'rule', 'del', ...selector(routes)]);
    if (count > 0) await run('ip', [option, 'route', 'flush', 'table', tableOf(routes)]).catch(ignore);
  }
}

/** IPv4 has all of 127.0.0.0/8 on loopback, IPv6 one address: the sidecar's source address has to be added. */
export async function addPassthroughAddress(run: RunProgram): Promise<void> {
  await addUnlessThere(run, ['-6', 'addr', 'add', '::6/128', 'dev', 'lo']);
}

function tableOf({ routeTable }: TransparentRoutes): string {
  return String(routeTable);
}

function selector(routes: TransparentRoutes): readonly string[] {
  return ['fwmark', String(routes.mark), 'lookup', tableOf(routes)];
}

async function countRules(run: RunProgram, option: string, { mark, routeTable }: TransparentRoutes): Promise<number> {
  const listed = await run('ip', [option, 'rule', 'list']);
  const pattern = new RegExp(`fwmark (0x${mark.toString(16)}|${mark}) lookup ${routeTable}\\b`);
  return listed.split('\n').filter((line) => pattern.test(line)).length;
}

async function addUnlessThere(run: RunProgram, args: readonly string[]): Promise<void> {
  try {
    await run('ip', args);
  } catch (error) {
    // Newer versions of `ip` say the second.
    if (!/File exists|already assigned/i.test(messageOf(error))) throw error;
  }
}

function ignore(): void {}
