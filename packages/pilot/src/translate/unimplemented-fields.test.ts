import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  destinationRuleMessages,
  fieldsOf,
  gatewayMessages,
  type MessageTable,
  meshConfigMessages,
  meshNetworksMessages,
  sharedMessages,
  virtualServiceMessages,
} from '@meltemi/api';
import { findUnimplementedFields, UNIMPLEMENTED_FIELDS } from './unimplemented-fields.ts';

const ROOTS: Readonly<Record<string, readonly [MessageTable, string]>> = {
  VirtualService: [{ ...sharedMessages, ...virtualServiceMessages }, 'VirtualServiceSpec'],
  DestinationRule: [{ ...sharedMessages, ...destinationRuleMessages }, 'DestinationRuleSpec'],
  Gateway: [{ ...sharedMessages, ...gatewayMessages }, 'GatewaySpec'],
  MeshConfig: [{ ...sharedMessages, ...meshConfigMessages }, 'MeshConfig'],
  MeshNetworks: [meshNetworksMessages, 'MeshNetworks'],
};

test('Every unimplemented field is a field of the API', () => {
  for (const { kind, path } of UNIMPLEMENTED_FIELDS) {
    let [table, message] = ROOTS[kind] as readonly [MessageTable, string];
    for (const step of path.split('.')) {
      const name = step.replace(/(\[\]|\{\})$/, '');
      const field = fieldsOf(table, message).find((candidate) => candidate.name === name);
      assert.ok(field, `${kind}.${path}: ${message} has no field ${name}`);
      const shape = 'item' in field.shape ? field.shape.item : field.shape;
      assert.equal(field.shape.shape === 'list', step.endsWith('[]') || field.shape.shape === 'list', path);
      if (shape.shape === 'message') message = shape.message;
    }
  }
});

test('An object is told which of its fields do nothing, with their places', () => {
  const spec = { hosts: ['a'], http: [{ route: [] }, { delegate: { name: 'b' } }] };
  assert.deepEqual(findUnimplementedFields('VirtualService', spec), ['http[1].delegate']);
  const rule = { trafficPolicy: { portLevelSettings: [{ tls: { mode: 'SIMPLE', credentialName: 'c' } }] } };
  assert.deepEqual(findUnimplementedFields('DestinationRule', rule), [
    'trafficPolicy.portLevelSettings[0].tls.credentialName',
  ]);
  assert.deepEqual(findUnimplementedFields('MeshNetworks', { networks: {} }), []);
  assert.deepEqual(findUnimplementedFields('MeshNetworks', { networks: { a: {}, b: {} } }), [
    'networks[a]',
    'networks[b]',
  ]);
  const serverOf = (mode: string) => ({ servers: [{ bind: '10.0.0.1', tls: { mode } }] });
  assert.deepEqual(findUnimplementedFields('Gateway', serverOf('AUTO_PASSTHROUGH')), ['servers[0].tls.mode']);
  assert.deepEqual(findUnimplementedFields('Gateway', serverOf('PASSTHROUGH')), []);
  assert.deepEqual(findUnimplementedFields('PeerAuthentication', { mtls: { mode: 'STRICT' } }), []);
});
