import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuthorityPair, createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import type { ConfigMap, Secret } from '@meltemi/kube';
import type { ClusterFacts } from './cluster-facts.ts';
import type { PrecheckFinding } from './finding.ts';
import { factsOf } from './testing/cluster-facts.ts';
import { checkIntermediates, checkRoots } from './trust-checks.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 24 * 3_600_000;

function authority(commonName: string, lifetimeMs = 3650 * DAY_MS): AuthorityPair {
  return createRootCertificateAuthority({ organization: 'Test', commonName, lifetimeMs, nowMs: NOW_MS });
}

function plugged(files: Readonly<Record<string, string>>): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cacerts' },
    data: Object.fromEntries(Object.entries(files).map(([key, text]) => [key, Buffer.from(text).toString('base64')])),
  };
}

function intermediate(root: AuthorityPair, lifetimeMs = 365 * DAY_MS): Record<string, string> {
  return { ...createIntermediate(root, { organization: 'Test', commonName: 'I', lifetimeMs, nowMs: NOW_MS }) };
}

function facts(name: string, rootPem: string | undefined, secret?: Secret): ClusterFacts {
  const map: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio-ca-root-cert' },
    data: { 'root-cert.pem': rootPem ?? '' },
  };
  return factsOf(name, { rootCertificates: rootPem === undefined ? undefined : map, plugged: secret });
}

function run(check: typeof checkRoots, clusters: readonly ClusterFacts[], nowMs = NOW_MS): string[] {
  const findings: PrecheckFinding[] = [];
  check(clusters, nowMs, findings);
  return findings.map(({ level, subject, message }) => `${level} ${subject}: ${message}`);
}

test('clusters below one root pass; below two roots they fail; with one root more they are warned of', () => {
  const [one, two] = [authority('one'), authority('two')];
  const both = one.certificatePem + two.certificatePem;
  assert.match(
    run(checkRoots, [facts('a', one.certificatePem), facts('b', one.certificatePem)])[0] ?? '',
    /^pass a, b: /,
  );
  assert.match(
    run(checkRoots, [facts('a', one.certificatePem), facts('b', two.certificatePem)])[0] ?? '',
    /^error a, b: they have no root in common/,
  );
  assert.match(
    run(checkRoots, [facts('a', both), facts('b', two.certificatePem)])[0] ?? '',
    /^warning a, b: they share 1 roots, but one trusts more/,
  );
  assert.match(run(checkRoots, [facts('a', undefined)])[0] ?? '', /^warning a: it has no root certificate yet/);
});

test('a root that is over or about to be is told, with the day', () => {
  const { certificatePem } = authority('short', 10 * DAY_MS);
  assert.match(
    run(checkRoots, [facts('a', certificatePem)])[0] ?? '',
    /^warning a: root \S+ expires in \d+ days, on 2026-01-1\d$/,
  );
  assert.match(
    run(checkRoots, [facts('a', certificatePem)], NOW_MS + 12 * DAY_MS)[0] ?? '',
    /^error a: root \S+ has expired \d days ago/,
  );
});

test('an intermediate passes when its key, chain and dates are right', () => {
  const files = intermediate(authority('root'));
  assert.match(
    run(checkIntermediates, [facts('a', undefined, plugged(files))])[0] ?? '',
    /^pass a: the intermediate is valid/,
  );
});

test('what is wrong with an intermediate is named: missing file, other key, broken chain, end', () => {
  const root = authority('root');
  const files = intermediate(root);
  const other = intermediate(authority('other'));
  const { 'ca-key.pem': _key, ...withoutKey } = files;
  for (const [secret, expected] of [
    [plugged(withoutKey), /^error a: Secret cacerts lacks ca-key\.pem$/],
    [plugged({ ...files, 'ca-key.pem': other['ca-key.pem'] ?? '' }), /^error a: ca-key\.pem is not the key/],
    [
      plugged({
        ...files,
        'root-cert.pem': other['root-cert.pem'] ?? '',
        'cert-chain.pem': other['cert-chain.pem'] ?? '',
      }),
      /^error a: the chain is broken/,
    ],
    [plugged({ ...files, 'ca-cert.pem': 'nonsense' }), /^error a: Secret cacerts cannot be read/],
    [plugged(intermediate(root, 20 * DAY_MS)), /^warning a: the intermediate expires in/],
  ] as const)
    assert.match(run(checkIntermediates, [facts('a', undefined, secret)]).join('\n'), expected);
});
