import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type AuthorityPair, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { issueClientCertificate, readSigningPair } from './client-certificates.ts';
import { type CommandResult, countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

interface PodFacts {
  readonly name: string;
  readonly ip: string;
}

describe('Security of the walkthrough', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-security-'));
    mesh = await startWalkthrough();
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
  const podsOf = async (app: string, cluster = 'cluster1'): Promise<PodFacts[]> => {
    const list = JSON.parse(
      await succeed(['get', 'pods', '-n', 'app1', '-l', `version=${app}`, '--cluster', cluster, '-o', 'json']),
    ) as {
      readonly items: { readonly metadata: { readonly name: string }; readonly status: { readonly podIP: string } }[];
    };
    return list.items.map(({ metadata, status }) => ({ name: metadata.name, ip: status.podIP }));
  };
  const onlyPod = async (version: string): Promise<PodFacts> => (await podsOf(version))[0] as PodFacts;
  /** A TLS client in the network between the clusters; what `input` holds is sent over the connection. */
  const tlsClient = (address: string, more: readonly string[], input = ''): Promise<CommandResult> =>
    mesh.outside([
      'sh',
      '-c',
      `printf '${input}' | timeout 3 openssl s_client -connect ${address} -alpn istio -showcerts ${more.join(' ')} 2>&1`,
    ]);

  test('the serial that proxy-config shows is the one on the wire, and openssl verifies the chain to the shared root', async () => {
    const { ip } = await onlyPod('v1');
    const row = (await succeed(['proxy-config', 'secret', '-n', 'app1', 'deploy/helloworld-v1']))
      .split('\n')
      .find((line) => line.startsWith('default'));
    const serial = /ACTIVE\s+([0-9a-f]+)/.exec(row ?? '')?.[1];
    assert.ok(serial !== undefined, row);
    const { stdout } = await tlsClient(`${ip}:5000`, []);
    const chain = stdout.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
    assert.ok(chain.length >= 2, `a leaf and an intermediate: ${stdout}`);
    assert.equal(new X509Certificate(chain[0] as string).serialNumber.toLowerCase(), serial);
    assert.equal(
      new X509Certificate(chain[0] as string).subjectAltName,
      'URI:spiffe://cluster.local/ns/app1/sa/default',
    );
    writeFileSync(join(files, 'leaf.pem'), chain[0] as string);
    writeFileSync(join(files, 'intermediates.pem'), chain.slice(1).join('\n'));
    const verified = await mesh.outside([
      'openssl',
      'verify',
      '-CAfile',
      join(mesh.directory, '.meltemi/mesh-root/root-cert.pem'),
      '-untrusted',
      join(files, 'intermediates.pem'),
      join(files, 'leaf.pem'),
    ]);
    assert.equal(verified.stdout, `${join(files, 'leaf.pem')}: OK\n`, verified.stderr);
  });

  test('under STRICT a plaintext request from outside the mesh is reset, and the mesh goes on', async () => {
    const { ip } = await onlyPod('v1');
    const plain = (): Promise<CommandResult> => mesh.outside(['curl', '-s', '-m', '5', `http://${ip}:5000/hello`]);
    assert.match((await plain()).stdout, /^Hello version: v1/, 'PERMISSIVE takes plaintext');
    const strict =
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\n  namespace: app1\nspec:\n  mtls:\n    mode: STRICT\n';
    await succeed(['apply', '-f', '-'], strict);
    const refused = await plain();
    assert.equal(refused.stdout, '');
    assert.equal(refused.code, 56, `curl is told of a reset: ${refused.code} ${refused.stderr}`);
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()].sort(), ['v1', 'v2']);
    await succeed(['delete', '-f', '-'], strict);
    assert.match((await plain()).stdout, /^Hello version: v1/);
  });

  test('a client certificate of a foreign authority with the right SPIFFE URI gets no answer', async () => {
    const { ip } = await onlyPod('v1');
    const request = 'GET /hello HTTP/1.1\\r\\nhost: helloworld\\r\\nconnection: close\\r\\n\\r\\n';
    const askAs = async (name: string, authority: AuthorityPair): Promise<string> => {
      const spiffeId = 'spiffe://cluster.local/ns/app1/sa/sleep';
      const certificate = issueClientCertificate({ directory: files, name, authority, spiffeId });
      return (await tlsClient(`${ip}:5000`, [...certificate, '-quiet'], request)).stdout;
    };
    const secret = JSON.parse(await succeed(['get', 'secret', 'cacerts', '-n', 'istio-system', '-o', 'json'])) as {
      readonly data: Readonly<Record<string, string>>;
    };
    const own = readSigningPair(secret.data);
    assert.match(
      await askAs('own', own),
      /Hello version: v1/,
      "the same name under the mesh's own authority is answered",
    );
    const foreign = createRootCertificateAuthority({
      organization: 'Meltemi',
      commonName: 'Root CA',
      lifetimeMs: 3_600_000,
      nowMs: Date.now(),
    });
    assert.doesNotMatch(await askAs('foreign', foreign), /Hello version|HTTP\/1/);
    const anonymous = await tlsClient(`${ip}:5000`, ['-quiet'], request);
    assert.doesNotMatch(anonymous.stdout, /Hello version|HTTP\/1/);
  });

  test('a capture of the leg between the sidecars of both clusters holds no answer in the clear', async () => {
    const capture = join(files, 'leg.pcap');
    const sniffing = mesh.outside([
      'timeout',
      '-s',
      'INT',
      '6',
      'tcpdump',
      '-i',
      'any',
      '-U',
      '-s',
      '0',
      '-w',
      capture,
      'tcp port 5000',
    ]);
    await eventually(() => readFileSync(capture).length >= 24, 5_000);
    await succeed([
      'apply',
      '-n',
      'app1',
      '-f',
      'examples/helloworld/virtualservice.yaml',
      '-f',
      'examples/helloworld/destinationrule.yaml',
    ]);
    assert.deepEqual([...(await countVersions(mesh, 20))], [['v2', 20]]);
    await succeed([
      'delete',
      '-n',
      'app1',
      '-f',
      'examples/helloworld/virtualservice.yaml',
      '-f',
      'examples/helloworld/destinationrule.yaml',
    ]);
    await sniffing;
    const bytes = readFileSync(capture);
    assert.ok(bytes.length > 5_000, `the capture saw the leg: ${bytes.length} bytes`);
    assert.equal(bytes.includes('Hello version'), false);
    assert.equal(bytes.includes('GET /hello'), false);
  });

  test('without its sidecar a pod cannot be reached', async () => {
    const { name, ip } = await onlyPod('v1');
    const ask = (): Promise<CommandResult> => mesh.outside(['curl', '-s', '-m', '1', `http://${ip}:5000/hello`]);
    assert.equal((await ask()).code, 0);
    const pids = (await mesh.outside(['pgrep', '-f', 'packages/agent/src/main.ts proxy sidecar'])).stdout
      .trim()
      .split('\n');
    const own = await Promise.all(
      pids.map(async (pid) =>
        (await mesh.outside(['nsenter', '-t', pid, '-u', 'hostname'])).stdout.trim() === name ? [pid] : [],
      ),
    );
    const sidecar = own.flat();
    assert.ok(sidecar.length > 0, `the sidecar of ${name} among ${pids.join(', ')}`);
    await mesh.outside(['kill', '-STOP', ...sidecar]);
    const silent = await ask();
    assert.equal(silent.code, 28, 'a stopped sidecar lets nothing through');
    await mesh.outside(['kill', '-KILL', ...sidecar]);
    const dead = await ask();
    assert.notEqual(dead.code, 0, `a dead sidecar lets nothing through: ${dead.stdout}`);
    await eventually(async () => assert.equal((await ask()).code, 0), 20_000);
  });

  test('two pods with an application on the same port each get only their own requests', async () => {
    const scaled = await mesh.kubectl(['scale', '-n', 'app1', 'deployment/helloworld-v1', '--replicas=2']);
    assert.equal(scaled.code, 0, scaled.stderr);
    const rolled = await mesh.kubectl(['rollout', 'status', '-n', 'app1', 'deployment/helloworld-v1', '--timeout=30s']);
    assert.equal(rolled.code, 0, rolled.stderr);
    const pods = await podsOf('v1');
    assert.equal(pods.length, 2);
    for (const { name, ip } of pods) {
      for (let call = 0; call < 10; call++) {
        assert.equal(
          (await mesh.outside(['curl', '-s', '-m', '5', `http://${ip}:5000/hello`])).stdout,
          `Hello version: v1, instance: ${name}\n`,
        );
      }
    }
    assert.equal((await mesh.kubectl(['scale', '-n', 'app1', 'deployment/helloworld-v1', '--replicas=1'])).code, 0);
  });
});
