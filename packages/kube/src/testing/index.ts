export * from './eventually.ts';
export * from './fake-kube-client.ts';
export * from './scripted-server.ts';
