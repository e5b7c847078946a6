import { readFileSync } from 'node:fs';
import { messageOf } from '@meltemi/base';
import { type MeshFile, readMeshFile } from '@meltemi/local';
import { probeNetns } from '@meltemi/local/sandbox';
import { createReport, type PrecheckFinding } from './finding.ts';

/** What {@link checkMachine} looks at. */
export interface MachineCheckOptions {
  /** Numeric id of the user. */
  readonly uid: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
  /** Default: the machine's own. */
  readonly readSysctl?: (path: string) => string;
}

/** What this machine can do for an environment. */
export function checkMachine(options: MachineCheckOptions): PrecheckFinding[] {
  const findings: PrecheckFinding[] = [];
  const sandbox = createReport('sandbox', findings);
  if (options.platform !== 'linux') {
    sandbox.fail(
      'machine',
      `environments need Linux, this is ${options.platform}`,
      'Use Linux (x64 or arm64 with glibc), or WSL2',
    );
    return findings;
  }
  const probe = probeNetns(options.uid, options.env);
  if (probe.ok)
    sandbox.pass('machine', `pods can have networks of their own, ${probe.mode.root ? 'as root' : 'without root'}`);
  // Not a failure: an environment comes up all the same, with less.
  else
    sandbox.warn(
      'machine',
      `pods cannot have networks of their own, only the loopback sandbox works here (HTTP only, no capture, no boundary between pods): step "${probe.step}" failed: ${probe.reason}`,
      probe.remedy,
    );
  checkMigration(options, findings);
  return findings;
}

/** Whether connections that wait to be accepted survive the end of the worker that they wait for. */
function checkMigration({ readSysctl }: MachineCheckOptions, findings: PrecheckFinding[]): void {
  const report = createReport('tcp-migrate-req', findings);
  const read = readSysctl ?? ((path: string): string => readFileSync(path, 'utf8'));
  let value: string;
  try {
    value = read('/proc/sys/net/ipv4/tcp_migrate_req').trim();
  } catch {
    report.warn(
      'machine',
      'this kernel has no net.ipv4.tcp_migrate_req: a proxy with several workers loses connections in its queue when a worker ends',
      'Use Linux 5.14 or newer, or run proxies with one worker (--concurrency 1)',
    );
    return;
  }
  if (value === '1') report.pass('machine', 'net.ipv4.tcp_migrate_req is 1');
  else
    report.warn(
      'machine',
      `net.ipv4.tcp_migrate_req is ${value}: a proxy that runs outside of a pod loses connections in its queue when a worker ends; pods of an environment set it for themselves`,
      'As root: sysctl -w net.ipv4.tcp_migrate_req=1',
    );
}

/** Whether a `mesh.yaml` can be used: names, ranges and files. @returns The file when it can. */
export function checkMeshFile(path: string, findings: PrecheckFinding[]): MeshFile | undefined {
  const report = createReport('mesh-file', findings);
  try {
    const mesh = readMeshFile(path);
    const ranges = mesh.clusters.map(({ podCidr, serviceCidr }) => `${podCidr.text} and ${serviceCidr.text}`);
    report.pass(
      'mesh.yaml',
      `${mesh.clusters.length} clusters with names and ranges of their own: ${ranges.join(', ')}`,
    );
    return mesh;
  } catch (error) {
    report.fail('mesh.yaml', messageOf(error), 'Correct the file at the place named');
    return undefined;
  }
}
