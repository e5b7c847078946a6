import type { ProxyInput, ProxyTranslation } from './proxy-translation.ts';
import { translateRouter } from './router.ts';
import { translateSidecar } from './sidecar.ts';

/** Prepares the translation for one proxy, by its place: beside an application, or at the edge of the mesh. */
export function translateProxy(input: ProxyInput): ProxyTranslation {
  return input.node.type === 'router' ? translateRouter(input) : translateSidecar(input);
}
