import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderMap, headerMapOf } from '../codec/header-map.ts';
import type { RuntimeHashPolicy } from '../config/runtime-config.ts';
import { buildHashRing, buildMaglevTable, type HashTable } from './hash-table.ts';
import { hashRequest } from './request-hash.ts';
import type { RequestView } from './request-view.ts';
import { xxHash64 } from './xx-hash.ts';

const ORIGIN = { clientIp: '10.0.0.1', connectionText: '10.0.0.1:1234510.0.0.2:80' };
const COOKIE = { kind: 'cookie', name: 'c', ttlMs: 60_000, path: '/', attributes: [], terminal: false } as const;

function request(fields: Partial<RequestView> = {}): RequestView {
  return { method: 'GET', path: '/', authority: 'a', scheme: 'http', headers: new HeaderMap(), ...fields };
}

function hash(policies: readonly RuntimeHashPolicy[], fields: Partial<RequestView> = {}): bigint | undefined {
  return hashRequest(policies, request(fields), ORIGIN).hash;
}

test("xxHash64 gives the reference implementation's values", () => {
  const cases = [
    ['', 0n, 0xef46db3751d8e999n],
    ['a', 0n, 0xd24ec4f1a98c6e5bn],
    ['abc', 0n, 0x44bc2cf5ad770999n],
    ['Nobody inspects the spammish repetition', 0n, 0xfbcea83c8a378bf1n],
  ] as const;
  for (const [text, seed, wanted] of cases) assert.equal(xxHash64(text, seed), wanted, text);
});

function shares(table: HashTable, count: number): number[] {
  const found = Array.from({ length: count }, () => 0);
  for (let serial = 0; serial < 20_000; serial++) {
    const index = table.lookup(xxHash64(`request ${serial}`), 0);
    found[index] = (found[index] as number) + 1 / 20_000;
  }
  return found;
}

const KINDS = [
  ['ring', (targets: Parameters<typeof buildHashRing>[0]) => buildHashRing(targets, 4096, 8_388_608)],
  ['maglev', (targets: Parameters<typeof buildMaglevTable>[0]) => buildMaglevTable(targets, 65_537)],
] as const;

for (const [kind, build] of KINDS) {
  test(`${kind}: targets get their shares, and a target that leaves takes only its own hashes along`, () => {
    const before = build([0.5, 0.25, 0.25].map((share, index) => ({ key: `10.0.0.${index}:80`, share })));
    for (const [index, share] of shares(before, 3).entries()) {
      assert.ok(Math.abs(share - ([0.5, 0.25, 0.25][index] as number)) < 0.05, `${index}: ${share}`);
    }
    const equal = (count: number) => Array.from({ length: count }, (_, at) => ({ key: `h${at}`, share: 1 / count }));
    const [four, three] = [build(equal(4)), build(equal(3))];
    let moved = 0;
    for (let serial = 0; serial < 5000; serial++) {
      const goesBy = xxHash64(`request ${serial}`);
      const [was, is] = [four.lookup(goesBy, 0), three.lookup(goesBy, 0)];
      if (was !== 3 && was !== is) moved += 1;
    }
    assert.ok(moved < 900, `${moved} of 5000 requests moved though their host stayed`);
  });

  test(`${kind}: another attempt comes to another target in the end`, () => {
    const table = build(Array.from({ length: 3 }, (_, at) => ({ key: `h${at}`, share: 1 / 3 })));
    const found = new Set(Array.from({ length: 50 }, (_, attempt) => table.lookup(42n, attempt)));
    assert.equal(found.size, 3);
  });
}

test('a hash is made of what the policy names, and of nothing where that is missing', () => {
  const header = { kind: 'header', name: 'x-user', terminal: false } as const;
  const query = { kind: 'query', name: 'user', terminal: false } as const;
  assert.equal(hash([header], { headers: headerMapOf([['x-user', 'jason']]) }), xxHash64('jason'));
  assert.equal(hash([header]), undefined);
  assert.equal(hash([query], { path: '/p?a=b&user=jason#x' }), xxHash64('jason'));
  assert.equal(hash([query], { path: '/p?superuser=jason' }), undefined);
  assert.equal(hash([{ kind: 'source_ip', terminal: false }]), xxHash64('10.0.0.1'));
  const repeated = (...values: string[]) => headerMapOf(values.map((value) => ['x-user', value]));
  assert.equal(hash([header], { headers: repeated('a', 'b') }), hash([header], { headers: repeated('b', 'a') }));
});

test('policies combine, equal ones do not cancel each other out, and a terminal one ends the list', () => {
  const address = { kind: 'source_ip', terminal: false } as const;
  const once = hash([address]) as bigint;
  assert.equal(hash([address, address]), BigInt.asUintN(64, (once << 1n) | (once >> 63n)) ^ once);
  assert.equal(hash([{ ...address, terminal: true }, address]), once);
});

test('a client without the cookie gets one that leads to the same hash; one with it gets none', () => {
  const first = hashRequest([COOKIE], request(), ORIGIN);
  assert.match(first.setCookies.join(), /^c="[0-9a-f]{16}"; Max-Age=60; Path=\/; HttpOnly$/);
  const cookie = `other=1; ${first.setCookies.join().split(';')[0]}`;
  const second = hashRequest([COOKIE], request({ headers: headerMapOf([['cookie', cookie]]) }), ORIGIN);
  assert.deepEqual(second, { hash: first.hash, setCookies: [] });
  const session = { ...COOKIE, ttlMs: 0, path: '', attributes: [{ name: 'SameSite', value: 'Strict' }] };
  assert.match(hashRequest([session], request(), ORIGIN).setCookies.join(), /^c="\w+"; SameSite=Strict; HttpOnly$/);
  assert.deepEqual(hashRequest([{ ...COOKIE, ttlMs: undefined }], request(), ORIGIN).setCookies, []);
});
