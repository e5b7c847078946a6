/** Passes connections of the listening socket that is descriptor 3 on: `node host-port.ts HOST PORT`. */
import { connect, createServer } from 'node:net';

const [host = '', port = ''] = process.argv.slice(2);

createServer({ allowHalfOpen: true }, (client) => {
  const server = connect({ host, port: Number(port), allowHalfOpen: true });
  const end = (): void => {
    client.destroy();
    server.destroy();
  };
  client.on('error', end).on('close', end);
  server.on('error', end).on('close', end);
  client.pipe(server).pipe(client);
}).listen({ fd: 3 });
