import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ManifestObject } from '@meltemi/control-plane';
import type { CommandContext } from '../session.ts';
import type { InstallFlags } from './install-flags.ts';
import { plannedObjects } from './install-plan.ts';
import { readPlan } from './read-plan.ts';

const folder = mkdtempSync(join(tmpdir(), 'meltemi-plan-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

interface ReadPlan {
  readonly objects: readonly ManifestObject[];
  readonly kinds: readonly string[];
  readonly warnings: string;
}

async function read(flags: InstallFlags): Promise<ReadPlan> {
  let warnings = '';
  const terminal = { err: (text: string) => void (warnings += text), colour: false };
  const plan = await readPlan({ terminal } as unknown as CommandContext, flags);
  const objects = plannedObjects(plan);
  return { objects, kinds: objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`), warnings };
}

test('files that are no IstioOperator are refused, naming file and fault', async () => {
  const broken = write('broken.yaml', 'a: [1\n');
  await assert.rejects(
    read({ filename: [broken] }),
    /^CommandError: Cannot read .*broken\.yaml: Flow sequence .* at line 2, column 1$|Flow sequence/,
  );
  await assert.rejects(read({ filename: [write('pod.yaml', 'kind: Pod\n')] }), /pod\.yaml: it is no IstioOperator/);
  await assert.rejects(
    read({ filename: [write('two.yaml', 'a: 1\n---\nb: 1\n')] }),
    /it needs one document, and has 2/,
  );
  await assert.rejects(read({ filename: [join(folder, 'absent.yaml')] }), /absent\.yaml: ENOENT/);
  const operator = write('field.yaml', 'kind: IstioOperator\nspec: { componets: {} }\n');
  await assert.rejects(read({ filename: [operator] }), /field\.yaml: spec\.componets: .*did you mean components\?/);
});

test('values of old charts lie below files and --set, and bring their own objects', async () => {
  const legacyValues = write('legacy.yaml', 'global: { mtls: { enabled: true } }\nmixer: { enabled: true }\n');
  const { kinds, warnings } = await read({ legacyValues, set: ['values.pilot.autoscaleEnabled=false'] });
  assert.ok(kinds.includes('PeerAuthentication default'));
  assert.ok(kinds.includes('DestinationRule default'));
  assert.ok(kinds.includes('Deployment istiod'));
  assert.ok(!kinds.includes('HorizontalPodAutoscaler istiod'));
  assert.match(warnings, /Warning: mixer: has no equivalent/);
});

test("objects of old values go to the plan's namespace, whichever source names it", async () => {
  const legacyValues = write('mtls.yaml', 'global: { mtls: { enabled: true } }\n');
  const operator = write('mesh.yaml', 'kind: IstioOperator\nspec: { namespace: mesh }\n');
  for (const flags of [{ filename: [operator] }, { set: ['namespace=mesh'] }, { namespace: 'mesh' }]) {
    const { objects } = await read({ legacyValues, ...flags });
    const peer = objects.find(({ kind }) => kind === 'PeerAuthentication');
    assert.equal(peer?.metadata.namespace, 'mesh');
  }
});
