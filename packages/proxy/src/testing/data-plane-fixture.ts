import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { type Log, silentLog } from '@meltemi/base';
import {
  type ConfigUpdate,
  createBreakerSlots,
  type RuntimeCluster,
  type RuntimeFilterChain,
  type RuntimeForwardAction,
  type RuntimeHttpConnectionManager,
  type RuntimeListener,
  type RuntimeRoute,
  type RuntimeVirtualHost,
  type StatDefinition,
  type WorkerInit,
} from '../config/runtime-config.ts';
import { nodeTimers } from '../network/timers.ts';
import { createDataPlane, type DataPlane } from '../worker/data-plane.ts';
import { seededRandom } from '../worker/seeded-random.ts';
import {
  clusterFixture,
  endpointsFixture,
  filterChainFixture,
  forwardFixture,
  hostFixture,
  httpFixture,
  listenerFixture,
  routeConfigFixture,
  routeFixture,
  virtualHostFixture,
} from './runtime-resources.ts';

/** A data plane on the main thread with what tests look at. */
export interface DataPlaneFixture extends AsyncDisposable {
  readonly plane: DataPlane;
  readonly logLines: string[];
  readonly definitions: StatDefinition[];
  /** The value of a counter or gauge; 0 when it was never made. */
  stat(name: string): number;
  /** Values of an Istio metric with its labels. */
  series(name: string): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
  apply(update: Omit<ConfigUpdate, 'revision'>): Promise<void>;
  port(listener?: string): number;
}

/** `WorkerInit` of a lone worker. */
export function workerInitFixture(fields: Partial<WorkerInit> = {}): WorkerInit {
  return {
    workerIndex: 0,
    node: {
      id: 'sidecar~127.0.0.1~test.default~default.svc.cluster.local',
      cluster: 'test',
      peerMetadata: '',
      workloadName: 'test',
      namespace: 'default',
      clusterId: 'cluster1',
      labels: {},
      hostname: 'test',
    },
    breakerCells: createBreakerSlots(16).cells,
    ticketKeys: randomBytes(48),
    upstreamMark: undefined,
    accessLogFlushIntervalMs: 1000,
    drainStrategy: 'immediate',
    drainTimeMs: 1000,
    statsMatcher: undefined,
    histogramSettings: [],
    randomSeed: 1,
    outlierLogPath: undefined,
    ...fields,
  };
}

export function createDataPlaneFixture(init: Partial<WorkerInit> = {}, log: Log = silentLog): DataPlaneFixture {
  const logLines: string[] = [];
  const definitions: StatDefinition[] = [];
  const pages: Float64Array[] = [];
  const plane = createDataPlane({
    init: workerInitFixture(init),
    timers: nodeTimers,
    random: seededRandom(1),
    log,
    accessLogs: { write: (_path, line) => void logLines.push(line) },
    statsListener: {
      onPage: (page, cells) => {
        pages[page] = new Float64Array(cells);
      },
      onDefinitions: (added) => void definitions.push(...added),
    },
    onEjection: () => {},
  });
  let revision = 0;
  const valueOf = ({ page, index }: StatDefinition): number => pages[page]?.[index] ?? 0;
  return {
    plane,
    logLines,
    definitions,
    stat: (name) => {
      const definition = definitions.find((each) => each.name === name);
      return definition === undefined ? 0 : valueOf(definition);
    },
    series: (name) =>
      definitions
        .filter((each) => each.name === name)
        .map((each) => ({ labels: each.labels ?? {}, value: valueOf(each) })),
    async apply(update) {
      revision += 1;
      const problems = await plane.apply({ revision, ...update });
      if (problems.length > 0) throw new Error(JSON.stringify(problems));
    },
    port(listener = 'listener') {
      const port = plane.boundPort(listener);
      if (port === undefined) throw new Error(`listener ${listener} is not bound`);
      return port;
    },
    [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
  };
}

/** What a simple mesh of one listener, one route table and one cluster differs in. */
export interface SimpleConfig {
  readonly hosts: readonly number[];
  readonly http?: Partial<RuntimeHttpConnectionManager>;
  readonly action?: Partial<RuntimeForwardAction>;
  readonly route?: Partial<RuntimeRoute>;
  readonly routes?: readonly RuntimeRoute[];
  readonly virtualHost?: Partial<RuntimeVirtualHost>;
  readonly cluster?: Partial<RuntimeCluster>;
  readonly chain?: Partial<RuntimeFilterChain>;
  readonly listener?: Partial<RuntimeListener>;
}

/** The whole configuration: everything to cluster `backend`. */
export function simpleConfig(config: SimpleConfig): Omit<ConfigUpdate, 'revision'> {
  const routes = config.routes ?? [routeFixture({ action: forwardFixture('backend', config.action), ...config.route })];
  return {
    endpoints: {
      remove: [],
      upsert: [
        endpointsFixture(
          'backend',
          config.hosts.map((port) => hostFixture(port)),
        ),
      ],
    },
    clusters: { remove: [], upsert: [clusterFixture('backend', config.cluster)] },
    routes: {
      remove: [],
      upsert: [routeConfigFixture({ virtualHosts: [virtualHostFixture({ routes, ...config.virtualHost })] })],
    },
    listeners: {
      remove: [],
      upsert: [
        listenerFixture({
          filterChains: [filterChainFixture({ filters: [httpFixture(config.http)], ...config.chain })],
          ...config.listener,
        }),
      ],
    },
  };
}

/** A server of a test, on a free port, that is gone when the test is. */
export interface TestServer extends AsyncDisposable {
  readonly port: number;
}

function disposable(server: Server | TcpServer, sockets: Set<Socket>): TestServer {
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function trackSockets(server: Server | TcpServer): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  return sockets;
}

/** An HTTP origin made with Node's own server: an independent reader of what we send. */
export async function startOrigin(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer> {
  const server = createServer({ keepAliveTimeout: 0 }, handler);
  const sockets = trackSockets(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return disposable(server, sockets);
}

/** A TCP server; `onConnection` owns each socket. */
export async function startTcpServer(onConnection: (socket: Socket) => void): Promise<TestServer> {
  const server = createTcpServer({ allowHalfOpen: true }, onConnection);
  const sockets = trackSockets(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return disposable(server, sockets);
}

/** A response as tests look at it. */
export interface FetchedResponse {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** One request with Node's own client. */
export function fetchHttp(
  port: number,
  options: {
    readonly path?: string;
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string | Buffer;
  } = {},
): Promise<FetchedResponse> {
  return new Promise((resolve, reject) => {
    const { path = '/', method = 'GET', headers = {}, body } = options;
    const outgoing = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Sends bytes as they are and gives back all that comes until the peer closes. */
export function exchangeRaw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

/** Waits until a condition holds; fails after `withinMs`. */
export async function eventually(check: () => boolean, withinMs = 2000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!check()) {
    if (performance.now() > deadline)
      throw new Error(`condition did not hold within ${withinMs} ms: ${check.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
