import { decodeMeshConfig, decodeMeshNetworks, formatFinding, hasErrors } from '@meltemi/api';
import { MeltemiError } from '@meltemi/base';
import {
  CHARTS,
  type Chart,
  checkValues,
  isJsonMap,
  type Json,
  type JsonMap,
  type ManifestObject,
  renderChart,
  systemNamespace,
  type ValuesTable,
  valueAt,
} from '@meltemi/control-plane';
import { findUnimplementedFields } from '@meltemi/pilot/unimplemented-fields';
import { CommandError, EXIT } from '../exit-code.ts';
import type { InstallSpec, SwitchedOff } from './install-spec.ts';

/** Component that an object was installed as. */
export const COMPONENT_LABEL = 'install.meltemi.dev/component';
/** Revision that an object was installed for; absent from what the cluster has once. */
export const REVISION_LABEL = 'install.meltemi.dev/revision';
/** System namespace of the installation that an object belongs to; absent from the kinds, which all installations share. */
export const NAMESPACE_LABEL = 'install.meltemi.dev/namespace';

/** One chart of an installation, rendered. */
export interface PlannedComponent {
  readonly name: string;
  /** Absent from what the cluster has once. */
  readonly revision: string | undefined;
  readonly objects: readonly ManifestObject[];
}

/** A component that an installation is no longer to have. */
export interface DroppedComponent {
  readonly name: string;
  readonly revision: string | undefined;
  readonly namespace: string;
}

/** Everything that an installation applies. */
export interface InstallPlan {
  readonly spec: InstallSpec;
  readonly namespaces: readonly ManifestObject[];
  readonly components: readonly PlannedComponent[];
  /** What is to go if it is there. */
  readonly switchedOff: readonly DroppedComponent[];
  readonly warnings: readonly string[];
}

/**
 * Renders what a spec asks for.
 *
 * @param legacyObjects What values of old charts ask for beside the charts of today.
 * @throws MeltemiError usage: values that no chart knows, or that cannot be together.
 */
export function planInstallation(spec: InstallSpec, legacyObjects: readonly ManifestObject[] = []): InstallPlan {
  const named = new Map(CHARTS.map((chart) => [chart.name, chart]));
  const chartOf = (name: string): Chart => named.get(name) as Chart;
  const installed = [
    ...(spec.hasBase ? [chartOf('base')] : []),
    ...(spec.hasPilot ? [chartOf('control-plane')] : []),
    ...(spec.hasRemote ? [chartOf('remote')] : []),
  ];
  if (installed.length === 0 && spec.gateways.length === 0)
    throw new CommandError(
      EXIT.usage,
      'Nothing to install: name a profile, or enable components.base and components.pilot',
    );
  if (spec.hasPilot && spec.hasRemote)
    throw new CommandError(
      EXIT.usage,
      'components.pilot and components.istiodRemote: a cluster has a control plane of its own, or that of another',
    );
  const warnings: string[] = [];
  checkInstalledValues(spec.values, installed, warnings);
  const components = installed.map((chart): PlannedComponent => {
    const isBase = chart.name === 'base';
    const own = isBase && spec.hasRemote ? { defaultRevision: '' } : {};
    const rendered = renderChart(chart, {
      namespace: spec.namespace,
      releaseName: chart.name,
      values: [own, selectValues(chart.values, spec.values)],
    });
    warnings.push(...rendered.warnings);
    const revision = isBase ? undefined : spec.revision;
    return withLabels({ name: chart.name, revision, objects: rendered.objects }, spec.namespace);
  });
  const gateways = spec.gateways.map(({ name, namespace, values }): PlannedComponent => {
    const revision = spec.revision === 'default' ? {} : { revision: spec.revision };
    const { objects } = renderChart(chartOf('gateway'), {
      namespace: namespace ?? spec.namespace,
      releaseName: name,
      values: [revision, values],
    });
    return withLabels({ name: `gateway-${name}`, revision: spec.revision, objects }, spec.namespace);
  });
  const legacy =
    legacyObjects.length === 0
      ? []
      : [withLabels({ name: 'legacy', revision: spec.revision, objects: legacyObjects }, spec.namespace)];
  const network = valueAt(spec.values, 'global.network');
  return {
    spec,
    namespaces: [
      systemNamespace({
        name: spec.namespace,
        network: typeof network === 'string' && network !== '' ? network : undefined,
      }),
    ],
    components: [...components, ...gateways, ...legacy],
    switchedOff: spec.switchedOff.map((dropped) => toDropped(dropped, spec)),
    warnings,
  };
}

