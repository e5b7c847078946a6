import { createTestCluster } from './test-cluster.ts';

/** Runs a test cluster by hand: prints the path of an administrator's kubeconfig and stops at Ctrl-C. */
const cluster = await createTestCluster();
process.stdout.write(`export KUBECONFIG=${cluster.adminKubeconfigPath}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void cluster[Symbol.asyncDispose]().then(() => process.exit(0)));
