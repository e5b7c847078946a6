import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog, systemClock, systemRandom } from '@meltemi/base';
import { type ApiServer, startApiServer } from '../api-server.ts';
import { createTestPki, type TestPki } from './test-pki.ts';

/** The answer to a request of {@link TestCluster.request}. */
export interface TestAnswer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The body as JSON; throws when it is none. */
  json(): TestJson;
}

/** JSON of an answer: read freely, since a wrong guess fails the test that made it. */
// biome-ignore lint: tests reach into answers of every kind
export type TestJson = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any

/** A request of a test. */
export interface TestRequest {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent instead of the administrator's certificate. */
  readonly token?: string;
  /** Sends neither certificate nor token. */
  readonly isAnonymous?: boolean;
}

/** One API server on loopback, for tests. It has no controllers and no kubelet. */
export interface TestCluster extends AsyncDisposable {
  /** `https://127.0.0.1:PORT`. */
  readonly url: string;
  /** The cluster's CA in PEM. */
  readonly ca: string;
  /** Path of a kubeconfig of a member of system:masters. */
  readonly adminKubeconfigPath: string;
  /** The same as text. */
  readonly adminKubeconfig: string;
  readonly pki: TestPki;
  readonly directory: string;
  /** A kubeconfig of a user with this certificate subject, such as `/O=dev/CN=jane`. */
  kubeconfigFor(name: string, subject: string): string;
  /** Sends a request as administrator, or with a token. */
  request(method: string, path: string, request?: TestRequest): Promise<TestAnswer>;
  /** Creates a namespace and its default service account, as the controllers would. */
  createNamespace(name: string, labels?: Readonly<Record<string, string>>): Promise<void>;
  /** Stops the server and starts one on the same files and port, as after a crash. */
  restart(): Promise<void>;
}

/** Settings of {@link createTestCluster}. */
export interface TestClusterOptions {
  /** Name of the cluster and of the context in its kubeconfigs; default `test`. */
  readonly name?: string;
  readonly serviceCidr?: string;
  readonly podCidr?: string;
  /** Starts the server; default: the embedded one, in this process. */
  readonly startServer?: (options: TestServerOptions) => Promise<TestServer>;
}

/** What a server is started with. */
export interface TestServerOptions {
  /** For the server's data. */
  readonly directory: string;
  /** As {@link createTestPki} fills it. */
  readonly pkiDirectory: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
  /** On 127.0.0.1; 0 is any free one. */
  readonly port: number;
}

/** A server that runs. */
export interface TestServer extends AsyncDisposable {
  readonly ports: readonly number[];
}

function startEmbedded({ directory, pkiDirectory, serviceCidr, podCidr, port }: TestServerOptions): Promise<ApiServer> {
  return startApiServer({
    dataDirectory: directory,
    pkiDirectory,
    serviceCidr,
    podCidr,
    listen: [{ host: '127.0.0.1', port }],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
}

/** Starts an API server on a free port of 127.0.0.1, with its own PKI in a temporary folder. */
export async function createTestCluster({
  name = 'test',
  serviceCidr = '10.111.0.0/16',
  podCidr = '10.11.0.0/16',
  startServer = startEmbedded,
}: TestClusterOptions = {}): Promise<TestCluster> {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-api-'));
  const pki = createTestPki(join(directory, 'pki'));
  const admin = pki.issueClient('admin', '/O=system:masters/CN=admin');
  const start = (port: number): Promise<TestServer> =>
    startServer({ directory, pkiDirectory: pki.directory, serviceCidr, podCidr, port });
  let server = await start(0);
  const [port] = server.ports as [number];
  const ca = readFileSync(join(pki.directory, 'ca.crt'), 'utf8');
  const adminAgent = new Agent({
    ca,
    cert: readFileSync(admin.certificatePath),
    key: readFileSync(admin.keyPath),
    keepAlive: true,
  });
  const plainAgent = new Agent({ ca, keepAlive: true });

  function writeKubeconfig(
    user: string,
    { certificatePath, keyPath }: { readonly certificatePath: string; readonly keyPath: string },
  ): string {
    const base64 = (path: string): string => readFileSync(path).toString('base64');
    const path = join(directory, `${user}.kubeconfig`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [
        {
          name,
          cluster: {
            server: `https://127.0.0.1:${port}`,
            'certificate-authority-data': Buffer.from(ca).toString('base64'),
          },
        },
      ],
      contexts: [{ name, context: { cluster: name, user } }],
      users: [
        {
          name: user,
          user: { 'client-certificate-data': base64(certificatePath), 'client-key-data': base64(keyPath) },
        },
      ],
    };
    writeFileSync(path, JSON.stringify(config, null, 2), { mode: 0o600 });
    return path;
  }
  const adminKubeconfigPath = writeKubeconfig('admin', admin);

  function request(
    method: string,
    path: string,
    { body, headers = {}, token, isAnonymous = false }: TestRequest = {},
  ): Promise<TestAnswer> {
    const payload =
      body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(
        {
          host: '127.0.0.1',
          port,
          path,
          method,
          agent: token === undefined && !isAnonymous ? adminAgent : plainAgent,
          headers: {
            ...(payload !== undefined && {
              'Content-Type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
              'Content-Length': Buffer.byteLength(payload),
            }),
            ...(token !== undefined && { Authorization: `Bearer ${token}` }),
            ...headers,
          },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({
              code: answer.statusCode ?? 0,
              headers: answer.headers,
              text,
              json: () => JSON.parse(text) as TestJson,
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(payload);
    });
  }

  const cluster: TestCluster = {
    url: `https://127.0.0.1:${port}`,
    ca,
    adminKubeconfigPath,
    adminKubeconfig: readFileSync(adminKubeconfigPath, 'utf8'),
    pki,
    directory,
    kubeconfigFor: (user, subject) => writeKubeconfig(user, pki.issueClient(user, subject)),
    request,
    async createNamespace(namespace, labels = {}) {
      const created = await request('POST', '/api/v1/namespaces', { body: { metadata: { name: namespace, labels } } });
      if (created.code !== 201 && created.code !== 409) throw new Error(created.text);
      await request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, {
        body: { metadata: { name: 'default' } },
      });
    },
    async restart() {
      await server[Symbol.asyncDispose]();
      server = await start(port);
    },
    async [Symbol.asyncDispose]() {
      adminAgent.destroy();
      plainAgent.destroy();
      await server[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return cluster;
}
