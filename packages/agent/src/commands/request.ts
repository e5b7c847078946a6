import { request } from 'node:http';
import { parseArgs } from 'node:util';
import { messageOf } from '@meltemi/base';
import { type Command, EXIT } from './command-context.ts';
import { lookupLoopback } from './loopback-lookup.ts';

/** `request METHOD PATH [BODY]`: asks the proxy's admin port, or another port of the sidecar, and prints the answer as it is. */
export const runRequest: Command = async ({ args, env, print, printError }) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { 'debug-port': { type: 'string', default: '15000' } },
    allowPositionals: true,
    strict: false,
  });
  const [method, path, body] = positionals;
  const port = parsePort(values['debug-port']);
  if (method === undefined || path === undefined || port === undefined) {
    printError('Usage: pilot-agent request [--debug-port PORT] METHOD PATH [BODY]; PORT is from 1 to 65535');
    return EXIT.usage;
  }
  const host = env['MELTEMI_POD_ADDRESS'] ?? 'localhost';
  try {
    const answer = await send({ host, port }, method, path, body);
    print(answer.text);
    if (answer.statusCode < 400) return EXIT.ok;
    printError(`${method} ${path}: status ${answer.statusCode}`);
  } catch (error) {
    printError(`Cannot reach ${host}:${port}: ${firstMessage(error)}`);
  }
  return EXIT.failed;
};

/** Any port: an annotation of the pod may put the status port anywhere. */
function parsePort(text: unknown): number | undefined {
  const port = typeof text === 'string' && /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** An error of several addresses has no message of its own. */
function firstMessage(error: unknown): string {
  return messageOf(error instanceof AggregateError ? error.errors[0] : error);
}

function send(
  { host, port }: { readonly host: string; readonly port: number },
  method: string,
  path: string,
  body = '',
): Promise<{ statusCode: number; text: string }> {
  const target = path.startsWith('/') ? path : `/${path}`;
  return new Promise((resolve, reject) => {
    const options = { host, port, method: method.toUpperCase(), path: target, agent: false };
    const lookup = host === 'localhost' ? { lookup: lookupLoopback } : {};
    const outgoing = request({ ...options, ...lookup }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ statusCode: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
