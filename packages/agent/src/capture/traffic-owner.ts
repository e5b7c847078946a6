import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { MeltemiError, messageOf } from '@meltemi/base';
import type { TrafficOwner } from './capture-options.ts';

/** Finds the IPv4 addresses of a host name. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/** Resolves through the system's resolver, as the agent's gRPC channels do. */
export const resolveHost: ResolveHost = async (host) =>
  (await lookup(host, { family: 4, all: true })).map(({ address }) => address);

/**
 * How the sidecar's traffic is told apart here.
 *
 * @param soMark `MELTEMI_SO_MARK`; `undefined` where user ids tell, as on Kubernetes.
 * @param discoveryAddress Host and port of the control plane.
 * @returns `undefined` for the user ids of the flags.
 * @throws MeltemiError `CAPTURE_INVALID` or `CAPTURE_FAILED` when the control plane's name does not resolve.
 */
export async function resolveTrafficOwner(
  soMark: string | undefined,
  discoveryAddress: string,
  resolve: ResolveHost = resolveHost,
): Promise<TrafficOwner | undefined> {
  if (soMark === undefined || soMark === '') return undefined;
  const mark = Number(soMark);
  if (!Number.isInteger(mark) || mark < 1) {
    throw new MeltemiError('CAPTURE_INVALID', `Cannot read MELTEMI_SO_MARK: "${soMark}" is not a positive number`);
  }
  const separator = discoveryAddress.lastIndexOf(':');
  const host = discoveryAddress.slice(0, separator);
  const discoveryPort = Number(discoveryAddress.slice(separator + 1));
  if (separator < 1 || !Number.isInteger(discoveryPort)) {
    throw new MeltemiError(
      'CAPTURE_INVALID',
      `Cannot read the discovery address: "${discoveryAddress}" is not host:port`,
    );
  }
  return { kind: 'mark', mark, discoveryPort, discoveryAddresses: await resolveDiscovery(host, resolve) };
}

async function resolveDiscovery(host: string, resolve: ResolveHost): Promise<readonly string[]> {
  if (isIPv4(host)) return [host];
  try {
    const addresses = await resolve(host);
    if (addresses.length > 0) return addresses;
  } catch (error) {
    throw new MeltemiError(
      'CAPTURE_FAILED',
      `Cannot exempt the control plane from capture: ${host} does not resolve (${messageOf(error)}); is its Service there?`,
    );
  }
  throw new MeltemiError('CAPTURE_FAILED', `Cannot exempt the control plane from capture: ${host} has no IPv4 address`);
}