const CHART_OF = { base: 'base', pilot: 'control-plane', istiodRemote: 'remote' } as const;

function toDropped({ component, name, namespace }: SwitchedOff, spec: InstallSpec): DroppedComponent {
  return {
    name: component === 'gateway' ? `gateway-${name}` : CHART_OF[component],
    revision: component === 'base' ? undefined : spec.revision,
    namespace: namespace ?? spec.namespace,
  };
}

/** Objects of a plan, namespaces first. */
export function plannedObjects({ namespaces, components }: InstallPlan): readonly ManifestObject[] {
  return [...namespaces, ...components.flatMap(({ objects }) => objects)];
}

function withLabels({ name, revision, objects }: PlannedComponent, namespace: string): PlannedComponent {
  const shared = { [COMPONENT_LABEL]: name, ...(revision === undefined ? {} : { [REVISION_LABEL]: revision }) };
  const labels = { ...shared, [NAMESPACE_LABEL]: namespace };
  return {
    name,
    revision,
    objects: objects.map((object) => ({
      ...object,
      metadata: {
        ...object.metadata,
        labels: { ...object.metadata.labels, ...(object.kind === 'CustomResourceDefinition' ? shared : labels) },
      },
    })),
  };
}

/** Every value must belong to a chart; one that belongs to none that is installed does nothing, which is told. */
function checkInstalledValues(values: JsonMap, installed: readonly Chart[], warnings: string[]): void {
  const all: ValuesTable = Object.assign(
    {},
    ...CHARTS.filter(({ name }) => name !== 'gateway').map((chart) => chart.values),
  );
  const faults = checkValues(all, values);
  if (faults.length > 0) throw new MeltemiError('USAGE', faults.map((fault) => `values.${fault}`).join('; '));
  for (const path of Object.keys(all)) {
    if (valueAt(values, path) === undefined || installed.some((chart) => chart.values[path] !== undefined)) continue;
    const owners = CHARTS.filter((chart) => chart.values[path] !== undefined).map(({ name }) => name);
    warnings.push(`values.${path} does nothing here: it belongs to ${owners.join(' and ')}, which is not installed`);
  }
  checkMeshNetworks(valueAt(values, 'global.meshNetworks'), warnings);
  const meshConfig = valueAt(values, 'meshConfig');
  if (!isJsonMap(meshConfig)) return;
  const { findings } = decodeMeshConfig(meshConfig);
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0)
    throw new MeltemiError('USAGE', errors.map((finding) => `meshConfig.${formatFinding(finding)}`).join('; '));
  warnings.push(
    ...findings.map((finding) => `meshConfig.${formatFinding(finding)}`),
    ...findUnimplementedFields('MeshConfig', meshConfig).map((path) => `meshConfig.${path} has no effect yet`),
  );
}

function checkMeshNetworks(networks: Json | undefined, warnings: string[]): void {
  if (!isJsonMap(networks) || Object.keys(networks).length === 0) return;
  const { findings } = decodeMeshNetworks({ networks });
  const problems = findings.map(({ path, ...finding }) =>
    formatFinding({ ...finding, path: path.replace(/^networks/, 'values.global.meshNetworks') }),
  );
  if (hasErrors(findings)) throw new MeltemiError('USAGE', problems.join('; '));
  warnings.push(...problems, 'values.global.meshNetworks has no effect yet');
}

/** Of all values, those that a chart has. */
function selectValues(table: ValuesTable, values: JsonMap): JsonMap {
  let selected: JsonMap = {};
  for (const path of Object.keys(table)) {
    const json = valueAt(values, path);
    if (json !== undefined) selected = setAt(selected, path.split('.'), json);
  }
  return selected;
}

function setAt(map: JsonMap, path: readonly string[], json: Json): JsonMap {
  const [name = '', ...rest] = path;
  if (rest.length === 0) return { ...map, [name]: json };
  const inner = map[name];
  return { ...map, [name]: setAt(isJsonMap(inner) ? inner : {}, rest, json) };
}
