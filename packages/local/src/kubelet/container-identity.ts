import { MeltemiError } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import type { ContainerIdentity } from '../sandbox/sandbox.ts';

/** What container runtimes leave to a container that says nothing. @see containerd, oci default capabilities */
const DEFAULT_CAPABILITIES: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
];

/** Beyond the default ones, what a privileged container is given here: it is no way out of the sandbox. */
const PRIVILEGED_CAPABILITIES: readonly string[] = [...DEFAULT_CAPABILITIES, 'NET_ADMIN', 'SYS_PTRACE'];

function capabilitiesOf({ securityContext }: Container): readonly string[] {
  const { add = [], drop = [] } = securityContext?.capabilities ?? {};
  const plain = (name: string): string => name.toUpperCase().replace(/^CAP_/, '');
  const isAll = (names: readonly string[]): boolean => names.some((name) => plain(name) === 'ALL');
  const base = securityContext?.privileged === true || isAll(add) ? PRIVILEGED_CAPABILITIES : DEFAULT_CAPABILITIES;
  const dropped = new Set(drop.map(plain));
  const kept = isAll(drop) ? [] : base.filter((name) => !dropped.has(name));
  return [...new Set([...kept, ...add.map(plain).filter((name) => name !== 'ALL')])];
}

/**
 * Who a container runs as: its own securityContext before its pod's, root without either, since images here name none.
 *
 * @throws MeltemiError `CONTAINER_IDENTITY` when the container must not be root and nothing says who it is.
 */
export function containerIdentity(pod: Pod, container: Container): ContainerIdentity {
  const forPod = pod.spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const uid = own.runAsUser ?? forPod.runAsUser ?? 0;
  if (uid === 0 && (own.runAsNonRoot ?? forPod.runAsNonRoot) === true) {
    throw new MeltemiError(
      'CONTAINER_IDENTITY',
      `Cannot start container ${container.name}: runAsNonRoot is set and the user is root; give runAsUser`,
    );
  }
  const gid = own.runAsGroup ?? forPod.runAsGroup ?? 0;
  const groups = forPod.fsGroup === undefined ? [] : [forPod.fsGroup];
  return { uid, gid, groups, capabilities: capabilitiesOf(container) };
}
