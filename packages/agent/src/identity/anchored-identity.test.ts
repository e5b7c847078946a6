import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { withTrustAnchors } from './anchored-identity.ts';
import type { WorkloadSecret } from './workload-identity.ts';

function newRoot(name: string): string {
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    '/dev/null',
  ];
  return execFileSync('openssl', [...args, '-subj', `/CN=${name}`], { encoding: 'utf8', stdio: 'pipe' });
}

const [own, other] = [newRoot('own'), newRoot('other')];

/** An identity whose secret is set by hand. */
function handIdentity() {
  const listeners = new Set<(secret: WorkloadSecret) => void>();
  let secret: WorkloadSecret | undefined;
  const renewals: string[] = [];
  return {
    renewals,
    issue(rootPem: string): void {
      secret = {
        privateKeyPem: 'key',
        certificateChainPem: 'chain',
        rootPem,
        serialNumber: '1',
        notAfterMs: 0,
        generation: (secret?.generation ?? 0) + 1,
      };
      for (const listener of listeners) listener(secret);
    },
    identity: {
      current: () => secret,
      onChange(listener: (secret: WorkloadSecret) => void) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
      renew: () => void renewals.push(secret?.rootPem ?? ''),
      run: () => Promise.resolve(),
    },
  };
}

test('SEC-14 pushed roots join those of the CA once each and in order, and a changed set is a reason for a new certificate', () => {
  const hand = handIdentity();
  const identity = withTrustAnchors(hand.identity);
  const seen: string[] = [];
  identity.onChange(({ rootPem }) => void seen.push(rootPem));
  const both = [own, other].sort().join('');
  hand.issue(own);
  assert.deepEqual(seen, [own]);

  identity.setAnchors([own]);
  assert.deepEqual([seen.length, hand.renewals.length], [1, 0], 'what the CA has said already');
  identity.setAnchors([other, own, `${own}${other}`]);
  assert.equal(identity.current()?.rootPem, both);
  assert.deepEqual([seen.at(-1), hand.renewals.length], [both, 1]);
  identity.setAnchors([own, other]);
  assert.deepEqual([seen.length, hand.renewals.length], [2, 1], 'the same set');

  hand.issue(both);
  identity.setAnchors([own]);
  assert.equal(hand.renewals.length, 2, 'the CA may sign by another root than the one that left');
  hand.issue(own);
  assert.equal(identity.current()?.rootPem, own);
  identity.setAnchors([]);
  assert.equal(identity.current()?.rootPem, own);
});

test('a first push is no reason for a new certificate while one is being asked for, or when it brings nothing', () => {
  const hand = handIdentity();
  const early = withTrustAnchors(hand.identity);
  early.setAnchors([other]);
  hand.issue(own);
  assert.equal(early.current()?.rootPem, [own, other].sort().join(''));
  const late = withTrustAnchors(hand.identity);
  late.setAnchors([]);
  assert.deepEqual(hand.renewals, []);
});
