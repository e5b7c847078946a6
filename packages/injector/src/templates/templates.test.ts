import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '@meltemi/kube';
import {
  admit,
  containerOf,
  envOf,
  inject,
  POD,
  proxyOf,
  refusal,
  withAnnotations,
  withSpec,
} from '../testing/pods.ts';
import { readTemplates } from './read-templates.ts';
import type { TemplateSet } from './template-set.ts';

function templatesOf(config: unknown): { readonly templates: TemplateSet } {
  const templates = readTemplates(config);
  assert.ok(templates.ok, templates.ok ? '' : templates.error);
  return { templates: templates.value };
}

function named(names: string, pod: Pod = POD): Pod {
  return withAnnotations({ 'inject.istio.io/templates': names }, pod);
}

const LABELLED = `
metadata:
  labels:
    owner: {{ .DeploymentMeta.Name | quote }}
  annotations: { first: "{{ index .ObjectMeta.Labels \`app\` }}" }
spec:
  containers:
  - name: istio-proxy
    env:
    - name: EXTRA
      value: "{{ range $i, $c := .Spec.Containers }}{{ if $i }},{{ end }}{{ $c.Name }}{{ end }}"
  volumes:
  - name: scratch
    emptyDir: {}
`;

test('templates that a pod names are merged over it in order', () => {
  const config = templatesOf({
    templates: { labels: LABELLED, late: 'metadata: { labels: { owner: late } }' },
  });
  const pod = inject(named('sidecar, labels'), config);
  assert.equal(pod.metadata.labels?.['owner'], 'helloworld-v1');
  assert.equal(pod.metadata.annotations?.['first'], 'helloworld');
  const env = envOf(proxyOf(pod));
  assert.equal(env.get('EXTRA'), 'helloworld');
  assert.equal(env.get('POD_NAME'), 'metadata.name', 'what the first template said of the container stays');
  assert.ok(pod.spec.volumes?.some(({ name }) => name === 'scratch'));
  assert.equal(inject(named('sidecar,labels,late'), config).metadata.labels?.['owner'], 'late');
  assert.equal(inject(named('late,labels'), config).metadata.labels?.['owner'], 'helloworld-v1');
  assert.deepEqual(inject(pod, config), pod);
});

test('templates speak of the sidecar among the containers also where it is a native one, before and after it', () => {
  const native = withAnnotations({ 'sidecar.istio.io/nativeSidecar': 'true' });
  const config = templatesOf({ templates: { labels: LABELLED } });
  for (const names of ['sidecar,labels', 'labels,sidecar']) {
    for (const pod of [native, withAnnotations({ 'sidecar.istio.io/nativeSidecar': 'true' }, withOwn())]) {
      const injected = inject(named(names, pod), config);
      assert.deepEqual(
        injected.spec.containers.map(({ name }) => name),
        ['helloworld'],
        names,
      );
      assert.deepEqual(
        injected.spec.initContainers?.map(({ name }) => name),
        ['istio-init', 'istio-proxy', 'migrate'],
      );
      const env = envOf(proxyOf(injected));
      assert.deepEqual([env.has('EXTRA'), env.get('POD_NAME')], [true, 'metadata.name']);
      assert.equal(proxyOf(injected).restartPolicy, 'Always');
      assert.deepEqual(inject(injected, config), injected, names);
    }
  }
});

test('aliases stand for templates, and defaults are for pods that name none', () => {
  const config = templatesOf({
    templates: { labels: 'metadata: { labels: { extra: "1" } }' },
    aliases: { both: ['sidecar', 'labels'] },
    defaultTemplates: ['both'],
  });
  const pod = inject(POD, config);
  assert.equal(pod.metadata.labels?.['extra'], '1');
  assert.ok(proxyOf(pod));
  assert.equal(inject(named('sidecar'), config).metadata.labels?.['extra'], undefined);
});

test('a name without a template refuses the pod, with the names that there are', () => {
  assert.match(
    refusal(named('sidcar')),
    /no template "sidcar"; known: gateway, grpc-agent, grpc-simple, sidecar; did you mean "sidecar"\?/,
  );
  // Templates of Istio for what a control plane of ours does not create.
  for (const name of ['waypoint', 'kube-gateway']) {
    const known = `there is no template "${name}"; known: gateway, grpc-agent, grpc-simple, sidecar`;
    assert.ok(refusal(named(name)).includes(known), name);
    assert.ok(refusal(named(`sidecar,${name}`)).includes(known), name);
  }
});

