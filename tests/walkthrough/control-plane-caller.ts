/**
 * Calls the control plane with whatever credentials it is given: `control-plane-caller.ts ADDRESS ROOT-FILE CALLS`, where
 * CALLS is a JSON list of {@link ControlPlaneCall}. Prints a JSON list of {@link ControlPlaneAnswer}.
 */
import { readFileSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { TYPE_URLS } from '@meltemi/xds';
import { DiscoveryRequestSchema } from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import {
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
} from '@meltemi/xds/types/istio/v1/auth/ca_pb.js';

/** One attempt: at a certificate when there is a signing request, else at discovery. */
export interface ControlPlaneCall {
  readonly name: string;
  readonly token?: string;
  readonly clusterId?: string;
  readonly csrPem?: string;
  readonly ttlSeconds?: number;
  readonly nodeId?: string;
  readonly nodeMetadata?: Readonly<Record<string, string>>;
}

/** How an attempt ended: code 0, or gRPC's status. */
export interface ControlPlaneAnswer {
  readonly name: string;
  readonly code: number;
  readonly details: string;
  readonly certificates?: readonly string[];
}

const DEADLINE_MS = 10_000;
const [address = '', rootFile = '', calls = '[]'] = process.argv.slice(2);

function attempt(call: ControlPlaneCall): Promise<ControlPlaneAnswer> {
  const { name, csrPem } = call;
  const client = new Client(address, credentials.createSsl(readFileSync(rootFile)), {
    'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
    'grpc.use_local_subchannel_pool': 1,
  });
  const metadata = new Metadata();
  if (call.token !== undefined) metadata.set('authorization', `Bearer ${call.token}`);
  if (call.clusterId !== undefined) metadata.set('clusterid', call.clusterId);
  return new Promise<ControlPlaneAnswer>((resolve) => {
    const fail = ({ code, details }: ServiceError): void => resolve({ name, code, details });
    const options = { deadline: Date.now() + DEADLINE_MS };
    if (csrPem === undefined) {
      const path = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
      const asIs = (bytes: Buffer): Buffer => bytes;
      const stream = client.makeBidiStreamRequest(path, asIs, asIs, metadata, options);
      stream.on('error', (error) => fail(error as ServiceError));
      stream.on('data', () => {
        resolve({ name, code: 0, details: '' });
        stream.cancel();
      });
      const node = { id: call.nodeId ?? '', metadata: { ...call.nodeMetadata } };
      const request = create(DiscoveryRequestSchema, { node, typeUrl: TYPE_URLS.cluster });
      stream.write(Buffer.from(toBinary(DiscoveryRequestSchema, request)));
      return;
    }
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(call.ttlSeconds ?? 0),
    });
    client.makeUnaryRequest(
      '/istio.v1.auth.IstioCertificateService/CreateCertificate',
      (message: typeof request) => Buffer.from(toBinary(IstioCertificateRequestSchema, message)),
      (bytes) => fromBinary(IstioCertificateResponseSchema, bytes),
      request,
      metadata,
      options,
      (error, response) =>
        response === undefined
          ? fail(error as ServiceError)
          : resolve({ name, code: 0, details: '', certificates: response.certChain }),
    );
  }).finally(() => client.close());
}

// The one argument is made by the test beside this file.
const answers = await Promise.all((JSON.parse(calls) as ControlPlaneCall[]).map(attempt));
process.stdout.write(JSON.stringify(answers), () => process.exit());
