import { type IncomingHttpHeaders, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect, isIPv6 } from 'node:net';
import { err, messageOf, ok, type Result } from '@meltemi/base';
import { checkGrpcHealth } from '@meltemi/base/grpc-health';

/** A probe of a kubelet as the pod declared it, before the injector pointed it at the agent. Ports are numbers here. */
export interface ApplicationProbe {
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number;
    readonly scheme?: string;
    readonly host?: string;
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly timeoutSeconds?: number;
}

/** Runs the probes of the pod's containers on behalf of the kubelet, whose plaintext a strict mesh refuses. */
export interface ApplicationProbes {
  /**
   * Asks the application. A lifecycle hook that runs already is refused with 409: hooks may take an hour, and only a kubelet
   * needs them, once at a time.
   *
   * @param path `/app-health/<container>/readyz` and so on.
   * @param signal Gives the call up, when its caller is gone say.
   */
  run(path: string, headers: IncomingHttpHeaders, signal?: AbortSignal): Promise<ProbeAnswer>;
}

/** What the caller of a probe is answered. */
export interface ProbeAnswer {
  readonly statusCode: number;
  readonly body: string;
}

/** Where the injector points lifecycle hooks to. */
export const LIFECYCLE_PREFIX = '/app-lifecycle/';

/** The source address by which capture rules know traffic of the sidecar to its own application. */
function passthroughSource(host: string): string {
  return isIPv6(host) ? '::6' : '127.0.0.6';
}

/** As many redirects as kubelets follow. */
const MAX_REDIRECTS = 10;
const MAX_BODY_BYTES = 10 * 1024;

/** Parses `ISTIO_KUBE_APP_PROBERS`: a JSON object of probes by path. */
export function parseApplicationProbes(json: string | undefined): Result<ReadonlyMap<string, ApplicationProbe>> {
  if (json === undefined || json === '') return ok(new Map());
  try {
    // The injector writes this variable; what is wrong in it shows when the probe is run.
    const probes = JSON.parse(json) as Record<string, ApplicationProbe>;
    return ok(new Map(Object.entries(probes)));
  } catch (error) {
    return err(`ISTIO_KUBE_APP_PROBERS is not JSON: ${messageOf(error)}`);
  }
}

/** Creates the runner. @param podIp Where the application is probed. */
export function createApplicationProbes(
  probes: ReadonlyMap<string, ApplicationProbe>,
  podIp: string,
): ApplicationProbes {
  const hooks = new Set<string>();
  return {
    async run(path, headers, caller = new AbortController().signal) {
      const probe = probes.get(path);
      if (probe === undefined) return { statusCode: 400, body: `no probe is known for ${path}\n` };
      if (!path.startsWith(LIFECYCLE_PREFIX)) return ask(probe, { podIp, headers, caller });
      if (hooks.has(path)) return { statusCode: 409, body: `${path} is running; wait until it has ended\n` };
      hooks.add(path);
      try {
        return await ask(probe, { podIp, headers, caller });
      } finally {
        hooks.delete(path);
      }
    },
  };
}

interface Asking {
  readonly podIp: string;
  readonly headers: IncomingHttpHeaders;
  readonly caller: AbortSignal;
}

async function ask(probe: ApplicationProbe, { podIp, headers, caller }: Asking): Promise<ProbeAnswer> {
  const signal = AbortSignal.any([caller, AbortSignal.timeout((probe.timeoutSeconds ?? 1) * 1000)]);
  try {
    if (probe.httpGet !== undefined) return await probeHttp(probe.httpGet, podIp, signal, headers);
    if (probe.tcpSocket !== undefined) return await probeTcp(probe.tcpSocket.port, podIp, signal);
    if (probe.grpc !== undefined) return await askGrpc(probe.grpc, podIp, signal);
    return { statusCode: 400, body: 'the probe is neither httpGet nor tcpSocket nor grpc\n' };
  } catch (error) {
    return { statusCode: 500, body: `${messageOf(error)}\n` };
  }
}

type HttpGet = NonNullable<ApplicationProbe['httpGet']>;

interface HttpAnswer {
  readonly statusCode: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** Follows redirects on the same host, as kubelets do; one that leads elsewhere counts as success. */
async function probeHttp(
  { path = '/', port, scheme = 'HTTP', httpHeaders = [] }: HttpGet,
  podIp: string,
  signal: AbortSignal,
  incoming: IncomingHttpHeaders,
): Promise<ProbeAnswer> {
  const headers: Record<string, string> = { 'user-agent': incoming['user-agent'] ?? 'kube-probe', connection: 'close' };
  for (const { name, value } of httpHeaders) headers[name.toLowerCase()] = value;
  const host = isIPv6(podIp) ? `[${podIp}]` : podIp;
  let url = new URL(`${scheme.toLowerCase()}://${host}:${port}${path.startsWith('/') ? path : `/${path}`}`);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const { statusCode, body, location } = await getOnce(url, podIp, { headers, signal });
    if (statusCode < 300 || statusCode >= 400) return { statusCode, body };
    const next = location === undefined ? undefined : URL.parse(location, url.href);
    if (next === undefined || next === null || next.hostname !== url.hostname) return { statusCode: 200, body };
    url = next;
  }
  return { statusCode: 500, body: `stopped after ${MAX_REDIRECTS} redirects\n` };
}

function getOnce(
  url: URL,
  host: string,
  { headers, signal }: { readonly headers: Record<string, string>; readonly signal: AbortSignal },
): Promise<HttpAnswer> {
  const isTls = url.protocol === 'https:';
  const port = Number(url.port || (isTls ? 443 : 80));
  const path = `${url.pathname}${url.search}`;
  const options = { host, port, path, headers, agent: false, signal, localAddress: passthroughSource(host) };
  return new Promise((resolve, reject) => {
    const outgoing = isTls ? requestTls({ ...options, rejectUnauthorized: false }) : request(options);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        if (length < MAX_BODY_BYTES) chunks.push(chunk.subarray(0, MAX_BODY_BYTES - length));
        length += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ statusCode: response.statusCode ?? 500, body, location: response.headers.location });
      });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

async function askGrpc(
  { port, service = '' }: NonNullable<ApplicationProbe['grpc']>,
  host: string,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  const problem = await checkGrpcHealth({ host, port, service, signal, localAddress: passthroughSource(host) });
  return problem === undefined ? { statusCode: 200, body: '' } : { statusCode: 500, body: `${problem}\n` };
}

function probeTcp(port: number, host: string, signal: AbortSignal): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress: passthroughSource(host), signal });
    const finish = (statusCode: number, body: string): void => {
      socket.destroy();
      resolve({ statusCode, body });
    };
    socket.on('connect', () => finish(200, ''));
    socket.on('error', (error) => finish(500, `${signal.aborted ? 'timed out' : messageOf(error)}\n`));
  });
}
