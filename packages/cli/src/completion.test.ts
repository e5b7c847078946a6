import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { type CompletionFlags, type CompletionSource, completeLine } from './completion.ts';

function sample(): Command {
  const program = new Command('meltemi').option('--cluster <name>', 'the cluster').option('-n, --namespace <name>', '');
  program
    .command('get')
    .argument('<what...>')
    .option('-o, --output <format>', 'table, wide, json, yaml or name')
    .option('-w, --watch', 'go on');
  program.command('exec').argument('<target>').option('-c, --container <name>', 'the container');
  const group = program.command('proxy-config').alias('pc');
  group.command('cluster').argument('<target>');
  group.command('log').argument('<target>').option('--level <levels>', 'levels');
  program.command('__complete', { hidden: true });
  return program;
}

/** Answers from a fixed cluster, and keeps the flags it was asked with. */
function fixedSource(asked: CompletionFlags[] = []): CompletionSource {
  const answer =
    (words: readonly string[]) =>
    (flags: CompletionFlags): Promise<readonly string[]> => {
      asked.push(flags);
      return Promise.resolve(words);
    };
  return {
    clusters: answer(['cluster1', 'cluster2']),
    namespaces: answer(['app1', 'istio-system']),
    kinds: answer(['pods', 'services', 'virtualservices']),
    names: (kind, flags) => answer(kind.startsWith('deploy') ? ['sleep'] : [`${kind}-a`, `${kind}-b`])(flags),
    containers: (target, flags) => answer(target === 'deploy/sleep' ? ['sleep', 'istio-proxy'] : [])(flags),
  };
}

for (const [line, expected] of [
  ['meltemi ', ['exec', 'get', 'proxy-config']],
  ['meltemi ge', ['get']],
  ['meltemi get ', ['pods', 'services', 'virtualservices']],
  ['meltemi get pods,s', ['pods,services']],
  ['meltemi get pods ', ['pods-a', 'pods-b']],
  ['meltemi get pods pods-a ', ['pods-b']],
  ['meltemi get pod/', ['pod/pod-a', 'pod/pod-b']],
  ['meltemi get -n ', ['app1', 'istio-system']],
  ['meltemi get --namespace=i', ['--namespace=istio-system']],
  ['meltemi get -w -o j', ['json']],
  ['meltemi get --out', ['--output']],
  ['meltemi get -n app1 po', ['pods']],
  ['meltemi --cluster ', ['cluster1', 'cluster2']],
  ['meltemi exec ', ['deploy/sleep', 'pods-a', 'pods-b']],
  ['meltemi exec deploy/', ['deploy/sleep']],
  ['meltemi exec deploy/sleep -c ', ['istio-proxy', 'sleep']],
  ['meltemi exec deploy/sleep -- ', []],
  ['meltemi pc ', ['cluster', 'log']],
  ['meltemi proxy-config cluster d', ['deploy/sleep']],
  ['meltemi proxy-config log deploy/sleep --level w', ['warning']],
  ['meltemi unknown ', ['exec', 'get', 'proxy-config']],
] as const) {
  test(`"${line}" is completed with ${expected.length === 0 ? 'nothing' : expected.join(', ')}`, async () => {
    assert.deepEqual(await completeLine(sample(), line, fixedSource()), expected);
  });
}

test('names are asked for with the flags of the line', async () => {
  const asked: CompletionFlags[] = [];
  await completeLine(sample(), 'meltemi --cluster=cluster2 get -n app1 services ', fixedSource(asked));
  assert.deepEqual(asked, [{ cluster: 'cluster2', namespace: 'app1' }]);
});
