export * from './manifests/account-access.ts';
export * from './manifests/charts/charts.ts';
export * from './manifests/control-plane-manifests.ts';
export * from './manifests/manifest-object.ts';
export * from './manifests/remote-cluster-manifests.ts';
export * from './manifests/template/chart.ts';
export * from './manifests/template/evaluate.ts';
export * from './manifests/template/values-table.ts';
