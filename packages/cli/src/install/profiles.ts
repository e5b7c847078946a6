import { nearestName } from '@meltemi/base';
import type { JsonMap } from '@meltemi/control-plane';
import { CommandError, EXIT } from '../exit-code.ts';

/** What `spec.profile` stands for; everything else is said on top of it. */
export const PROFILES: Readonly<Record<string, { readonly doc: string; readonly spec: JsonMap }>> = {
  default: {
    doc: 'a control plane for production: it scales, and only one pod at a time may be away',
    spec: { components: { base: { enabled: true }, pilot: { enabled: true } } },
  },
  demo: {
    doc: 'one small control plane, and access logs everywhere',
    spec: {
      components: { base: { enabled: true }, pilot: { enabled: true } },
      meshConfig: { accessLogFile: '/dev/stdout' },
      values: {
        pilot: { autoscaleEnabled: false, resources: { requests: { cpu: '10m', memory: '128Mi' } } },
        global: {
          defaultPodDisruptionBudget: { enabled: false },
          proxy: { resources: { requests: { cpu: '10m', memory: '64Mi' } } },
        },
      },
    },
  },
  minimal: {
    doc: 'the control plane alone, as default, which has no gateways either',
    spec: { components: { base: { enabled: true }, pilot: { enabled: true } } },
  },
  remote: {
    doc: 'a cluster that the control plane of another serves',
    spec: { components: { base: { enabled: true }, istiodRemote: { enabled: true } } },
  },
  empty: { doc: 'nothing; name the components yourself', spec: {} },
};

/** The spec of a profile. @throws CommandError usage, naming the nearest. */
export function profileSpec(name: string): JsonMap {
  const profile = PROFILES[name];
  if (profile !== undefined) return profile.spec;
  const near = nearestName(name, Object.keys(PROFILES));
  throw new CommandError(
    EXIT.usage,
    `There is no profile "${name}"${near === undefined ? '' : `; did you mean ${near}?`}; there are ${Object.keys(PROFILES).join(', ')}`,
  );
}
