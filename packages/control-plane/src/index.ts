export * from './manifests/access-rules.ts';
export * from './manifests/control-plane-manifests.ts';
export * from './manifests/manifest-object.ts';
export * from './manifests/remote-cluster-manifests.ts';