test('a template by the name of a built-in one takes its place', () => {
  const config = templatesOf({
    templates: { sidecar: 'spec: { containers: [{ name: only, image: "{{ .ProxyImage }}" }] }' },
  });
  const pod = inject(POD, config);
  assert.deepEqual(
    pod.spec.containers.map(({ name }) => name),
    ['helloworld', 'only'],
  );
  assert.equal(pod.spec.containers[0]?.readinessProbe?.httpGet?.port, 'web', 'without a sidecar nobody answers probes');
  assert.deepEqual(inject(pod, config), pod);
});

test('templates see what templates of Istio see', () => {
  const source = `
metadata:
  annotations:
    types: {{ printf "%s/%s %s/%s" .TypeMeta.APIVersion .TypeMeta.Kind .DeploymentMeta.Namespace .DeploymentMeta.Name | quote }}
    ports: {{ includeInboundPorts .Spec.Containers | quote }}
    account: {{ .Spec.ServiceAccountName | default "none" | quote }}
    mode: {{ annotation .ObjectMeta \`sidecar.istio.io/interceptionMode\` .ProxyConfig.InterceptionMode | quote }}
    string: {{ .ProxyConfig.InterceptionMode.String | quote }}
    hold: {{ .ProxyConfig.HoldApplicationUntilProxyStarts.GetValue | quote }}
    concurrency: {{ .ProxyConfig.Concurrency.GetValue | quote }}
    metadata: {{ index .ProxyConfig.ProxyMetadata "A" | quote }}
    domain: {{ .MeshConfig.TrustDomain | quote }}
    values: {{ .Values.global.hub | quote }}
    fallback: {{ .Values.global.proxy.clusterDomain | quote }}
    excluded: {{ excludeInboundPort (annotation .ObjectMeta \`status.sidecar.istio.io/port\` .Values.global.proxy.statusPort) "22" | quote }}
    port: {{ range .Spec.Containers }}{{ range .Ports }}{{ structToJSON . | quote }}{{ end }}{{ end }}
    native: {{ .NativeSidecars | quote }}
    multus: {{ appendMultusNetwork "a" "istio-cni" | quote }}
    uid: {{ .ProxyUID | quote }}
    isset: {{ isset .ObjectMeta.Labels "app" | quote }}
    resources: |
      {{ toYaml .Values.global.proxy.resources | indent 6 }}
`;
  const config = {
    ...templatesOf({ templates: { show: source } }),
    proxyConfig: { proxyMetadata: { A: 'b' }, concurrency: 3, interceptionMode: 'TPROXY' },
    meshConfig: { trustDomain: 'mesh.example' },
    values: { global: { hub: 'hub.example' } },
  };
  const { annotations = {} } = inject(named('show'), config).metadata;
  assert.deepEqual(Object.fromEntries(Object.entries(annotations).filter(([name]) => !name.includes('/'))), {
    types: 'apps/v1/Deployment app1/helloworld-v1',
    ports: '5000',
    account: 'none',
    mode: 'TPROXY',
    string: 'TPROXY',
    hold: 'false',
    concurrency: '3',
    metadata: 'b',
    domain: 'mesh.example',
    values: 'hub.example',
    fallback: 'cluster.local',
    excluded: '22,15020',
    port: '{"name":"web","containerPort":5000}',
    native: 'false',
    multus: 'a, istio-cni',
    uid: '1337',
    isset: 'true',
    resources: 'limits:\n  cpu: 2000m\n  memory: 1024Mi\nrequests:\n  cpu: 100m\n  memory: 128Mi\n',
  });
});

test('a template that fails refuses the pod, with template, line and action', () => {
  const table: readonly [source: string, expected: RegExp][] = [
    ['a: b\nc: {{ index .Spec.Containers 5 }}', /template t:2:7: at <index>: index out of range: 5/],
    ['{{ .Nope }}{{ .Spec.Nope }}', /template t:1:15: at <\.Spec\.Nope>: there is no field Nope/],
    ['spec: [', /template t gives text that is not YAML/],
    ['spec: { containers: { name: x } }', /template t: spec\.containers must be a list of objects with a name/],
    ['just text', /template t gives string; it must give metadata and spec/],
    ['{{ range 9999999 }}{{ end }}', /takes more than 500000 steps/],
    ...['omitNil', 'structToJSON', 'protoToJSON'].map((name): [string, RegExp] => [
      `{{ $a := list 1 }}{{ range 22 }}{{ $a = list $a $a }}{{ end }}{{ $b := ${name} $a }}`,
      /takes more than 500000 steps/,
    ]),
  ];
  for (const [source, expected] of table)
    assert.match(refusal(named('t'), templatesOf({ templates: { t: source } })), expected);
});

