import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopbackPeer } from './loopback-peer.ts';

test('a peer is of the own host by its exact loopback address; what a sidecar passes on is not', () => {
  for (const own of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) assert.equal(isLoopbackPeer(own), true, own);
  for (const foreign of ['127.0.0.6', '::ffff:127.0.0.6', '10.11.0.1', '127.evil', '', undefined])
    assert.equal(isLoopbackPeer(foreign), false, String(foreign));
});
