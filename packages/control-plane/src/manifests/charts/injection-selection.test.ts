import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideInjection, IGNORED_NAMESPACES, INJECT_NAME } from '@meltemi/injector';
import { type LabelSelector, type MutatingWebhookConfiguration, matchLabelSelector } from '@meltemi/kube';
import { renderChart } from '../template/evaluate.ts';
import type { JsonMap } from '../template/values-table.ts';
import { CONTROL_PLANE_CHART } from './control-plane-chart.ts';

type Labels = Readonly<Record<string, string>>;

const ENABLED = { policy: 'enabled', neverInjectSelectors: [], alwaysInjectSelectors: [] } as const;

/** What differs from a pod without host network in namespace app1 of a mesh with one revision. */
interface Case {
  readonly namespace?: string;
  readonly annotations?: Labels;
  readonly hostNetwork?: boolean;
  /** Of the chart. */
  readonly values?: JsonMap;
  readonly config?: {
    readonly policy?: string;
    readonly neverInjectSelectors?: readonly LabelSelector[];
    readonly alwaysInjectSelectors?: readonly LabelSelector[];
  };
}

/** The injection webhooks that the chart installs. */
function installedWebhooks(values: JsonMap): MutatingWebhookConfiguration {
  const { objects } = renderChart(CONTROL_PLANE_CHART, {
    namespace: 'istio-system',
    releaseName: 'istiod',
    values: [values],
  });
  const found = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
  assert.ok(found);
  // The API server takes it as such.
  return found as unknown as MutatingWebhookConfiguration;
}

/** Names of the webhooks that an API server would call for a pod. */
function calledWebhooks(namespaceLabels: Labels, podLabels: Labels, options: Case): readonly string[] {
  const { webhooks = [] } = installedWebhooks(options.values ?? {});
  const allLabels = { 'kubernetes.io/metadata.name': options.namespace ?? 'app1', ...namespaceLabels };
  return webhooks
    .filter(
      ({ namespaceSelector = {}, objectSelector = {} }) =>
        matchLabelSelector(namespaceSelector, allLabels) && matchLabelSelector(objectSelector, podLabels),
    )
    .map(({ name }) => name);
}

/** What a pod gets from the webhooks' selectors and the decision together, as the API server and the injector apply them. */
function isInjected(namespaceLabels: Labels, podLabels: Labels, options: Case = {}): boolean {
  const called = calledWebhooks(namespaceLabels, podLabels, options);
  assert.ok(called.length <= 1, `one pod, one call: ${called.join(', ')}`);
  const { namespace = 'app1', annotations = {}, hostNetwork, config = {} } = options;
  const spec = hostNetwork === undefined ? {} : { hostNetwork };
  const pod = { namespace, labels: podLabels, annotations, spec };
  return called.length > 0 && decideInjection(pod, { ...ENABLED, ...config }).inject;
}

const yes = { [INJECT_NAME]: 'true' };
const no = { [INJECT_NAME]: 'false' };
const on = { 'istio-injection': 'enabled' };
const off = { 'istio-injection': 'disabled' };
const revX = { 'istio.io/rev': 'x' };
const revDefault = { 'istio.io/rev': 'default' };
const byDefault = { sidecarInjectorWebhook: { enableNamespacesByDefault: true } };
const ofX: Case = { values: { revision: 'x' } };
const auto: Case = { values: byDefault };
const app = { app: 'a' };
const selectors = [{ matchLabels: app }];
const disabled = { policy: 'disabled' };

