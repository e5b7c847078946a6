import type { IncomingMessage } from 'node:http';
import { isLoopbackPeer } from '@meltemi/base';
import type { StreamAuthenticator } from '@meltemi/xds/server';
import type { HttpAnswer } from '../servers/http-listener.ts';
import type { HttpFolder } from '../servers/http-server.ts';
import type { DebugCaller, DebugDesk } from './debug-desk.ts';

/** Where debug pages are served. */
export const DEBUG_FOLDER = '/debug';

/** Serves debug pages over HTTP: to the own pod without a question, to others by the token that they show. */
export function createHttpDebug(desk: DebugDesk, authenticate: StreamAuthenticator): HttpFolder {
  return async ({ path, query, request, signal }): Promise<HttpAnswer> => {
    const caller = await identify(request, authenticate);
    const { status, body } = await desk({ name: path.slice(1), query, caller, signal });
    return { status, contentType: 'application/json', body };
  };
}

async function identify({ headers, socket }: IncomingMessage, authenticate: StreamAuthenticator): Promise<DebugCaller> {
  if (isLoopbackPeer(socket.remoteAddress)) return 'local';
  const clusterId = headers['clusterid'];
  const caller = await authenticate({
    authorization: headers.authorization,
    clusterId: typeof clusterId === 'string' ? clusterId : undefined,
    peerCertificate: undefined,
    peerAddress: socket.remoteAddress ?? '',
  });
  // Why a token is not good is for the log of its cluster, not for whoever tries.
  return caller.ok ? caller.value : undefined;
}
