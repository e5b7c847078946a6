import { type Finding, formatFinding, hasErrors, type KubernetesObject, validateObject } from '@meltemi/api';
import type { Log } from '@meltemi/base';
import { type ConfigKey, type ConfigResource, type ConfigSource, configKey } from '@meltemi/model';
import { isSameContent, toConfigResource } from './config-resource.ts';
import type { GalleyMetrics } from './metrics.ts';
import { checkRe2 } from './regex-check.ts';

/** A version of an object that was not taken. */
export interface RejectedConfig {
  readonly key: ConfigKey;
  readonly resourceVersion: string;
  readonly findings: readonly Finding[];
  /** Whether an earlier, good version of it goes on serving. */
  readonly servesPrevious: boolean;
}

/** What the store says about one object. */
export type ConfigState =
  | { readonly state: 'accepted'; readonly resource: ConfigResource; readonly resourceVersion: string }
  | { readonly state: 'rejected'; readonly rejection: RejectedConfig }
  | { readonly state: 'absent' };

/**
 * The configuration in force: for each object its last version that passed validation.
 *
 * One writer (the sources), any number of readers; listeners are called after each change, one by one.
 */
export interface ConfigStore {
  /** Takes a version of an object, or refuses it and keeps the previous one. */
  put(object: KubernetesObject, source?: ConfigSource): void;
  remove(key: ConfigKey): void;
  /** Every accepted resource, in no particular order. */
  list(): readonly ConfigResource[];
  ofKind(kind: string): readonly ConfigResource[];
  stateOf(key: ConfigKey): ConfigState;
  rejections(): readonly RejectedConfig[];
  /** Calls back with the key of each object whose accepted content changed. @returns Ends it. */
  onChange(listener: (key: ConfigKey) => void): () => void;
  /** Calls back for each version that is not taken, for instance to write an Event. @returns Ends it. */
  onReject(listener: (rejection: RejectedConfig, object: KubernetesObject) => void): () => void;
}

/** What a store reports to. */
export interface ConfigStoreOptions {
  readonly log: Log;
  readonly metrics?: GalleyMetrics | undefined;
}

/** Creates an empty store. */
export function createConfigStore({ log, metrics }: ConfigStoreOptions): ConfigStore {
  const accepted = new Map<string, ConfigResource>();
  /** The newest version that was taken, also where its content equals the one before. */
  const versions = new Map<string, string>();
  const rejected = new Map<string, RejectedConfig>();
  const listeners = new Set<(key: ConfigKey) => void>();
  const rejectListeners = new Set<(rejection: RejectedConfig, object: KubernetesObject) => void>();
  let all: readonly ConfigResource[] | undefined;

  const notify = (key: ConfigKey): void => {
    all = undefined;
    for (const listener of listeners) listener(key);
  };

  const reject = (key: ConfigKey, object: KubernetesObject, findings: readonly Finding[]): void => {
    const text = configKey(key);
    const resourceVersion = object.metadata.resourceVersion ?? '';
    if (rejected.get(text)?.resourceVersion === resourceVersion && resourceVersion !== '') return;
    const rejection = { key, resourceVersion, findings, servesPrevious: accepted.has(text) };
    rejected.set(text, rejection);
    metrics?.rejected(key.kind, rejected.size);
    const problems = findings.filter((finding) => finding.severity === 'error').map(formatFinding);
    log.warn(`Configuration not taken: ${text}`, {
      problems,
      previous: rejection.servesPrevious ? 'stays in force' : 'none',
    });
    for (const listener of rejectListeners) listener(rejection, object);
  };

  const clearRejection = (text: string, kind: string): void => {
    if (rejected.delete(text)) metrics?.rejected(kind, rejected.size);
  };

  return {
    put(object, source) {
      const key = { kind: object.kind, namespace: object.metadata.namespace ?? 'default', name: object.metadata.name };
      const text = configKey(key);
      const validated = validateObject(object, { checkRegex: checkRe2 });
      if (validated.object === undefined || hasErrors(validated.findings))
        return reject(key, object, validated.findings);
      clearRejection(text, key.kind);
      const resource = toConfigResource(validated.object, source);
      const previous = accepted.get(text);
      versions.set(text, resource.resourceVersion);
      if (previous !== undefined && isSameContent(previous, resource)) return;
      accepted.set(text, resource);
      metrics?.configEvent(key.kind, previous === undefined ? 'add' : 'update');
      notify(key);
    },
    remove(key) {
      const text = configKey(key);
      clearRejection(text, key.kind);
      versions.delete(text);
      if (!accepted.delete(text)) return;
      metrics?.configEvent(key.kind, 'delete');
      notify(key);
    },
    list: () => (all ??= [...accepted.values()]),
    ofKind: (kind) => [...accepted.values()].filter((resource) => resource.kind === kind),
    stateOf(key) {
      const text = configKey(key);
      const rejection = rejected.get(text);
      if (rejection !== undefined) return { state: 'rejected', rejection };
      const resource = accepted.get(text);
      if (resource === undefined) return { state: 'absent' };
      return { state: 'accepted', resource, resourceVersion: versions.get(text) ?? resource.resourceVersion };
    },
    rejections: () => [...rejected.values()],
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onReject(listener) {
      rejectListeners.add(listener);
      return () => void rejectListeners.delete(listener);
    },
  };
}
