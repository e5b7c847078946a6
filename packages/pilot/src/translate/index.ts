export { createTranslationMemo, type TranslationMemo } from './memo.ts';
export * from './names.ts';
export * from './proxy-node.ts';
export type { ProxyInput, ProxyTranslation } from './proxy-translation.ts';
export { translateProxy } from './translate-proxy.ts';
export { type SourceRef, type Translated } from './translated.ts';
export * from './unimplemented-fields.ts';
