import type { Command } from 'commander';
import type { InjectFlags } from '../inject-manifests.ts';
import type { CommandContext } from '../session.ts';

/** `meltemi kube-inject`: adds sidecars to manifests, as the webhook would to their pods. */
export function addKubeInjectCommand(program: Command, context: CommandContext): void {
  program
    .command('kube-inject')
    .description('Add sidecars to the workloads of manifests; everything else in them stays as it is')
    .option('-f, --filename <file>', 'a YAML or JSON file, or - for standard input')
    .option('-o, --output <file>', 'write there instead of to standard output')
    .option('--meshConfigFile <file>', 'MeshConfig instead of that of the cluster')
    .option('--injectConfigFile <file>', "the injector's configuration (key config) instead of the cluster's")
    .option('--valuesFile <file>', "the injector's values (key values) instead of the cluster's")
    .option('--operatorFileName <file>', 'take the values from an IstioOperator resource')
    .option('--meshConfigMapName <name>', 'ConfigMap with MeshConfig', 'istio')
    .option('--injectConfigMapName <name>', "ConfigMap with the injector's configuration", 'istio-sidecar-injector')
    .option('--webhookConfig <name>', 'inject for the cluster and network that this MutatingWebhookConfiguration names')
    .option('-i, --istioNamespace <name>', "the control plane's namespace", 'istio-system')
    .option('-r, --revision <name>', "the control plane's revision", 'default')
    .addHelpText(
      'after',
      '\nENABLE_NATIVE_SIDECARS=true or false says whether sidecars are native ones; otherwise the nodes of the cluster do, and without a cluster they are not.\n\nExamples:\n  meltemi kube-inject -f app.yaml | meltemi apply -f -\n  meltemi kube-inject -f app.yaml -o injected.yaml --meshConfigFile mesh.yaml --injectConfigFile inject.yaml --valuesFile values.yaml',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<InjectFlags>();
      // The injector is loaded only by those who inject.
      const { injectManifests } = await import('../inject-manifests.ts');
      await injectManifests(context, flags);
    });
}
