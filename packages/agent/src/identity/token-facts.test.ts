import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeTokenFile } from './token-facts.ts';

test('a refused token is described by audience and end, and is not repeated', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-token-'));
  try {
    const path = join(directory, 'istio-token');
    assert.equal(await describeTokenFile(path), `${path} (gone)`);
    const describe = (content: string): Promise<string> => {
      writeFileSync(path, content);
      return describeTokenFile(path);
    };
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = await describe(`${part({ alg: 'ES256' })}.${part({ aud: ['a', 'b'], exp: 0 })}.secret\n`);
    assert.equal(text, `${path} (audience a, b, ends 1970-01-01T00:00:00.000Z)`);
    assert.equal(await describe(`x.${part({ aud: 'c' })}.y`), `${path} (audience c, ends never)`);
    assert.equal(await describe(`x.${part({ exp: 1e300 })}.y`), `${path} (audience none, ends never)`);
    for (const broken of ['', 'secret', `x.${part(null)}.y`]) {
      assert.equal(await describe(broken), `${path} (not a JWT)`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
