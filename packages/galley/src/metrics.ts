import { Counter, Gauge, type Registry } from 'prom-client';

/** What is counted about configuration and its admission. */
export interface GalleyMetrics {
  configEvent(kind: string, event: 'add' | 'update' | 'delete'): void;
  /** @param count Objects whose newest version is not taken, all kinds. */
  rejected(kind: string, count: number): void;
  validationPassed(resource: AdmittedResource): void;
  validationFailed(resource: AdmittedResource, reason: string): void;
}

/** The kind that an admission request is about. */
export interface AdmittedResource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}

/** Declares the metrics in a registry, by Istio's names where it has them. */
export function createGalleyMetrics(registry: Registry): GalleyMetrics {
  const registers = [registry];
  const events = new Counter({
    name: 'pilot_k8s_cfg_events',
    help: 'Events of configuration objects',
    labelNames: ['type', 'event'],
    registers,
  });
  const rejections = new Counter({
    name: 'meltemi_config_rejections_total',
    help: 'Versions of configuration objects that were not taken, by kind',
    labelNames: ['type'],
    registers,
  });
  const rejectedCount = new Gauge({
    name: 'meltemi_config_rejected',
    help: 'Configuration objects whose newest version is not taken',
    registers,
  });
  const passed = new Counter({
    name: 'galley_validation_passed',
    help: 'Resources that passed admission',
    labelNames: ['group', 'version', 'resource'],
    registers,
  });
  const failed = new Counter({
    name: 'galley_validation_failed',
    help: 'Resources that failed admission, by reason',
    labelNames: ['group', 'version', 'resource', 'reason'],
    registers,
  });
  return {
    configEvent: (type, event) => events.inc({ type, event }),
    rejected(type, count) {
      if (count > 0) rejections.inc({ type });
      rejectedCount.set(count);
    },
    validationPassed: (resource) => passed.inc({ ...resource }),
    validationFailed: (resource, reason) => failed.inc({ ...resource, reason }),
  };
}
