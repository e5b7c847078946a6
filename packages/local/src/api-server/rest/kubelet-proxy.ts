import type { IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { messageOf } from '@meltemi/base';
import { invalid, StatusError } from '../errors.ts';
import { listOf, memberAt, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { RequestContext } from './request-context.ts';

/** The certificate by which the kubelet knows this server, and the CA of its own, all PEM. */
export interface KubeletCredentials {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** Passes requests about containers on to the kubelet of their node. */
export interface KubeletProxy {
  sendLog(response: ServerResponse, context: RequestContext, pod: KubeObject): Promise<void>;
  /** Joins a WebSocket of the client with one to the kubelet. Throws StatusError before anything is written. */
  openExec(request: IncomingMessage, socket: Duplex, head: Buffer, pod: KubeObject, context: RequestContext): void;
}

const DEFAULT_PORT = 10_250;

function containerOf(pod: KubeObject, asked: string | null): string {
  const spec = objectOf(pod.spec);
  const names = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((list) =>
    listOf(spec[list]).map((container) => textOf(objectOf(container)['name'])),
  );
  if (asked !== null && asked !== '') {
    if (!names.includes(asked))
      throw new StatusError(
        'BadRequest',
        `container ${asked} is not valid for pod ${pod.metadata.name}; it has ${names.join(', ')}`,
      );
    return asked;
  }
  const preferred = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  if (preferred !== undefined && names.includes(preferred)) return preferred;
  const containers = listOf(spec['containers']);
  if (containers.length === 1) return names[0] as string;
  throw new StatusError(
    'BadRequest',
    `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${names.join(' ')}]`,
  );
}

function checkLogOptions(pod: KubeObject, query: URLSearchParams): void {
  for (const [field, least] of [
    ['tailLines', 0],
    ['sinceSeconds', 1],
    ['limitBytes', 1],
  ] as const) {
    const text = query.get(field);
    if (text === null) continue;
    const value = Number(text);
    if (text === '' || !Number.isSafeInteger(value))
      throw new StatusError('BadRequest', `${field} "${text}" is no number`);
    if (value >= least) continue;
    throw invalid({ group: '', kind: 'PodLogOptions', plural: 'podlogoptions' }, pod.metadata.name, [
      {
        reason: 'FieldValueInvalid',
        field,
        message: `Invalid value: ${value}: must be greater than or equal to ${least}`,
      },
    ]);
  }
}

/** Creates the proxy. */
export function createKubeletProxy({
  store,
  credentials,
}: {
  readonly store: ObjectStore;
  readonly credentials: KubeletCredentials | undefined;
}): KubeletProxy {
  /** Where the kubelet of a pod listens. */
  function targetOf(pod: KubeObject): RequestOptions {
    const nodeName = textOf(pod.spec?.['nodeName']);
    const node = store.get('core/nodes', undefined, nodeName)?.object;
    if (node === undefined) throw new StatusError('BadRequest', `pod ${pod.metadata.name} is not on a node yet`);
    const addresses = listOf(node.status?.['addresses']).map(objectOf);
    const host = textOf(addresses.find((address) => address['type'] === 'InternalIP')?.['address']);
    if (host === '' || credentials === undefined)
      throw new StatusError(
        'ServiceUnavailable',
        `the kubelet of node ${nodeName} cannot be reached: ${host === '' ? 'it has no address' : 'this server has no certificate for it'}`,
      );
    const port = memberAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port');
    return {
      host,
      port: typeof port === 'number' ? port : DEFAULT_PORT,
      ca: credentials.ca,
      cert: credentials.certificate,
      key: credentials.key,
    };
  }

  function pathOf(verb: string, pod: KubeObject, query: URLSearchParams): string {
    const rest = new URLSearchParams([...query].filter(([name]) => name !== 'container'));
    const container = containerOf(pod, query.get('container'));
    return `/${verb}/${pod.metadata.namespace}/${pod.metadata.name}/${container}?${rest.toString()}`;
  }

  function unreachable(error: Error): StatusError {
    return new StatusError('InternalError', `Internal error occurred: error dialing the kubelet: ${messageOf(error)}`);
  }

  return {
    sendLog(response, { info }, pod) {
      checkLogOptions(pod, info.query);
      const options = { ...targetOf(pod), path: pathOf('containerLogs', pod, info.query) };
      return new Promise((resolve, reject) => {
        const upstream = httpsRequest(options, (answer) => {
          response.writeHead(answer.statusCode ?? 502, {
            'Content-Type': answer.headers['content-type'] ?? 'text/plain',
          });
          response.flushHeaders();
          answer.pipe(response);
          answer.on('error', () => response.destroy());
          response.on('close', () => resolve());
        });
        upstream.on('error', (error) => (response.headersSent ? response.destroy() : reject(unreachable(error))));
        response.on('close', () => upstream.destroy());
        upstream.end();
      });
    },
    openExec(request, socket, head, pod, { info }) {
      const { connection, upgrade } = request.headers;
      const passed = Object.entries(request.headers).filter(([name]) => name.startsWith('sec-websocket-'));
      const headers = {
        connection: connection ?? 'Upgrade',
        upgrade: upgrade ?? 'websocket',
        ...Object.fromEntries(passed),
      };
      const upstream = httpsRequest({ ...targetOf(pod), path: pathOf('exec', pod, info.query), headers });
      const writeHead = (answer: IncomingMessage): void => {
        const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
        for (let index = 0; index < answer.rawHeaders.length; index += 2) {
          const name = answer.rawHeaders[index] as string;
          if (answer.statusCode === 101 || !/^(connection|transfer-encoding)$/i.test(name))
            lines.push(`${name}: ${answer.rawHeaders[index + 1]}`);
        }
        if (answer.statusCode !== 101) lines.push('Connection: close');
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      };
      upstream.on('upgrade', (answer, kubeletSocket, kubeletHead) => {
        writeHead(answer);
        if (kubeletHead.length > 0) socket.write(kubeletHead);
        if (head.length > 0) kubeletSocket.write(head);
        kubeletSocket.pipe(socket).pipe(kubeletSocket);
        kubeletSocket.on('error', () => socket.destroy());
        kubeletSocket.on('close', () => socket.destroy());
        socket.on('close', () => kubeletSocket.destroy());
      });
      upstream.on('response', (answer) => {
        writeHead(answer);
        answer.pipe(socket);
      });
      upstream.on('error', (error) => {
        const body = JSON.stringify(unreachable(error).toStatus());
        socket.end(
          `HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
        );
      });
      socket.on('close', () => upstream.destroy());
      upstream.end();
    },
  };
}