test('what a template changes in the values does not reach the next pod', () => {
  const source = `
    {{- $_ := set .Values.global.proxy.resources "limits" (dict "cpu" "9") }}
    {{- $_ = unset .Values.global.proxy.resources.requests "cpu" }}
    {{- $_ = set .Values.mine "late" "1" }}
    metadata: { labels: { cpu: "{{ .Values.global.proxy.resources.limits.cpu }}" } }`;
  const config = {
    ...templatesOf({ templates: { t: source } }),
    resources: { requests: { cpu: '10m' } },
    values: { mine: { early: '1' } },
  };
  const before = structuredClone([config.resources, config.values]);
  assert.equal(inject(named('sidecar,t'), config).metadata.labels?.['cpu'], '9');
  assert.deepEqual(proxyOf(inject(POD, config)).resources, { requests: { cpu: '10m' } });
  assert.deepEqual([config.resources, config.values], before);
});

test('a configuration with a template that cannot be parsed, or a name that does not exist, is not taken', () => {
  const table: readonly [config: unknown, expected: RegExp][] = [
    [{ templates: { t: '{{ if }}' } }, /template t:1:/],
    [{ templates: { t: { a: 1 } } }, /templates\.t must be text/],
    [{ defaultTemplates: ['x'] }, /no template "x"; known: gateway/],
    [{ aliases: { a: 'sidecar' } }, /aliases\.a must be a list/],
    [{ aliases: { a: ['x'] } }, /no template "x"/],
  ];
  for (const [config, expected] of table) {
    const templates = readTemplates(config);
    assert.match(templates.ok ? '' : templates.error, expected);
  }
});

test('the template gateway makes the proxy the application, on low ports and without capture', () => {
  const gateway: Pod = named('gateway', {
    ...POD,
    spec: { containers: [{ name: 'istio-proxy', image: 'auto', ports: [{ containerPort: 80 }] }] },
  });
  const pod = inject(gateway);
  const proxy = proxyOf(pod);
  assert.equal(proxy.args?.[1], 'router');
  assert.equal(proxy.image, 'meltemi/agent');
  assert.deepEqual(
    proxy.ports?.map(({ containerPort }) => containerPort),
    [80, 15_090],
  );
  assert.equal(pod.spec.initContainers, undefined);
  assert.equal(pod.metadata.labels?.['security.istio.io/tlsMode'], undefined);
  assert.deepEqual(pod.spec.securityContext?.sysctls, [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }]);
  assert.ok(proxy.readinessProbe);
  assert.deepEqual(inject(pod), pod);
});

test('the template grpc-agent gives applications an agent without proxy, and leaves probes alone', () => {
  const pod = inject(named('grpc-agent'));
  const application = containerOf(pod, 'helloworld');
  assert.equal(envOf(application).get('GRPC_XDS_BOOTSTRAP'), '/etc/istio/proxy/grpc-bootstrap.json');
  assert.ok(application.volumeMounts?.some(({ mountPath }) => mountPath === '/etc/istio/proxy'));
  assert.equal(application.readinessProbe?.httpGet?.port, 'web');
  const env = envOf(proxyOf(pod));
  assert.deepEqual([env.get('ISTIO_META_GENERATOR'), env.get('DISABLE_ENVOY')], ['grpc', 'true']);
  assert.deepEqual(
    pod.spec.initContainers?.map(({ name }) => name),
    ['migrate'],
  );
  assert.deepEqual(inject(pod), pod);
});

test('the template grpc-simple gives applications the address of discovery, and nothing else', () => {
  const config = { discoveryAddress: 'istiod-canary.istio-system.svc:15012', clusterId: 'c1' };
  const pod = inject(named('grpc-simple'), config);
  const { containers, volumes, initContainers } = pod.spec;
  assert.deepEqual([containers.length, volumes, initContainers], [1, POD.spec.volumes, POD.spec.initContainers]);
  const env = envOf(containerOf(pod, 'helloworld'));
  // Kubelets fill in variables that come before.
  assert.deepEqual(
    [...env.keys()],
    ['INSTANCE_IP', 'POD_NAME', 'POD_NAMESPACE'].map((name) => `GRPC_XDS_${name}`).concat('GRPC_XDS_BOOTSTRAP_CONFIG'),
  );
  const { xds_servers, node } = JSON.parse(env.get('GRPC_XDS_BOOTSTRAP_CONFIG') ?? '');
  assert.equal(xds_servers[0].server_uri, 'dns:///istiod-canary.istio-system.svc:15010');
  const namespace = '$(GRPC_XDS_POD_NAMESPACE)';
  assert.equal(
    node.id,
    `sidecar~$(GRPC_XDS_INSTANCE_IP)~$(GRPC_XDS_POD_NAME).${namespace}~${namespace}.svc.cluster.local`,
  );
  assert.deepEqual([node.metadata.GENERATOR, node.metadata.CLUSTER_ID], ['grpc', 'c1']);
  assert.equal(containerOf(pod, 'helloworld').readinessProbe?.httpGet?.port, 'web');
  assert.match(admit(named('grpc-simple')).warnings?.join() ?? '', /MELTEMI-UNIMPLEMENTED template grpc-simple: /);
  assert.deepEqual(inject(pod, config), pod);
});

