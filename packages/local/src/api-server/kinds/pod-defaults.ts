import { isJsonObject, type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';

function fill(target: JsonObject, defaults: JsonObject): void {
  for (const [name, value] of Object.entries(defaults)) if (target[name] === undefined) target[name] = value;
}

function defaultProbe(probe: unknown): void {
  if (!isJsonObject(probe)) return;
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  if (isJsonObject(probe['httpGet'])) fill(probe['httpGet'], { path: '/', scheme: 'HTTP' });
}

function defaultContainer(container: JsonObject): void {
  const image = textOf(container['image']);
  const isLatest = image.endsWith(':latest') || !/[:@]/.test(image.slice(image.lastIndexOf('/') + 1));
  fill(container, {
    imagePullPolicy: isLatest ? 'Always' : 'IfNotPresent',
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    resources: {},
  });
  for (const port of listOf(container['ports']).map(objectOf)) fill(port, { protocol: 'TCP' });
  for (const variable of listOf(container['env']).map(objectOf)) {
    const fieldRef = objectOf(variable['valueFrom'])['fieldRef'];
    if (isJsonObject(fieldRef)) fill(fieldRef, { apiVersion: 'v1' });
  }
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) defaultProbe(container[probe]);
  const hooks = objectOf(container['lifecycle']);
  for (const hook of ['postStart', 'preStop']) {
    const httpGet = objectOf(hooks[hook])['httpGet'];
    if (isJsonObject(httpGet)) fill(httpGet, { path: '/', scheme: 'HTTP' });
  }
}

function defaultVolume(volume: JsonObject): void {
  const { name: _name, ...sources } = volume;
  if (Object.keys(sources).length === 0) volume['emptyDir'] = {};
  for (const source of ['secret', 'configMap', 'downwardAPI', 'projected'])
    if (isJsonObject(volume[source])) fill(volume[source], { defaultMode: 0o644 });
  for (const source of listOf(objectOf(volume['projected'])['sources']).map(objectOf)) {
    if (isJsonObject(source['serviceAccountToken'])) fill(source['serviceAccountToken'], { expirationSeconds: 3600 });
    defaultFieldRefs(source['downwardAPI']);
  }
  defaultFieldRefs(volume['downwardAPI']);
}

function defaultFieldRefs(downwardApi: unknown): void {
  for (const item of listOf(objectOf(downwardApi)['items']).map(objectOf))
    if (isJsonObject(item['fieldRef'])) fill(item['fieldRef'], { apiVersion: 'v1' });
}

/** Fills in the defaults of a pod's spec, in a Pod or in a template of pods, in place. */
export function defaultPodSpec(spec: JsonObject): void {
  fill(spec, {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
  if (spec['serviceAccountName'] === undefined && spec['serviceAccount'] !== undefined)
    spec['serviceAccountName'] = spec['serviceAccount'];
  if (spec['serviceAccountName'] !== undefined) spec['serviceAccount'] = spec['serviceAccountName'];
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'])
    for (const container of listOf(spec[list])) if (isJsonObject(container)) defaultContainer(container);
  for (const volume of listOf(spec['volumes'])) if (isJsonObject(volume)) defaultVolume(volume);
}
