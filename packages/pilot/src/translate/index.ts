export { createTranslationMemo, type TranslationMemo } from './memo.ts';
export * from './names.ts';
export * from './proxy-node.ts';
export { type SidecarInput, type SidecarTranslation, translateSidecar } from './sidecar.ts';
export { type SourceRef, type Translated } from './translated.ts';
export * from './unimplemented-fields.ts';
