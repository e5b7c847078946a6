// `pilot-discovery request GET <path>`: asks the control plane of this pod for a page and prints the answer.
import { request } from 'node:http';

const [command, method, path] = process.argv.slice(2);
if (command !== 'request' || method !== 'GET' || path === undefined) {
  process.stderr.write('Usage: pilot-discovery request GET <path>, for example /debug/syncz\n');
  process.exit(64);
}
const { HTTP_ADDR = ':8080' } = process.env;
const separator = HTTP_ADDR.lastIndexOf(':');
const port = Number(HTTP_ADDR.slice(separator + 1));
const host = HTTP_ADDR.slice(0, separator) || '127.0.0.1';
const call = request({ host, port, path, method: 'GET' }, (answer) => {
  answer.pipe(process.stdout);
  // The text of an error is of use, so it is printed as well; the exit code tells.
  if ((answer.statusCode ?? 0) >= 400) process.exitCode = 1;
});
call.on('error', (error) => {
  process.stderr.write(`Cannot ask the control plane at ${host}:${port}: ${error.message}\n`);
  process.exitCode = 1;
});
call.end();
