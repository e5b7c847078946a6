/** What an environment could leave behind on the machine, as texts that can be compared before and after. */
import { readdirSync, readFileSync } from 'node:fs';
import { runCommand } from './environment-harness.ts';

/** The machine's network and mounts, as far as this user sees them. */
export async function readHostState(): Promise<Readonly<Record<string, string>>> {
  const output = async (program: string, ...args: readonly string[]): Promise<string> => {
    const result = await runCommand(program, args);
    // Counters and comments with the time of day change by themselves. Who may not look sees the same refusal twice.
    return `${result.stdout}${result.stderr}`.replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, '');
  };
  return {
    links: await output('ip', 'link'),
    addresses: await output('ip', 'address'),
    routes: await output('ip', 'route'),
    'network namespaces': await output('ip', 'netns'),
    'iptables rules': await output('iptables-save'),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
  };
}

/** Command lines of the processes that have to do with a folder: by their words, variables or working directory. */
export function processesOf(directory: string): string[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      const variables = readFileSync(`/proc/${name}/environ`, 'utf8');
      return words.includes(directory) || variables.includes(directory)
        ? [`${name}: ${words.replaceAll('\0', ' ').trim()}`]
        : [];
    } catch {
      // It ended meanwhile, or belongs to somebody else.
      return [];
    }
  });
}
