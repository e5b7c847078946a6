export * from './manifests/control-plane-manifests.ts';
export * from './manifests/manifest-object.ts';
export * from './manifests/remote-cluster-manifests.ts';
