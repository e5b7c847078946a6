import { readFile } from 'node:fs/promises';
import { type Command, EXIT } from './command-context.ts';

/** `version`: prints the version of this agent. */
export const runVersion: Command = async ({ print }) => {
  print(`${await readAgentVersion()}\n`);
  return EXIT.ok;
};

/** The version in this package's manifest. */
export async function readAgentVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  const isManifest = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isManifest ? String(manifest.version) : 'unknown';
}
