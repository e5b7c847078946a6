/**
 * Gives Services of type LoadBalancer an address, as a cloud's controller would: `node load-balancers.ts KUBECONFIG POD_CIDR`.
 *
 * The addresses are the last of the pods' range, on the node itself, so that all clusters have a route to them; the
 * node's Service rules take it from there.
 */
import { execFileSync } from 'node:child_process';
import { createProcessLog, messageOf } from '@meltemi/base';
import { createInformer, createKubeClient, loadKubeconfig, SERVICES, type Service } from '@meltemi/kube';
import { addressAt, parseCidr } from '@meltemi/local/cidr';

/** So many addresses, counted from the end of the range; pods get theirs from its beginning. */
const MAX_BALANCERS = 100;

const [kubeconfig = '', podCidr = ''] = process.argv.slice(2);
const range = parseCidr(podCidr);
if (range === undefined) throw new Error(`Cannot read the range of pods "${podCidr}"`);
const last = 2 ** (32 - range.prefix) - 2;
const addresses = Array.from({ length: MAX_BALANCERS }, (_, index) => addressAt(range, last - index));

const log = createProcessLog('load-balancers');
const client = createKubeClient({ access: await loadKubeconfig({ path: kubeconfig }), userAgent: 'load-balancers' });
const services = createInformer({ client, ref: SERVICES, log });
/** By namespace and name; kept from the moment that an address is given, which the informer learns later. */
const given = new Map<string, string>();

const keyOf = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`;

async function serve(service: Service): Promise<void> {
  if (service.spec.type !== 'LoadBalancer') return void given.delete(keyOf(service));
  const present = service.status?.loadBalancer?.ingress?.[0]?.ip;
  const known = given.get(keyOf(service));
  const address = present ?? known ?? addresses.find((candidate) => ![...given.values()].includes(candidate));
  if (address === undefined) return log.warn('There is no address left', { service: keyOf(service) });
  given.set(keyOf(service), address);
  execFileSync('ip', ['address', 'replace', `${address}/32`, 'dev', 'lo']);
  if (present !== undefined) return;
  const body = { status: { loadBalancer: { ingress: [{ ip: address }] } } };
  const { namespace, name } = service.metadata;
  await client.patch(SERVICES, { namespace, name }, { type: 'merge', body }, { subresource: 'status' });
}

const onService = (service: Service): void =>
  void serve(service).catch((error: unknown) =>
    log.warn('Cannot give an address', { service: keyOf(service), error: messageOf(error) }),
  );
services.subscribe({ onAdd: onService, onUpdate: onService, onDelete: (service) => void given.delete(keyOf(service)) });
// Held by its watch alone it would end whenever the API server is away.
setInterval(() => {}, 2 ** 30);
await services.start(new AbortController().signal);
