import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PortNaming, type Protocol, resolveProtocol } from './protocol.ts';

const CASES: readonly (readonly [PortNaming, Protocol])[] = [
  [{ name: 'http', number: 80 }, 'http'],
  [{ name: 'HTTP-web', number: 80 }, 'http'],
  [{ name: 'http2-api', number: 80 }, 'http2'],
  [{ name: 'grpc', number: 80 }, 'grpc'],
  [{ name: 'grpc-web', number: 80 }, 'grpc-web'],
  [{ name: 'grpc-web-x', number: 80 }, 'grpc-web'],
  [{ name: 'grpc-webby', number: 80 }, 'grpc'],
  [{ name: 'httpbin', number: 80 }, 'auto'],
  [{ name: 'foo', number: 3306 }, 'tcp'],
  [{ name: 'foo', number: 27017 }, 'tcp'],
  [{ number: 8000 }, 'auto'],
  [{ name: 'http', number: 53, transport: 'UDP' }, 'udp'],
  [{ name: 'tcp-x', appProtocol: 'kubernetes.io/h2c', number: 80 }, 'http2'],
  [{ name: 'x', appProtocol: 'kubernetes.io/wss', number: 80 }, 'https'],
  [{ name: 'http', appProtocol: 'example.com/own', number: 80 }, 'auto'],
];

for (const [port, protocol] of CASES) {
  test(`a port ${JSON.stringify(port)} speaks ${protocol}`, () => assert.equal(resolveProtocol(port), protocol));
}
