import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import { encodeResource, encodeWireMessage, TYPE_URLS } from '@meltemi/xds';
import { SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { DiscoveryRequestSchema } from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';

const asIs = (bytes: Buffer): Buffer => bytes;

/** Adds an SDS that knows `default` and `ROOTCA`: a certificate that trusts itself. Stands for the agent. */
export function addSecretService(server: Server): void {
  const { certificate, key } = selfSignedCertificate();
  const inline = (text: string) => ({ specifier: { case: 'inlineString' as const, value: text } });
  const secrets = new Map([
    [
      'default',
      create(SecretSchema, {
        name: 'default',
        type: { case: 'tlsCertificate', value: { certificateChain: inline(certificate), privateKey: inline(key) } },
      }),
    ],
    [
      'ROOTCA',
      create(SecretSchema, {
        name: 'ROOTCA',
        type: { case: 'validationContext', value: { trustedCa: inline(certificate) } },
      }),
    ],
  ]);
  const serve = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    call.on('data', (bytes: Buffer) => {
      const request = fromBinary(DiscoveryRequestSchema, bytes);
      if (request.responseNonce !== '') return;
      const resources = request.resourceNames.flatMap((name) => secrets.get(name) ?? []);
      call.write(
        encodeWireMessage([
          [1, '1'],
          ...resources.map(
            (secret) => [2, encodeResource(TYPE_URLS.secret, secret.name, toBinary(SecretSchema, secret)).any] as const,
          ),
          [4, TYPE_URLS.secret],
          [5, '1'],
        ]),
      );
    });
    call.on('end', () => call.end());
  };
  server.addService(
    {
      StreamSecrets: {
        path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
        requestStream: true,
        responseStream: true,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    },
    { StreamSecrets: serve },
  );
}

function selfSignedCertificate(): { readonly certificate: string; readonly key: string } {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-secret-'));
  try {
    const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-subj', '/CN=test', '-addext', 'subjectAltName=URI:spiffe://cluster.local/ns/app1/sa/default'],
        ...['-keyout', keyFile, '-out', certificateFile],
      ],
      { stdio: 'ignore' },
    );
    return { certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
