import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { MeltemiError, messageOf } from '@meltemi/base';
import { type ApplySettings, applyCapture, removeCapture } from '../capture/apply-capture.ts';
import { familiesFor, isUsableAddress, readAddresses } from '../capture/capture-environment.ts';
import { type CaptureFlagValues, captureUsage, readCaptureFlags } from '../capture/capture-flags.ts';
import {
  type CaptureOptions,
  parseCaptureOptions,
  parsePort,
  parseProbeTimeoutMs,
} from '../capture/capture-options.ts';
import { buildCaptureRules } from '../capture/capture-rules.ts';
import { printIptablesRules } from '../capture/iptables-apply.ts';
import { toNftTransaction } from '../capture/nftables-text.ts';
import { inNetworkNamespace, type RunProgram, runProgram } from '../capture/run-program.ts';
import { resolveTrafficOwner } from '../capture/traffic-owner.ts';
import { validateCapture } from '../capture/validate-capture.ts';
import { parseResolvConf } from '../dns/resolv-conf.ts';
import { type Command, type CommandContext, EXIT } from './command-context.ts';

const DEFAULT_DISCOVERY_ADDRESS = 'istiod.istio-system.svc:15012';

/** What the CNI plug-in's repair controller looks for. */
const EXIT_NOT_CAPTURED = 126;

/** `istio-iptables`: sets up the capture of a pod's traffic, checks it, prints it, or takes it away. */
export const runIstioIptables: Command = async (context) => {
  try {
    const flags = readCaptureFlags(context.args, context.env);
    if (flags.help) {
      context.print(captureUsage());
      return EXIT.ok;
    }
    return await run(flags, context);
  } catch (error) {
    context.printError(messageOf(error));
    const isUsage = error instanceof MeltemiError && (error.code === 'USAGE' || error.code === 'CAPTURE_INVALID');
    return isUsage ? EXIT.usage : EXIT.failed;
  }
};

async function run(flags: CaptureFlagValues, { env, print, printError }: CommandContext): Promise<number> {
  const namespacePath = flags['network-namespace'];
  if (flags['cni-mode'] && namespacePath === '')
    throw new MeltemiError('USAGE', 'Cannot work from outside the pod: --cni-mode needs --network-namespace');
  const runner = inNetworkNamespace(runProgram, namespacePath);
  const options = await readOptions(flags, env, runner);
  if (flags['redirect-dns'] && options.dnsServers.length === 0)
    printError('Queries are not captured: /etc/resolv.conf names no server; --capture-all-dns captures them all');
  if (flags['dry-run']) {
    print(printRules(options, flags['native-nftables']));
    return EXIT.ok;
  }
  const settings: ApplySettings = {
    options,
    usesNftables: flags['native-nftables'],
    iptablesVariant: flags['force-iptables-binary'],
    reconciles: flags.reconcile,
    isForced: flags['force-apply'],
    run: runner,
  };
  if (flags['cleanup-only']) await removeCapture(settings);
  else if (!flags['skip-rule-apply']) print(`Capture rules: ${await applyCapture(settings)}\n`);
  return flags['run-validation'] && !flags['cleanup-only'] ? validate(flags, options, printError) : EXIT.ok;
}

async function readOptions(
  flags: CaptureFlagValues,
  env: CommandContext['env'],
  runner: RunProgram,
): Promise<CaptureOptions> {
  const isElsewhere = flags['network-namespace'] !== '';
  const addresses = isElsewhere ? await readAddresses(runner) : ownAddresses();
  return parseCaptureOptions({
    flags,
    owner: await resolveTrafficOwner(env['MELTEMI_SO_MARK'], env['CA_ADDR'] ?? DEFAULT_DISCOVERY_ADDRESS),
    nameServers: flags['redirect-dns'] ? parseResolvConf(await readFile('/etc/resolv.conf', 'utf8')).nameServers : [],
    families: familiesFor(addresses, flags['dual-stack']),
  });
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses = []) => addresses.map(({ address }) => address))
    .filter(isUsableAddress);
}

function printRules(options: CaptureOptions, usesNftables: boolean): string {
  const rules = buildCaptureRules(options);
  if (usesNftables) return toNftTransaction(rules);
  return rules.families
    .map((family) => `# ${family === 'v4' ? 'IPv4' : 'IPv6'}\n${printIptablesRules(rules.rules, family)}`)
    .join('');
}

async function validate(
  flags: CaptureFlagValues,
  options: CaptureOptions,
  printError: CommandContext['printError'],
): Promise<number> {
  const failure = await validateCapture({
    options,
    probePort: parsePort('iptables-probe-port', flags['iptables-probe-port']),
    timeoutMs: parseProbeTimeoutMs(flags),
  });
  if (failure === undefined) return EXIT.ok;
  printError(
    `Traffic of this pod is not captured: ${failure}. With a CNI plug-in the pod may have started before its node was ready: delete the pod, so that it is scheduled anew`,
  );
  return EXIT_NOT_CAPTURED;
}