test('the template grpc-simple leaves variables of the application alone: two sources of one are refused', () => {
  const own = { name: 'POD_NAME', value: 'own' };
  const containers = [{ name: 'helloworld', image: 'a', env: [own] }];
  const pod = inject(named('grpc-simple', withSpec({ containers })));
  const env = containerOf(pod, 'helloworld').env ?? [];
  assert.deepEqual(env[0], own);
  assert.deepEqual(
    env.filter(({ value, valueFrom }) => value !== undefined && valueFrom !== undefined),
    [],
  );
});

/** A sidecar that the pod brings itself. */
const OWN: Container = {
  name: 'istio-proxy',
  image: 'auto',
  env: [
    { name: 'MINE', value: '1' },
    { name: 'TRUST_DOMAIN', value: 'mine.example' },
  ],
  resources: { requests: { cpu: '1' } },
  ports: [{ containerPort: 9000 }],
  volumeMounts: [{ name: 'data', mountPath: '/mine' }],
  securityContext: { runAsUser: 2000, runAsGroup: 2001 },
};

function withOwn(own: Partial<Container> = {}): Pod {
  return withSpec({ containers: [{ ...OWN, ...own }, ...POD.spec.containers] });
}

test('a container istio-proxy of the pod is merged over the one of the template', () => {
  const pod = inject(withOwn());
  const proxy = proxyOf(pod);
  assert.equal(proxy.image, 'meltemi/agent');
  assert.deepEqual(proxy.resources, {
    requests: { cpu: '1', memory: '128Mi' },
    limits: { cpu: '2000m', memory: '1024Mi' },
  });
  const env = envOf(proxy);
  assert.deepEqual(
    [env.get('MINE'), env.get('TRUST_DOMAIN'), env.get('POD_NAME')],
    ['1', 'mine.example', 'metadata.name'],
  );
  assert.equal(env.get('ISTIO_META_APP_CONTAINERS'), 'helloworld');
  assert.match(env.get('ISTIO_META_POD_PORTS') ?? '', /5000.*9000/);
  assert.ok(proxy.volumeMounts?.some(({ mountPath }) => mountPath === '/mine'));
  assert.deepEqual(
    pod.spec.containers.map(({ name }) => name),
    ['helloworld', 'istio-proxy'],
  );
  assert.equal(pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'], 'helloworld');
  assert.deepEqual(JSON.parse(pod.metadata.annotations?.['proxy.istio.io/overrides'] ?? ''), { containers: [OWN] });
  assert.equal(proxyOf(inject(withOwn({ image: 'mine:1' }))).image, 'mine:1');
});

test('capture follows the user of the own sidecar; a transparent one stays root', () => {
  const pod = inject(withOwn());
  const init = containerOf(pod, 'istio-init');
  assert.equal(init.args?.[init.args.indexOf('-u') + 1], '2000');
  assert.equal(init.securityContext?.runAsUser, 0);
  assert.equal(proxyOf(pod).securityContext?.runAsUser, 2000);
  const rooted = containerOf(inject(withOwn({ securityContext: { runAsUser: 0 } })), 'istio-init');
  assert.equal(rooted.args?.[rooted.args.indexOf('-u') + 1], '1337', 'rules cannot name root');
  const validation = containerOf(inject(withOwn(), { cniEnabled: true }), 'istio-validation');
  assert.deepEqual([validation.securityContext?.runAsUser, validation.securityContext?.runAsGroup], [2000, 2001]);
  const transparent = inject(withAnnotations({ 'sidecar.istio.io/interceptionMode': 'TPROXY' }, withOwn()));
  assert.equal(proxyOf(transparent).securityContext?.runAsUser, 0);
});

test('SEC-54 injecting twice gives an identical pod with the same status, whatever the pod is', () => {
  const native = { 'sidecar.istio.io/nativeSidecar': 'true' };
  const pods: Readonly<Record<string, Pod>> = {
    plain: POD,
    native: withAnnotations(native),
    own: withOwn(),
    'own, native': withAnnotations(native, withOwn()),
    holding: withAnnotations({ 'proxy.istio.io/config': 'holdApplicationUntilProxyStarts: true' }, withOwn()),
    'own init container': withSpec({ initContainers: [{ name: 'istio-init', image: 'mine' }, { name: 'migrate' }] }),
    'no init containers and volumes': { ...POD, spec: { containers: POD.spec.containers } },
    'volume of a template': withSpec({ volumes: [{ name: 'istio-envoy', emptyDir: { sizeLimit: '1Mi' } }] }),
    scraped: withAnnotations({
      'prometheus.io/scrape': 'true',
      'prometheus.io.port': '9090',
      'prometheus.io/path': '/m',
    }),
    targets: withAnnotations({ 'prometheus.istio.io/scrape-targets': '8080:/m,9100', 'prometheus.io/port': '8080' }),
    'pointed at the agent by its owner': withAnnotations({
      'prometheus.io/port': '15020',
      'prometheus.io/path': '/stats/prometheus',
    }),
    'overrides of another pod': withAnnotations({
      'proxy.istio.io/overrides': JSON.stringify({ containers: [{ name: 'istio-proxy', image: 'foreign' }] }),
    }),
    'a status that is none': withAnnotations({ 'sidecar.istio.io/status': 'injected' }),
    'not scraped': withAnnotations({ 'prometheus.io/scrape': 'false' }),
    lifecycle: withSpec({
      containers: [
        {
          name: 'app',
          lifecycle: {
            preStop: { httpGet: { port: 8080, path: '/bye', scheme: 'HTTPS' } },
            postStart: { tcpSocket: { port: 1 } },
          },
          livenessProbe: { grpc: { port: 9000, service: 's' }, timeoutSeconds: 3 },
          startupProbe: { exec: { command: ['true'] } },
        },
      ],
    }),
    'pull secret of its own': withSpec({ imagePullSecrets: [{ name: 'shared' }, { name: 'mine' }] }),
  };
  for (const [name, pod] of Object.entries(pods)) {
    const config = { imagePullSecrets: ['shared', 'added'] };
    const once = inject(pod, config);
    const twice = inject(once, config);
    assert.deepEqual(twice, once, name);
    assert.equal(JSON.stringify(twice.metadata.annotations), JSON.stringify(once.metadata.annotations), name);
  }
});

test('an injected pod follows what has changed since: its annotations and the configuration', () => {
  const once = inject(withAnnotations({ 'prometheus.io/port': '9090' }));
  const changed = inject(
    withAnnotations(
      { 'sidecar.istio.io/rewriteAppHTTPProbers': 'false', 'prometheus.istio.io/merge-metrics': 'false' },
      once,
    ),
    {
      proxyImage: 'other:1',
    },
  );
  assert.equal(proxyOf(changed).image, 'other:1');
  assert.deepEqual(changed.spec.containers[0]?.readinessProbe?.httpGet, { path: '/health', port: 5000 });
  assert.equal(changed.metadata.annotations?.['prometheus.io/port'], '9090');
  assert.equal(changed.metadata.annotations?.['prometheus.io/path'], undefined);
});

test('containers start in order: check, own, capture; or capture, native proxy, own', () => {
  const names = (pod: Pod): readonly string[] => (pod.spec.initContainers ?? []).map(({ name }) => name);
  const native = withAnnotations({ 'sidecar.istio.io/nativeSidecar': 'true' });
  assert.deepEqual(names(inject(POD)), ['migrate', 'istio-init']);
  assert.deepEqual(names(inject(POD, { cniEnabled: true })), ['istio-validation', 'migrate']);
  assert.deepEqual(names(inject(native)), ['istio-init', 'istio-proxy', 'migrate']);
  assert.deepEqual(names(inject(native, { cniEnabled: true })), ['istio-validation', 'istio-proxy', 'migrate']);
  const holding = inject(POD, { holdApplicationUntilProxyStarts: true });
  assert.deepEqual(
    holding.spec.containers.map(({ name }) => name),
    ['istio-proxy', 'helloworld'],
  );
  assert.deepEqual(proxyOf(holding).lifecycle?.postStart?.exec?.command, ['pilot-agent', 'wait']);
});

test('configured annotations are added unless the pod has them', () => {
  const pod = inject(withAnnotations({ mine: 'a' }), { injectedAnnotations: { mine: 'b', theirs: 'c' } });
  assert.deepEqual([pod.metadata.annotations?.['mine'], pod.metadata.annotations?.['theirs']], ['a', 'c']);
});
