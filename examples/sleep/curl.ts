/**
 * A small curl for machines that have none. Knows -s -S -i -I -f -k, -X METHOD, -H 'Name: value', -d DATA, -o FILE,
 * -w FORMAT (%{http_code}, \n), -m SECONDS / --max-time, --connect-timeout and several URLs; ignores -v and -L.
 */
import { writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { type ParseArgsConfig, parseArgs } from 'node:util';

const CONFIG = {
  options: {
    silent: { type: 'boolean', short: 's' },
    'show-error': { type: 'boolean', short: 'S' },
    include: { type: 'boolean', short: 'i' },
    head: { type: 'boolean', short: 'I' },
    verbose: { type: 'boolean', short: 'v' },
    fail: { type: 'boolean', short: 'f' },
    location: { type: 'boolean', short: 'L' },
    insecure: { type: 'boolean', short: 'k' },
    request: { type: 'string', short: 'X' },
    header: { type: 'string', short: 'H', multiple: true },
    data: { type: 'string', short: 'd' },
    output: { type: 'string', short: 'o' },
    'write-out': { type: 'string', short: 'w' },
    'max-time': { type: 'string', short: 'm' },
    'connect-timeout': { type: 'string' },
  },
  allowPositionals: true,
} as const satisfies ParseArgsConfig;

/** Ends with curl's code for a command line that it cannot read. */
function refuse(problem: string): never {
  process.stderr.write(`curl: ${problem}\n`);
  process.exit(2);
}

function readCommandLine(): ReturnType<typeof parseArgs<typeof CONFIG>> {
  try {
    return parseArgs(CONFIG);
  } catch (error) {
    refuse(`${(error as Error).message.split('. ')[0]} (a stand-in for curl that knows few options)`);
  }
}

const { values, positionals } = readCommandLine();
if (positionals.length === 0) refuse('no URL specified');

interface Failure {
  readonly exitCode: number;
  readonly message: string;
}

/** As curl does: an explicit proxy is told the whole URL, and which host it is for. */
function target(url: URL, headers: Record<string, string>): RequestOptions {
  const { http_proxy: proxyUrl } = process.env;
  if (proxyUrl === undefined || proxyUrl === '' || url.protocol !== 'http:') return urlToHttpOptions(url);
  const proxy = new URL(proxyUrl);
  headers['host'] ??= url.host;
  return { host: proxy.hostname, port: proxy.port, path: url.href };
}

function call(url: URL): Promise<{ readonly response: IncomingMessage; readonly body: Buffer }> {
  const method = values.request ?? (values.head === true ? 'HEAD' : values.data === undefined ? 'GET' : 'POST');
  const headers: Record<string, string> = { 'user-agent': 'curl/meltemi', accept: '*/*' };
  for (const line of values.header ?? []) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  if (values.data !== undefined) headers['content-type'] ??= 'application/x-www-form-urlencoded';
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const options = { ...target(url, headers), method, headers, rejectUnauthorized: values.insecure !== true };
    const request = send(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ response, body: Buffer.concat(chunks) }));
      response.on('error', (error) =>
        reject({ exitCode: 56, message: `Recv failure: ${error.message}` } satisfies Failure),
      );
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      const exitCode =
        error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN' ? 6 : error.code === 'ECONNREFUSED' ? 7 : 56;
      const message = exitCode === 6 ? `Could not resolve host: ${url.hostname}` : `${url.host}: ${error.message}`;
      reject({ exitCode, message } satisfies Failure);
    });
    if (values['max-time'] !== undefined) {
      setTimeout(() => {
        reject({ exitCode: 28, message: `Operation timed out after ${values['max-time']} seconds` } satisfies Failure);
        request.destroy();
      }, Number(values['max-time']) * 1000).unref();
    }
    request.end(values.data);
  });
}

let exitCode = 0;
for (const text of positionals) {
  try {
    const { response, body } = await call(new URL(/^https?:\/\//.test(text) ? text : `http://${text}`));
    const status = response.statusCode ?? 0;
    if (values.include === true || values.head === true) {
      const lines = response.rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [`${name}: ${response.rawHeaders[index + 1]}`] : [],
      );
      process.stdout.write(
        `HTTP/${response.httpVersion} ${status} ${response.statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`,
      );
    }
    if (values.fail === true && status >= 400) exitCode = 22;
    else if (values.output === undefined) process.stdout.write(body);
    else writeFileSync(values.output, body);
    if (values['write-out'] !== undefined)
      process.stdout.write(values['write-out'].replaceAll('%{http_code}', String(status)).replaceAll('\\n', '\n'));
  } catch (error) {
    const failure = error as Failure;
    exitCode = failure.exitCode;
    if (values.silent !== true || values['show-error'] === true)
      process.stderr.write(`curl: (${exitCode}) ${failure.message}\n`);
    if (values['write-out'] !== undefined)
      process.stdout.write(values['write-out'].replaceAll('%{http_code}', '000').replaceAll('\\n', '\n'));
  }
}
process.exitCode = exitCode;
