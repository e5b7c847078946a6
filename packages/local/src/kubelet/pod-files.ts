import type { Pod } from '@meltemi/kube';

/** The name that the pod's processes see: DNS labels have at most 63 characters. */
export function podHostname(pod: Pod): string {
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, '');
}

function hostsFile(pod: Pod, podIp: string): string {
  const hostname = podHostname(pod);
  const { subdomain, hostAliases = [] } = pod.spec;
  const namespace = pod.metadata.namespace ?? 'default';
  const fqdn = subdomain === undefined ? [] : [`${hostname}.${subdomain}.${namespace}.svc.cluster.local`];
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    `${podIp}\t${[...fqdn, hostname].join('\t')}`,
    ...hostAliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}`),
    '',
  ].join('\n');
}

/** There is no resolver but the cluster's, so that every `dnsPolicy` but `None` is `ClusterFirst`. */
function resolvFile(pod: Pod, dnsIp: string): string {
  const { dnsPolicy, dnsConfig = {} } = pod.spec;
  const namespace = pod.metadata.namespace ?? 'default';
  const own = dnsPolicy === 'None';
  const servers = [...(own ? [] : [dnsIp]), ...(dnsConfig.nameservers ?? [])];
  const defaults = own ? [] : [`${namespace}.svc.cluster.local`, 'svc.cluster.local', 'cluster.local'];
  const searches = [...new Set([...defaults, ...(dnsConfig.searches ?? [])])];
  const given = dnsConfig.options ?? [];
  const options = [
    ...(own || given.some(({ name }) => name === 'ndots') ? [] : ['ndots:5']),
    ...given.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`)),
  ];
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...(searches.length === 0 ? [] : [`search ${searches.join(' ')}`]),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}`]),
    '',
  ].join('\n');
}

/** The machine's own may name services that answer on its /run only, or take `.local` for multicast DNS. */
const NSSWITCH =
  'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n';

/** The files that each container of a pod has for itself, by absolute path. */
export function buildPodFiles(pod: Pod, podIp: string, dnsIp: string): ReadonlyMap<string, string> {
  return new Map([
    ['/etc/hosts', hostsFile(pod, podIp)],
    ['/etc/hostname', `${podHostname(pod)}\n`],
    ['/etc/resolv.conf', resolvFile(pod, dnsIp)],
    ['/etc/nsswitch.conf', NSSWITCH],
  ]);
}
