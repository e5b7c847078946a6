import { DEPLOYMENTS, NAMESPACES, PODS } from '@meltemi/kube';
import type { CompletionFlags, CompletionSource } from './completion.ts';
import { type CommandContext, readCatalog, resolvePod, type Session } from './session.ts';

/** Kinds that every server has: what is completed most often needs no discovery. */
const WELL_KNOWN = {
  pods: PODS,
  pod: PODS,
  po: PODS,
  deployments: DEPLOYMENTS,
  deployment: DEPLOYMENTS,
  deploy: DEPLOYMENTS,
} as const;

function isWellKnown(kind: string): kind is keyof typeof WELL_KNOWN {
  return Object.hasOwn(WELL_KNOWN, kind);
}

/** Asks the running cluster what a word may be. Sessions are opened as commands open them, by the line's own flags. */
export function createClusterCompletion(context: CommandContext): CompletionSource {
  const ask = async <Answer>(flags: CompletionFlags, body: (session: Session) => Promise<Answer>): Promise<Answer> => {
    await using session = await context.openSession(flags);
    return await body(session);
  };
  return {
    clusters: ({ cluster: _unfinished, ...flags }) =>
      ask(flags, async (session) => session.clusters.map(({ name }) => name)),
    namespaces: (flags) =>
      ask(flags, async ({ cluster }) =>
        (await cluster.client.list(NAMESPACES)).items.map(({ metadata }) => metadata.name),
      ),
    kinds: (flags) => ask(flags, async (session) => (await readCatalog(session)).entries.map(({ ref }) => ref.plural)),
    names: (kind, flags) =>
      ask(flags, async (session) => {
        const ref = isWellKnown(kind) ? WELL_KNOWN[kind] : (await readCatalog(session)).byName(kind).ref;
        const list = await session.cluster.client.list(ref, {
          namespace: ref.namespaced ? session.namespace : undefined,
        });
        return list.items.map(({ metadata }) => metadata.name);
      }),
    containers: (target, flags) =>
      ask(flags, async (session) => {
        const { spec } = await resolvePod(session.cluster.client, target, session.namespace);
        return [...spec.containers, ...(spec.initContainers ?? [])].map(({ name }) => name);
      }),
  };
}
