import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { CHARTS, type JsonMap, type ManifestObject, renderChart } from '@meltemi/control-plane';
import { needPeer, type SkippableTest } from '@meltemi/testing';
import { parse, parseAllDocuments } from 'yaml';

/** The folder of the Helm charts. */
export const CHARTS_FOLDER: string = join(import.meta.dirname, '../../charts');
/** Helm's own build says 1.20 unless it is told. */
const KUBERNETES_VERSION = '1.33.0';

/** Runs Helm; a failure is thrown with what it says. */
export function runHelm(helm: string, args: readonly string[], input?: string): string {
  return execFileSync(helm, [...args], { encoding: 'utf8', ...(input === undefined ? {} : { input }), stdio: 'pipe' });
}

/** Objects of `helm template`. */
export function helmTemplate(
  helm: string,
  chart: string,
  values: JsonMap,
  namespace = 'istio-system',
): readonly ManifestObject[] {
  const args = ['template', 'test', join(CHARTS_FOLDER, chart), '--kube-version', KUBERNETES_VERSION];
  const text = runHelm(helm, [...args, '--namespace', namespace, '--values', '-'], JSON.stringify(values));
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  return (Array.isArray(documents) ? documents : [])
    .map((document) => document.toJS() as ManifestObject | null)
    .filter((object) => object !== null);
}

/** Objects of our own rendering. */
export function ownObjects(chart: string, values: JsonMap, namespace = 'istio-system'): readonly ManifestObject[] {
  const definition = CHARTS.find(({ name }) => name === chart);
  if (definition === undefined) throw new Error(`there is no chart ${chart}`);
  return renderChart(definition, { namespace, releaseName: 'test', values: [values] }).objects;
}

/** Objects by kind and name; YAML inside ConfigMaps is compared by its meaning. */
export function byName(objects: readonly ManifestObject[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    objects.map((object) => [
      `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`,
      object.kind === 'ConfigMap' ? { ...object, data: meaningOf(object['data'] as Record<string, string>) } : object,
    ]),
  );
}

function meaningOf(data: Readonly<Record<string, string>>): object {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, key === 'values' ? text : parse(text)]));
}
/** Helm; skips the test without it. */
export function needHelm(test: SkippableTest): string | undefined {
  return needPeer(test, 'helm');
}
