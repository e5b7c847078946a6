import type { Message } from '@bufbuild/protobuf';
import type { MeshSnapshot } from '@meltemi/model';
import { type DirtyNames, type EncodedResource, type ResourceView, TYPE_URLS } from '@meltemi/xds';
import type { DiscoveryNode, DiscoverySession } from '@meltemi/xds/server';
import type { TranslationMemo } from '../translate/memo.ts';
import type { ProxyNode } from '../translate/proxy-node.ts';
import type { ProxyTranslation } from '../translate/proxy-translation.ts';
import { translateProxy } from '../translate/translate-proxy.ts';
import type { Translated } from '../translate/translated.ts';
import { type ChangeScope, WORKLOAD_TYPES } from './change-scope.ts';
import { buildProxyNode } from './proxy-context.ts';
import type { ResourceEncoder } from './resource-encoder.ts';

/** What sessions share. */
export interface PushSessionOptions {
  readonly node: DiscoveryNode;
  readonly snapshot: MeshSnapshot;
  readonly memo: TranslationMemo;
  readonly encoder: ResourceEncoder;
}

/** One connected proxy and the snapshot that it is to have. */
export class PushSession implements DiscoverySession {
  readonly #options: PushSessionOptions;
  #snapshot: MeshSnapshot;
  #node: ProxyNode;
  #translation: ProxyTranslation;

  constructor(options: PushSessionOptions) {
    this.#options = options;
    this.#snapshot = options.snapshot;
    this.#node = buildProxyNode(options.node, options.snapshot);
    this.#translation = this.#translate();
  }

  get number(): number {
    return this.#snapshot.number;
  }

  get node(): ProxyNode {
    return this.#node;
  }

  /** The resources of this proxy, with where each came from. */
  get translation(): ProxyTranslation {
    return this.#translation;
  }

  /** Goes over to the next snapshot. @returns What may differ for this proxy. */
  advance(snapshot: MeshSnapshot, scope: ChangeScope): ReadonlyMap<string, DirtyNames> {
    this.#snapshot = snapshot;
    const isTouched = scope.touchesWorkload(this.#node);
    if (isTouched) this.#node = buildProxyNode(this.#options.node, snapshot);
    this.#translation = this.#translate();
    if (!isTouched) return scope.everybody;
    return new Map<string, DirtyNames>(WORKLOAD_TYPES.map((typeUrl) => [typeUrl, 'all']));
  }

  generate(typeUrl: string, names: ReadonlySet<string> | undefined): ResourceView {
    const resources = new Map<string, EncodedResource>();
    for (const translated of this.#translated(typeUrl, names)) {
      if (names !== undefined && !names.has(translated.name)) continue;
      resources.set(translated.name, this.#options.encoder.encode(typeUrl, translated));
    }
    return { number: this.#snapshot.number, versionInfo: this.#snapshot.version, resources };
  }

  [Symbol.dispose](): void {}

  #translate(): ProxyTranslation {
    return translateProxy({ snapshot: this.#snapshot, node: this.#node, memo: this.#options.memo });
  }

  #translated(typeUrl: string, names: ReadonlySet<string> | undefined): readonly Translated<Message>[] {
    switch (typeUrl) {
      case TYPE_URLS.cluster:
        return this.#translation.clusters();
      case TYPE_URLS.endpoint:
        return this.#translation.endpoints(names);
      case TYPE_URLS.listener:
        return this.#translation.listeners();
      case TYPE_URLS.route:
        return this.#translation.routes(names);
      case TYPE_URLS.nameTable:
        return [this.#translation.nameTable()];
      case TYPE_URLS.proxyConfig:
        return this.#translation.proxyConfigs();
      default:
        // Types that pilot does not serve, such as secrets: the client is told that there are none.
        return [];
    }
  }
}
