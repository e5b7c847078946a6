import { parseArgs } from 'node:util';
import { MeltemiError, messageOf, nearestName } from '@meltemi/base';
import { applyCaptureRules } from '../capture/apply-rules.ts';
import { CAPTURE_FLAGS, type CaptureFlagValues, parseCaptureOptions } from '../capture/capture-options.ts';
import { buildCaptureRules } from '../capture/capture-rules.ts';
import { resolveTrafficOwner } from '../capture/traffic-owner.ts';
import { type Command, EXIT } from './command-context.ts';

/** Flags that existing manifests pass and that change nothing here. */
const IGNORED_FLAGS: ReadonlySet<string> = new Set(['log_output_level', 'log_as_json']);

const DEFAULT_DISCOVERY_ADDRESS = 'istiod.istio-system.svc:15012';

/** `istio-iptables`: sets up the capture of a pod's traffic, or prints the rules with `--dry-run`. */
export const runIstioIptables: Command = async ({ args, env, print, printError }) => {
  try {
    const flags = readFlags(args);
    if (flags.help === true) {
      print(usage());
      return EXIT.ok;
    }
    const owner = await resolveTrafficOwner(env['MELTEMI_SO_MARK'], env['CA_ADDR'] ?? DEFAULT_DISCOVERY_ADDRESS);
    const rules = buildCaptureRules(parseCaptureOptions(flags, owner));
    if (flags['dry-run'] === true) print(rules);
    else await applyCaptureRules(rules);
    return EXIT.ok;
  } catch (error) {
    printError(messageOf(error));
    const isUsage = error instanceof MeltemiError && (error.code === 'USAGE' || error.code === 'CAPTURE_INVALID');
    return isUsage ? EXIT.usage : EXIT.failed;
  }
};

function readFlags(args: readonly string[]): CaptureFlagValues {
  const options = Object.fromEntries(
    Object.entries(CAPTURE_FLAGS).map(([flag, { short, type }]) => [flag, { short, type }]),
  );
  const { values } = parseArgs({ args: [...args], options, strict: false });
  const known = Object.keys(CAPTURE_FLAGS);
  for (const flag of Object.keys(values)) {
    if (known.includes(flag) || IGNORED_FLAGS.has(flag)) continue;
    const near = nearestName(flag, known);
    const dashes = flag.length === 1 ? '-' : '--';
    throw new MeltemiError(
      'USAGE',
      `Unknown flag ${dashes}${flag}${near === undefined ? '' : `; did you mean --${near}?`}`,
    );
  }
  return values;
}

function usage(): string {
  const lines = Object.entries(CAPTURE_FLAGS).map(
    ([flag, { short, description, default: value }]) =>
      `  -${short}, --${flag.padEnd(36)} ${description}${value ? ` (default ${value})` : ''}`,
  );
  return [
    'Usage: pilot-agent istio-iptables [flags]',
    '',
    "Sends a pod's TCP traffic through its sidecar.",
    '',
    ...lines,
    '',
  ].join('\n');
}
