import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchLabelSelector } from '@meltemi/kube';
import { decideInjection, INJECT_NAME } from './decision.ts';
import { buildMutatingWebhookConfiguration } from './webhook/webhook-configuration.ts';

const ENABLED = { policy: 'enabled', neverInjectSelectors: [], alwaysInjectSelectors: [] } as const;

type Labels = Readonly<Record<string, string>>;

/** What a pod gets from the webhooks' selectors and the decision together, as the API server and the injector apply them. */
function isInjected(
  namespaceLabels: Labels,
  podLabels: Labels,
  namespace = 'app1',
  options: { hostNetwork?: boolean; revision?: string } = {},
): boolean {
  const { webhooks = [] } = buildMutatingWebhookConfiguration({ revision: options.revision ?? 'default' });
  const allLabels = { 'kubernetes.io/metadata.name': namespace, ...namespaceLabels };
  const isCalled = webhooks.some(
    ({ namespaceSelector = {}, objectSelector = {} }) =>
      matchLabelSelector(namespaceSelector, allLabels) && matchLabelSelector(objectSelector, podLabels),
  );
  const spec = options.hostNetwork === true ? { hostNetwork: true } : {};
  return isCalled && decideInjection({ namespace, labels: podLabels, annotations: {}, spec }, ENABLED).inject;
}

const yes = { [INJECT_NAME]: 'true' };
const no = { [INJECT_NAME]: 'false' };
const on = { 'istio-injection': 'enabled' };
const off = { 'istio-injection': 'disabled' };
const revX = { 'istio.io/rev': 'x' };
const revDefault = { 'istio.io/rev': 'default' };

test('SEC-53 which pods are injected, by labels of namespace and pod', () => {
  const table: readonly [string, boolean, boolean][] = [
    ['enabled × none', isInjected(on, {}), true],
    ['enabled × true', isInjected(on, yes), true],
    ['enabled × false', isInjected(on, no), false],
    ['enabled × unreadable', isInjected(on, { [INJECT_NAME]: 'maybe' }), true],
    ['disabled × none', isInjected(off, {}), false],
    ['disabled × true', isInjected(off, yes), false],
    ['none × none', isInjected({}, {}), false],
    ['none × true', isInjected({}, yes), true],
    ['none × false', isInjected({}, no), false],
    ['none × revision of the pod', isInjected({}, revDefault), true],
    ['none × other revision of the pod', isInjected({}, revX), false],
    ['revision × none', isInjected(revDefault, {}), true],
    ['revision × false', isInjected(revDefault, no), false],
    ['other revision × none', isInjected(revX, {}), false],
    ['other revision × none, asked of that revision', isInjected(revX, {}, 'app1', { revision: 'x' }), true],
    ['enabled and other revision × none', isInjected({ ...on, ...revX }, {}), true],
    ['disabled and revision × none', isInjected({ ...off, ...revDefault }, {}), false],
    ['enabled × host network', isInjected(on, yes, 'app1', { hostNetwork: true }), false],
    ['enabled kube-system × true', isInjected(on, yes, 'kube-system'), false],
    ['enabled istio-system × none', isInjected(on, {}, 'istio-system'), false],
  ];
  for (const [name, actual, expected] of table) assert.equal(actual, expected, name);
});

test('selectors and policy decide about pods that say nothing; never comes before always', () => {
  const decide = (config: Partial<Parameters<typeof decideInjection>[1]>, labels: Labels = { app: 'a' }): boolean =>
    decideInjection({ namespace: 'app1', labels, annotations: {}, spec: {} }, { ...ENABLED, ...config }).inject;
  const selectors = [{ matchLabels: { app: 'a' } }];
  assert.equal(decide({ neverInjectSelectors: selectors }), false);
  assert.equal(decide({ policy: 'disabled', alwaysInjectSelectors: selectors }), true);
  assert.equal(decide({ neverInjectSelectors: selectors, alwaysInjectSelectors: selectors }), false);
  assert.equal(decide({ policy: 'disabled' }), false);
  assert.equal(decide({ neverInjectSelectors: selectors }, { app: 'a', ...yes }), true);
});

test('the deprecated annotation counts, an unreadable value warns', () => {
  const pod = { namespace: 'app1', labels: {}, annotations: { [INJECT_NAME]: 'false' }, spec: {} };
  assert.equal(decideInjection(pod, ENABLED).inject, false);
  const unreadable = decideInjection({ ...pod, annotations: {}, labels: { [INJECT_NAME]: 'yes' } }, ENABLED);
  assert.equal(unreadable.inject, true);
  assert.match(unreadable.warning ?? '', /"yes".*use "true" or "false"/);
});
