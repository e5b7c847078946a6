import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { REPOSITORY_ROOT, runCommand, startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
/** Long enough for a change of a file to be seen and applied. */
const SEEN_MS = 10_000;

interface Finding {
  readonly level: string;
  readonly check: string;
  readonly subject: string;
  readonly message: string;
  readonly remedy?: string;
}

describe('The command line', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  let listed: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-cli-'));
    listed = join(files, 'listed.yaml');
    writeFileSync(listed, '# nothing yet\n');
    mesh = await startWalkthrough({
      flags: ['--log-level', 'duties:debug'],
      edit: (text) =>
        text.replace(/( {6}- \{ file: [^\n]*version=v1 \}\n)/, `$1      - { file: ${listed}, namespace: app1 }\n`),
    });
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const configMap = (name: string, value: string): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  key: ${value}\n`;
  /** Starts a command that goes on until it is interrupted. */
  const follow = (args: readonly string[]): { output(): string } & AsyncDisposable => {
    const child = spawn(join(REPOSITORY_ROOT, 'meltemi'), [...args], {
      cwd: REPOSITORY_ROOT,
      env: { ...process.env, MELTEMI_DIR: mesh.directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    return {
      output: () => output,
      async [Symbol.asyncDispose]() {
        child.kill('SIGINT');
        assert.equal(await ended, 0, 'Ctrl-C is how a watch ends');
      },
    };
  };

  describe('precheck', () => {
    const precheck = async (
      ...args: readonly string[]
    ): Promise<{ readonly code: number; readonly findings: readonly Finding[] }> => {
      const result = await mesh.meltemi(['precheck', '-o', 'json', ...args]);
      return { code: result.code, findings: JSON.parse(result.stdout) as readonly Finding[] };
    };

    test('finds nothing wrong with the walkthrough, and says what it has looked at', async () => {
      const { code, findings } = await precheck();
      assert.equal(code, 0);
      assert.deepEqual(
        findings.filter(({ level }) => level === 'error'),
        [],
      );
      const passed = new Set(findings.filter(({ level }) => level === 'pass').map(({ check }) => check));
      for (const check of [
        'sandbox',
        'mesh-file',
        'reachable',
        'clock',
        'credentials',
        'cidr-overlap',
        'shared-root',
        'intermediate',
        'cluster-names',
        'remote-secret',
        'reader-permissions',
        'service-ports',
      ])
        assert.ok(passed.has(check), check);
    });

    test('names remote secrets that cannot be used and names that are taken, with remedies, and ends with 79', async () => {
      const kubeconfig =
        'current-context: a\nclusters: [{name: a, cluster: {server: "https://10.12.0.1:6443"}}]\nusers: [{name: a, user: {exec: {command: touch}}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n';
      const secret = `apiVersion: v1\nkind: Secret\nmetadata:\n  name: wrong\n  namespace: istio-system\n  labels:\n    istio/multiCluster: "true"\nstringData:\n  cluster2: ${JSON.stringify(kubeconfig)}\n`;
      await succeed(['apply', '-f', '-'], secret);
      try {
        const { code, findings } = await precheck();
        assert.equal(code, 79);
        const errors = findings.filter(({ level }) => level === 'error');
        assert.deepEqual(errors.map(({ check }) => check).sort(), ['cluster-names', 'remote-secret']);
        assert.ok(errors.every(({ remedy }) => remedy !== undefined));
        assert.match(errors.map(({ message }) => message).join('\n'), /exec/);
        assert.equal((await precheck('--threshold', 'none')).code, 0);
        const text = await mesh.meltemi(['precheck']);
        assert.match(text.stdout, /^FAIL {2}cluster1 +"cluster2" names two clusters: .*\n +→ Give every cluster/m);
      } finally {
        await succeed(['delete', 'secret', 'wrong', '-n', 'istio-system']);
      }
    });

    test('names a service whose ports differ between clusters', async () => {
      const service = (port: number): string =>
        `apiVersion: v1\nkind: Service\nmetadata:\n  name: uneven\nspec:\n  ports:\n    - port: ${port}\n      name: http\n`;
      await succeed(['apply', '-n', 'app1', '-f', '-'], service(80));
      await succeed(['apply', '-n', 'app1', '--cluster', 'cluster2', '-f', '-'], service(81));
      const { code, findings } = await precheck('--threshold', 'warning');
      assert.equal(code, 79);
      assert.match(
        findings.find(({ check }) => check === 'service-ports')?.message ?? '',
        /app1\/uneven has different ports: 80\/TCP http in cluster1; 81\/TCP http in cluster2/,
      );
      await succeed(['delete', '-n', 'app1', 'service', 'uneven']);
      await succeed(['delete', '-n', 'app1', '--cluster', 'cluster2', 'service', 'uneven']);
    });
  });

  describe('a file that mesh.yaml lists', () => {
    /** Saves as editors do: a new file takes the place of the old one. */
    const save = (text: string): void => {
      writeFileSync(`${listed}~`, text);
      renameSync(`${listed}~`, listed);
    };

    test('is applied when it is saved; a watch shows it; what is taken out of it is deleted', async () => {
      await using table = follow(['get', 'configmaps', '-n', 'app1', '-w']);
      await using yaml = follow(['get', 'configmap', 'second', '-n', 'app1', '--watch-only', '-o', 'yaml']);
      await eventually(() => assert.match(table.output(), /^NAME +DATA +AGE\n/), SEEN_MS);
      save(`${configMap('first', 'one')}---\n${configMap('second', 'two')}`);
      await eventually(() => assert.match(table.output(), /^first +1 /m), SEEN_MS);
      await eventually(
        () => assert.match(yaml.output(), /^---\napiVersion: v1\nkind: ConfigMap\n[^]*key: two\n/),
        SEEN_MS,
      );
      await eventually(
        () => assert.match(mesh.output(), /listed\.yaml:8: ConfigMap app1\/second created in cluster1/),
        SEEN_MS,
      );
      save(configMap('first', 'changed'));
      await eventually(async () => {
        assert.match(await succeed(['get', 'configmap', 'first', '-n', 'app1', '-o', 'yaml']), /key: changed/);
        assert.equal((await mesh.meltemi(['get', 'configmap', 'second', '-n', 'app1'])).code, 1);
      }, SEEN_MS);
    });

    test('is named with the line of its fault, and the last good objects stay', async () => {
      writeFileSync(listed, `${configMap('first', 'good')}---\napiVersion: v1\nkind: [\n`);
      await eventually(() => assert.match(mesh.output(), /Error: Cannot read \S*listed\.yaml:\d+:\d+: /), SEEN_MS);
      writeFileSync(
        listed,
        'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: first\nspec:\n  hostz: [helloworld]\n',
      );
      await eventually(
        () => assert.match(mesh.output(), /Error: \S*listed\.yaml:6: VirtualService first: .*spec\.hostz/),
        SEEN_MS,
      );
      assert.match(await succeed(['get', 'configmap', 'first', '-n', 'app1', '-o', 'yaml']), /key: changed/);
    });

    test('is where its objects are written: apply and delete name it, and leave them alone', async () => {
      save(`# a comment\n${configMap('first', 'mine')}`);
      await eventually(
        async () => assert.match(await succeed(['get', 'configmap', 'first', '-n', 'app1', '-o', 'yaml']), /key: mine/),
        SEEN_MS,
      );
      const applied = await mesh.meltemi(['apply', '-n', 'app1', '-f', '-'], configMap('first', 'theirs'));
      assert.equal(applied.code, 1);
      assert.match(
        applied.stderr,
        /stdin:1: ConfigMap app1\/first belongs to \S*listed\.yaml:2, which mesh\.yaml lists/,
      );
      const deleted = await mesh.meltemi(['delete', '-n', 'app1', 'configmap', 'first']);
      assert.equal(deleted.code, 1);
      assert.match(deleted.stderr, /belongs to \S*listed\.yaml:2/);
      assert.match(await succeed(['get', 'configmap', 'first', '-n', 'app1', '-o', 'yaml']), /key: mine/);
      await succeed(['apply', '-n', 'app1', '-f', listed]);
      // The same name in the other cluster is another object.
      await succeed(['apply', '-n', 'app1', '--cluster', 'cluster2', '-f', '-'], configMap('first', 'theirs'));
    });

    test('mesh.yaml itself is read at the start only, and a change of it is answered with that', async () => {
      appendFileSync(join(mesh.directory, 'mesh.yaml'), '# another line\n');
      await eventually(() => assert.match(mesh.output(), /mesh\.yaml has changed: stop with Ctrl-C/), SEEN_MS);
    });
  });

  test('describe pod shows containers, conditions, volumes and events', async () => {
    const [name = ''] = (await succeed(['get', 'pods', '-n', 'app1', '-l', 'app=sleep', '-o', 'name'])).split('\n');
    const text = await succeed(['describe', name, '-n', 'app1']);
    for (const line of [
      /^Controlled By: +ReplicaSet\/sleep-/m,
      /^Init Containers:\n {2}istio-init:/m,
      /^ {2}istio-proxy:\n {4}Image: +meltemi\/agent\n/m,
      /^ {4}State: +Running\n {6}Started: /m,
      /^ {2}Ready +True$/m,
      /^ {2}istio-token: Projected: token for istio-ca$/m,
      /^ {2}Normal +Started .*Started container istio-proxy/m,
    ])
      assert.match(text, line);
  });

  test('get events lists the oldest first', async () => {
    const events = JSON.parse(await succeed(['get', 'events', '-n', 'app1', '-o', 'json'])) as {
      readonly items: readonly { readonly lastTimestamp: string; readonly message: string }[];
    };
    const sorted = events.items.toSorted((left, right) => (left.lastTimestamp < right.lastTimestamp ? -1 : 1));
    const table = await succeed(['get', 'events', '-n', 'app1']);
    const first = table.indexOf(sorted[0]?.message ?? 'no event');
    const last = table.lastIndexOf(sorted.at(-1)?.message ?? 'no event');
    assert.ok(first >= 0 && last > first, table);
  });

  test('logs follow the sidecar, and say when there was no run before', async () => {
    await using log = follow(['logs', '-n', 'app1', 'deploy/sleep', '-c', 'istio-proxy', '-f', '--tail', '1']);
    await succeed(['exec', '-n', 'app1', 'deploy/sleep', '--', 'curl', '-s', 'helloworld.app1:5000/hello']);
    await eventually(() => assert.match(log.output(), /GET \/hello HTTP\/1\.1" 200/), SEEN_MS);
    const previous = await mesh.meltemi(['logs', '-n', 'app1', 'deploy/sleep', '-p']);
    assert.equal(previous.code, 1);
    assert.match(previous.stderr, /previous/);
  });

  test('up --log-level makes one scope talk, and no other', async () => {
    const scopes = (text: string): readonly string[] => [
      ...new Set([...text.matchAll(/ debug +(\S+) /g)].map(([, scope = '']) => scope)),
    ];
    await eventually(async () => {
      assert.deepEqual(scopes(await succeed(['logs', '-n', 'istio-system', 'deploy/istiod'])), ['duties']);
    }, SEEN_MS);
    const wrong = await mesh.meltemi(['up', '--walkthrough', '--log-level', 'duties:loud']);
    assert.equal(wrong.code, 64);
    assert.match(wrong.stderr, /log level "duties:loud"; write a level \(debug, info, warn, error\) or scope:level/);
  });

  test('proxy-config log shows and sets the levels of a sidecar', async () => {
    assert.match(await succeed(['proxy-config', 'log', '-n', 'app1', 'deploy/sleep']), /^active loggers:\n/);
    const set = await succeed(['proxy-config', 'log', '-n', 'app1', 'deploy/sleep', '--level', 'xds:debug']);
    assert.match(set, /^ {2}xds: debug$/m);
    const wrong = await mesh.meltemi(['proxy-config', 'log', '-n', 'app1', 'deploy/sleep', '--level', 'xds:loud']);
    assert.equal(wrong.code, 64);
    assert.match(wrong.stderr, /"xds:loud" is no level; write one of trace, debug/);
  });

  test('bash completes commands, flags, kinds, names, namespaces and values of the running cluster', async () => {
    const complete = async (line: string): Promise<readonly string[]> => {
      const script = `source <(./meltemi completion bash)
COMP_LINE=$1 COMP_POINT=\${#1}
read -ra COMP_WORDS <<< "$1"
_meltemi
printf '%s\\n' "\${COMPREPLY[@]}"`;
      const result = await runCommand('bash', ['--norc', '-c', script, 'bash', line], {
        env: { ...process.env, MELTEMI_DIR: mesh.directory },
      });
      assert.equal(result.code, 0, result.stderr);
      return result.stdout.split('\n').filter((word) => word !== '');
    };
    assert.deepEqual(await complete('./meltemi proxy-s'), ['proxy-status']);
    assert.deepEqual(await complete('./meltemi logs --prev'), ['--previous']);
    assert.deepEqual(await complete('./meltemi get virt'), ['virtualservices']);
    assert.deepEqual(await complete('./meltemi get pods -n ap'), ['app1']);
    assert.deepEqual(await complete('./meltemi --cluster=cl'), ['cluster1', 'cluster2'], 'bash splits at =');
    assert.deepEqual(await complete('./meltemi exec -n app1 deploy/sl'), ['deploy/sleep']);
    assert.deepEqual(await complete('./meltemi logs -n app1 deploy/sleep -c istio-p'), ['istio-proxy']);
    const [pod = ''] = await complete('./meltemi describe pod -n app1 sleep-');
    assert.match(pod, /^sleep-\w+-\w+$/);
  });

  test('zsh completes the same at its prompt', async (t) => {
    if ((await runCommand('sh', ['-c', 'command -v zsh'])).code !== 0) {
      t.skip('zsh is missing; install it');
      return;
    }
    // A shell in a terminal of its own: `^X` shows the line as it stands after the keys before it.
    const script = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= TERM=dumb; autoload -Uz compinit; compinit -D -u; source <(./meltemi completion zsh)'
zpty -w shell 'show() { print -r -- "<$BUFFER>"; zle kill-whole-line }; zle -N show; bindkey "^X" show; echo rea""dy'
zpty -r shell output '*ready*'
for line in "$@"; do
  zpty -w -n shell "$line"$'\\t\\x18'
  zpty -r shell output '*>*'
  print -r -- "\${\${output##*<}%%>*}"
done`;
    const lines = new Map([
      ['./meltemi proxy-s', './meltemi proxy-status'],
      ['./meltemi logs --prev', './meltemi logs --previous'],
      ['./meltemi get virt', './meltemi get virtualservices'],
      ['./meltemi get pods -n ap', './meltemi get pods -n app1'],
      ['./meltemi --cluster=cl', './meltemi --cluster=cluster'],
      ['./meltemi exec -n app1 deploy/sl', './meltemi exec -n app1 deploy/sleep'],
      ['./meltemi apply -f examples/helloworld/desti', './meltemi apply -f examples/helloworld/destinationrule.yaml'],
    ]);
    const result = await runCommand('zsh', ['-f', '-c', script, 'zsh', ...lines.keys()], {
      env: { ...process.env, MELTEMI_DIR: mesh.directory },
    });
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(
      result.stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.trimEnd()),
      [...lines.values()],
    );
  });

  test('analyze finds faults in files and what the live mesh lacks', async () => {
    const file = join(files, 'analysed.yaml');
    const text = readFileSync(join(REPOSITORY_ROOT, 'examples/helloworld/virtualservice.yaml'), 'utf8');
    writeFileSync(file, text.replace('subset: v2', 'subset: v9'));
    const missing = await mesh.meltemi(['analyze', '-n', 'app1', '--threshold', 'warning', file]);
    assert.equal(missing.code, 79, missing.stderr);
    assert.match(
      missing.stdout,
      /^Warning \[IST0101\] \(VirtualService app1\/helloworld \S*analysed\.yaml:\d+\) .*v9/m,
    );
    assert.equal((await mesh.meltemi(['analyze', '-n', 'app1', file])).code, 0, 'a warning is below the threshold');
    writeFileSync(file, text.replace('hosts:', 'hostz:'));
    const wrong = await mesh.meltemi(['analyze', '-n', 'app1', file]);
    assert.equal(wrong.code, 79);
    assert.match(
      wrong.stdout,
      /^Error \[IST0106\] \(VirtualService app1\/helloworld \S*analysed\.yaml:\d+\) spec\.hostz/m,
    );
    const clean = await mesh.meltemi(['analyze', '-A']);
    assert.equal(clean.code, 0, clean.stdout);
  });
});