test('SEC-53 which pods are injected, by labels of namespace and pod', () => {
  const table: readonly [string, boolean, boolean][] = [
    ['enabled × none', isInjected(on, {}), true],
    ['enabled × true', isInjected(on, yes), true],
    ['enabled × false', isInjected(on, no), false],
    ['enabled × unreadable', isInjected(on, { [INJECT_NAME]: 'maybe' }), true],
    ['enabled × annotation false', isInjected(on, {}, { annotations: no }), false],
    ['enabled × label true, annotation false', isInjected(on, yes, { annotations: no }), true],
    ['disabled × none', isInjected(off, {}), false],
    ['disabled × true', isInjected(off, yes), false],
    ['disabled × revision of the pod', isInjected(off, revDefault), false],
    ['none × none', isInjected({}, {}), false],
    ['none × true', isInjected({}, yes), true],
    ['none × false', isInjected({}, no), false],
    ['none × annotation true, which no selector sees', isInjected({}, {}, { annotations: yes }), false],
    ['none × revision of the pod', isInjected({}, revDefault), true],
    ['none × revision of the pod and true', isInjected({}, { ...revDefault, ...yes }), true],
    ['none × revision of the pod and false', isInjected({}, { ...revDefault, ...no }), false],
    ['none × other revision of the pod', isInjected({}, revX), false],
    ['none × other revision of the pod, asked of that revision', isInjected({}, revX, ofX), true],
    ['none × true, asked of another revision', isInjected({}, yes, ofX), false],
    ['revision × none', isInjected(revDefault, {}), true],
    ['revision × false', isInjected(revDefault, no), false],
    ['revision × other revision of the pod: the namespace decides', isInjected(revDefault, revX), true],
    ['other revision × none', isInjected(revX, {}), false],
    ['other revision × none, asked of that revision', isInjected(revX, {}, ofX), true],
    ['enabled, asked of another revision', isInjected(on, {}, ofX), false],
    ['enabled and other revision × none', isInjected({ ...on, ...revX }, {}), true],
    ['enabled and other revision, asked of that revision', isInjected({ ...on, ...revX }, {}, ofX), false],
    ['disabled and revision × none', isInjected({ ...off, ...revDefault }, {}), false],
    ['enabled × host network', isInjected(on, yes, { hostNetwork: true }), false],
    ['enabled × host network said to be off', isInjected(on, {}, { hostNetwork: false }), true],
    ['enabled istio-system × none', isInjected(on, {}, { namespace: 'istio-system' }), true],
    [
      'enabled istio-system × false, as the control plane has it',
      isInjected(on, no, { namespace: 'istio-system' }),
      false,
    ],
    ['istio-system × none', isInjected({}, {}, { namespace: 'istio-system' }), false],
    ['istio-system × true, as gateways have it', isInjected({}, yes, { namespace: 'istio-system' }), true],
    ['by default × none', isInjected({}, {}, auto), true],
    ['by default × true', isInjected({}, yes, auto), true],
    ['by default × false', isInjected({}, no, auto), false],
    ['by default × other revision of the pod', isInjected({}, revX, auto), false],
    ['by default disabled × none', isInjected(off, {}, auto), false],
    ['policy disabled: enabled × none', isInjected(on, {}, { config: disabled }), false],
    ['policy disabled: enabled × true', isInjected(on, yes, { config: disabled }), true],
    ['policy unknown: enabled × none', isInjected(on, {}, { config: { policy: 'on' } }), false],
    ['policy unknown: enabled × true', isInjected(on, yes, { config: { policy: 'on' } }), true],
    ['never selected', isInjected(on, app, { config: { neverInjectSelectors: selectors } }), false],
    [
      'never selected × true',
      isInjected(on, { ...app, ...yes }, { config: { neverInjectSelectors: selectors } }),
      true,
    ],
    ['always selected', isInjected(on, app, { config: { ...disabled, alwaysInjectSelectors: selectors } }), true],
    [
      'always selected, in a namespace that no webhook selects',
      isInjected({}, app, { config: { alwaysInjectSelectors: selectors } }),
      false,
    ],
    [
      'never and always selected',
      isInjected(on, app, { config: { neverInjectSelectors: selectors, alwaysInjectSelectors: selectors } }),
      false,
    ],
    ...[...IGNORED_NAMESPACES].flatMap((namespace): [string, boolean, boolean][] => [
      [`enabled ${namespace} × true`, isInjected(on, yes, { namespace }), false],
      [`by default ${namespace} × none`, isInjected({}, {}, { ...auto, namespace }), false],
    ]),
  ];
  for (const [name, actual, expected] of table) assert.equal(actual, expected, name);
});

test('SEC-53 at most one webhook of a revision is called for a pod, whatever the labels', () => {
  const namespaces = [{}, on, off, revX, revDefault, { ...on, ...revX }, { ...off, ...revX }, { ...on, ...revDefault }];
  const pods = [
    {},
    yes,
    no,
    revX,
    revDefault,
    { ...yes, ...revX },
    { ...yes, ...revDefault },
    { ...no, ...revDefault },
  ];
  for (const values of [{}, byDefault, { revision: 'x' }]) {
    for (const namespace of namespaces) {
      for (const pod of pods) assert.ok(calledWebhooks(namespace, pod, { values }).length <= 1);
    }
  }
});
