import { READER_SERVICE_ACCOUNT } from '@meltemi/control-plane/manifest-object';
import type { Command } from 'commander';
import type { RemoteSecretFlags } from '../remote-secret/print-remote-secret.ts';
import { type CommandContext, withSession } from '../session.ts';
import { collectFlag } from './manifest-flags.ts';

/** `meltemi create-remote-secret`: prints the Secret that attaches a cluster to a control plane elsewhere. */
export function addCreateRemoteSecretCommand(program: Command, context: CommandContext): void {
  program
    .command('create-remote-secret')
    .description('Print the Secret that attaches this cluster to a control plane in another one')
    .option('--name <cluster>', "the cluster's name in the mesh; default: the one that its sidecars are injected with")
    .option('--type <type>', 'remote: to be watched; config: to be mounted into an outside control plane', 'remote')
    .option('--server <url>', 'where the control plane reaches this API server')
    .option('--tls-server-name <name>', "the name to expect in the server's certificate, if it is not that of the URL")
    .option('--service-account <name>', `whose token to use; default: ${READER_SERVICE_ACCOUNT}, or istiod for config`)
    .option('--create-service-account [boolean]', 'create the account with its roles if it is missing', true)
    .option('--manifests <path>', 'files with the account and roles to create in place of ours', collectFlag)
    .option('--secret-name <name>', 'the Secret that holds the token; default: found, or made')
    .option('--auth-type <type>', 'bearer-token or plugin', 'bearer-token')
    .option('--auth-plugin-name <name>', 'the credential plug-in of --auth-type=plugin')
    .option('--auth-plugin-config <key=value>', 'its settings, separated by commas or repeated', collectFlag)
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi create-remote-secret --cluster cluster2 | meltemi apply --cluster cluster1 -f -\n  meltemi create-remote-secret --cluster cluster2 --server https://10.12.0.1:6443 --name cluster2',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<RemoteSecretFlags>();
      // What knows the roles of accounts is loaded only by those who need it.
      const { printRemoteSecret } = await import('../remote-secret/print-remote-secret.ts');
      await withSession(context, flags, (session) => printRemoteSecret(context, session, flags));
    });
}
