/** One thing that an API server does, as a series of requests whose answers are recorded. */
import { stableJson } from '@meltemi/base';
import type { TestAnswer, TestCluster, TestJson } from '@meltemi/local/api-server/testing';

/** Notes one observation; `what` is unique in its scenario. */
export type Recorder = (what: string, value: unknown) => void;

/** What a scenario works with. */
export interface ScenarioContext {
  readonly api: TestCluster;
  /** A namespace of the scenario's own, with a default service account. */
  readonly namespace: string;
  readonly record: Recorder;
}

/** A scenario: run against each server by itself, and compared afterwards. */
export interface Scenario {
  readonly name: string;
  readonly run: (context: ScenarioContext) => Promise<void>;
}

/** Observations by `scenario: what`, each as JSON. */
export type Observations = ReadonlyMap<string, string>;

interface Cause {
  readonly reason?: string;
  readonly field?: string;
}

/** Of a Status what clients go by, of any other answer its code and kind. */
export function outcome(answer: TestAnswer): unknown {
  const { code, text } = answer;
  if (!text.startsWith('{')) return { code, text: text.trim().slice(0, 200) };
  const { kind, status, reason, details } = answer.json();
  if (kind !== 'Status') return { code, kind: kind as string };
  const causes = ((details?.causes ?? []) as readonly Cause[]).map((cause) => `${cause.reason} ${cause.field ?? ''}`);
  return {
    code,
    status: status as string,
    ...(reason === undefined ? {} : { reason: reason as string }),
    ...(details?.kind === undefined ? {} : { on: `${details.group ?? ''}/${details.kind}/${details.name ?? ''}` }),
    ...(causes.length === 0 ? {} : { causes: [...new Set(causes)].toSorted() }),
  };
}

/** Reads a watch until the server ends it. @param path With its query; a timeout of one second is added. */
export async function readWatch(api: TestCluster, path: string): Promise<readonly TestJson[]> {
  const answer = await api.request('GET', `${path}${path.includes('?') ? '&' : '?'}watch=true&timeoutSeconds=1`);
  if (answer.code !== 200) return [{ type: 'REFUSED', object: answer.json() }];
  return answer.text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestJson);
}

/** `ADDED name` of each event; of an error its code and reason. */
export function eventNames(events: readonly TestJson[]): readonly string[] {
  return events.map(({ type, object }) =>
    object.kind === 'Status'
      ? `${type} ${object.code} ${object.reason}`
      : `${type} ${object.metadata?.name ?? ''}`.trim(),
  );
}

/** Runs scenarios one after the other, each in a namespace of its own. */
export async function observe(api: TestCluster, scenarios: readonly Scenario[]): Promise<Observations> {
  const observations = new Map<string, string>();
  for (const [index, { name, run }] of scenarios.entries()) {
    const namespace = `behaviour-${index}`;
    await api.createNamespace(namespace);
    const record: Recorder = (what, value) => {
      const key = `${name}: ${what}`;
      if (observations.has(key)) throw new Error(`"${key}" is recorded twice`);
      observations.set(key, value === undefined ? 'nothing' : stableJson(value));
    };
    await run({ api, namespace, record });
  }
  return observations;
}
